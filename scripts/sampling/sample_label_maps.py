"""Label maps in, images out: what scripts/sample.py does with a semantic generator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.sampling import generation

SHEET_ROWS = VALIDATION_ITEMS = 16
# Settings of configs/sample.yaml that only these runs have.
SETTINGS = ("labels", "resize", "count", "style", "grid_styles")


@dataclass(frozen=True)
class Column:
    """One way to sample every label map: a noise seed or a style photograph."""

    title: str
    seed: int = 0
    style_image: Any = None  # float32 [H, W, 3] in [-1, 1]


def sample(run, config, out: Path) -> int:
    """Writes an image for every label map and column, and sheet.png; returns how many.

    Raises:
        ValueError, FileNotFoundError: settings that this run or these files do not allow.
    """
    names, items = label_maps(run, config)
    columns = ways_to_sample(run, config)
    made = [generate(run, items, column, config) for column in columns]
    write(out, run, names, items, columns, [outputs["image"] for outputs in made])
    if config.layouts:
        layouts = [outputs["layout"] for outputs in made]
        write(out, run, names, items, columns, layouts, "_layout", "layouts.png")
    return len(names) * len(columns)


def label_maps(run, config) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names and {"label_map": uint8 [N,H,W]}; from the validation split also "image"."""
    if config.labels is None:
        names, batch = run.data.examples("validation", config.count or VALIDATION_ITEMS)
        return names, {key: batch[key].numpy() for key in ("label_map", "image")}
    from data.labels import label_files

    root = Path(config.labels)
    paths = files_of(root, label_files.LABEL_SUFFIXES, "labels=FILE or FOLDER of label maps")
    paths = paths[: config.count]
    read = run.data.read_label_map if config.resize else run.data.encoding.read
    maps = [read(path) for path in paths]
    expected = tuple(run.data.image_size)
    for path, ids in zip(paths, maps, strict=True):
        if ids.shape != expected:
            raise ValueError(
                f"Expected label maps of {expected[0]}x{expected[1]} (height x width), the size "
                f"of the run. Received: {path} of {ids.shape[0]}x{ids.shape[1]}. Add resize=true "
                "to bring maps to that size as training does."
            )
    stems = [p.relative_to(root) if root.is_dir() else Path(p.name) for p in paths]
    names = [str(stem.with_suffix("")) for stem in stems]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "Expected label maps of different names, as each gives its name to an image. "
            f"Received: {twice[:5]} with several suffixes. Move one of each elsewhere."
        )
    return names, {"label_map": np.stack(maps)}


def ways_to_sample(run, config) -> list[Column]:
    """The columns of the sheet: styles where asked for, else noise seeds."""
    generator = run.task.generator
    seeds = list(config.seeds or [0])
    if config.style is None:
        if len(seeds) > 1 and not generator.noise_dim:
            raise ValueError(
                "Expected one seed: the generator of this run takes no noise, so all seeds give "
                f"the same image. Received: seeds={seeds}. Train with "
                "generator=spade_style for images that vary."
            )
        return [Column(f"seed {seed}", seed=seed) for seed in seeds]
    if "style_image" not in getattr(generator, "optional_keys", ()):
        raise ValueError(
            "Expected a run whose generator has a style encoder (generator=spade_style). "
            f"Received: style={config.style} for {type(generator).__name__}. Leave style out."
        )
    if config.style == "grid":
        names, batch = run.data.examples("validation", config.grid_styles)
        return [
            Column(f"style {Path(n).name}", style_image=p)
            for n, p in zip(names, batch["image"].numpy(), strict=True)
        ]
    from data.sources import folder_source

    expected = "style=grid, a photograph or a folder of photographs"
    return [
        Column(f"style {path.stem}", style_image=run.data.read_image(path))
        for path in files_of(Path(config.style), folder_source.PHOTO_SUFFIXES, expected)
    ]


def files_of(path: Path, suffixes, expected: str) -> list[Path]:
    """The file itself, or those of a folder and its sub-folders, sorted."""
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes)
    if not found:
        state = "a folder without any" if path.is_dir() else "not there"
        raise FileNotFoundError(
            f"Expected {expected}, {', '.join(suffixes)}. Received: {path}, {state}."
        )
    return found


def generate(run, items, column: Column, config) -> dict[str, np.ndarray]:
    """Pictures of every label map sampled one way, see `generation.generate`."""
    maps = items["label_map"]

    def batch(part):
        inputs = {"mask": run.data.preprocess({"label_map": maps[part]})["mask"]}
        if column.style_image is not None:
            inputs["style_image"] = np.stack([column.style_image] * len(maps[part]))
        return inputs

    return generation.generate(
        run, batch, [column.seed] * len(maps), config.batch_size,
        layouts=config.layouts, title=column.title,
    )  # fmt: skip


def write(out: Path, run, names, items, columns, images, ending="", sheet="sheet.png") -> None:
    """One PNG an image, `<name>.png` or `<name>_<column>.png`, and the sheet."""
    from training.watch import contact_sheet

    for column, column_images in zip(columns, images, strict=True):
        suffix = f"_{column.title.replace(' ', '_')}" if len(columns) > 1 else ""
        for name, image in zip(names, column_images, strict=True):
            contact_sheet.write_png(out / f"{name}{suffix}{ending}.png", image)
    shown = {"label map": run.data.encoding.colors_of(items["label_map"][:SHEET_ROWS])}
    if "image" in items:
        shown["real"] = contact_sheet.to_uint8(items["image"][:SHEET_ROWS])
    shown |= {c.title: i[:SHEET_ROWS] for c, i in zip(columns, images, strict=True)}
    if columns[0].style_image is not None:
        shown = _with_style_row(shown, columns)
    contact_sheet.write_png(out / sheet, contact_sheet.contact_sheet(shown))


def _with_style_row(shown, columns):
    """A row on top with the photograph each column takes its style from."""
    from training.watch import contact_sheet

    styles = {column.title: contact_sheet.to_uint8(column.style_image) for column in columns}
    blank = np.full_like(next(iter(shown.values()))[0], 255)
    return {title: np.concatenate([styles.get(title, blank)[None], images])
            for title, images in shown.items()}  # fmt: skip
