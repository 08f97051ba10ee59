"""Photographs from label maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.kinds import kind
from training.watch import contact_sheet

VALIDATION_ITEMS = 16
ADVICE = "Give maps of the values that the run was trained on; others are classes of another run."


class Semantic(kind.Kind):
    """Semantic image synthesis: a label map in, a photograph out.

    `sample` takes "label_map", class ids [B, H, W] of the size of the run; for a network with a
    style encoder also "style_image", float32 [B, H, W, 3] in [-1, 1].
    """

    configurable = True

    name = "semantic"
    condition = "mask"
    provides = frozenset({"features", "label_map"})
    judge = kind.Judge("segmentation", "label_map", "segment_synthetic")
    classes = "label_map"
    settings = ("labels", "resize", "count", "style", "grid_styles")

    def inputs(self, run, conditions: dict) -> dict:
        """The one-hot mask, and the style image where there is one."""
        mask = run.data.preprocess({"label_map": conditions["label_map"]})["mask"]
        return {key: x for key, x in conditions.items() if key != "label_map"} | {"mask": mask}

    def grid(  # type: ignore[override]  # each kind has settings of its own
        self, run, *, seeds: Sequence[int] | None = None, labels: dict[str, Path] | None = None,
        resize: bool = False, count: int | None = None, style: dict[str, Path] | str | None = None,
        grid_styles: int = 5,
    ) -> kind.Grid:  # fmt: skip
        """A row for each label map, of files or of the validation split; a column for each seed, or
        for each photograph whose style is taken."""
        names, maps, photographs = _items(run, labels, resize, count)
        titles, column_seeds, styles = _columns(run, seeds, style, grid_styles)
        width = len(titles)
        suffixes = [f"_{title.replace(' ', '_')}" if width > 1 else "" for title in titles]

        def conditions(numbers) -> dict:
            asked = {"label_map": maps[numbers // width]}
            return asked if styles is None else asked | {"style_image": styles[numbers % width]}

        shown = slice(VALIDATION_ITEMS)
        given = {"label map": run.data.encoding.colors_of(maps[shown])}
        if photographs is not None:
            given["real"] = contact_sheet.to_uint8(photographs[shown])
        return kind.Grid(
            names=[f"{name}{suffix}" for name in names for suffix in suffixes],
            columns=titles,
            seeds=np.tile(np.array(column_seeds, np.int32), len(names)),
            conditions=conditions,
            given=given,
            heads=None if styles is None else contact_sheet.to_uint8(styles),
            shown_rows=VALIDATION_ITEMS,
        )


def _items(run, labels, resize, count) -> tuple:
    """(names, uint8 [N, H, W] class ids, photographs or None)."""
    if labels is None:
        names, batch = run.data.examples("validation", count or VALIDATION_ITEMS)
        return names, batch["label_map"].numpy(), batch["image"].numpy()
    labels = dict(list(labels.items())[:count])
    read = run.data.read_label_map if resize else run.data.encoding.read
    maps = [read(path, advice=ADVICE) for path in labels.values()]
    expected = tuple(run.data.image_size)
    for path, ids in zip(labels.values(), maps, strict=True):
        if ids.shape != expected:
            raise ValueError(
                f"Expected label maps of {expected[0]}x{expected[1]} (height x width), the size "
                f"of the run. Received: {path} of {ids.shape[0]}x{ids.shape[1]}. Add resize=true "
                "to bring maps to that size as evaluation does."
            )
    return list(labels), np.stack(maps), None


def _columns(run, seeds, style, grid_styles) -> tuple:
    """(titles, noise seeds, float32 [columns, H, W, 3] style images or None)."""
    network = run.task.generating_network
    seeds = list(seeds or [0])
    if style is None:
        if len(seeds) > 1 and not network.noise_dim:
            raise ValueError(
                "Expected one seed: the generator of this run takes no noise, so all seeds give "
                f"the same image. Received: seeds={seeds}. Train with "
                "generator=spade_style for images that vary."
            )
        return [f"seed {seed}" for seed in seeds], seeds, None
    if "style_image" not in getattr(network, "optional_keys", ()):
        given = style if isinstance(style, str) else ", ".join(map(str, style.values()))
        raise ValueError(
            "Expected a run whose generator has a style encoder (generator=spade_style). "
            f"Received: style={given} for {type(network).__name__}. Leave style out."
        )
    if style == "grid":
        names, batch = run.data.examples("validation", grid_styles)
        images = batch["image"].numpy()
    else:
        names, images = list(style), np.stack([run.data.read_image(p) for p in style.values()])
    return [f"style {Path(name).name}" for name in names], [0] * len(names), images
