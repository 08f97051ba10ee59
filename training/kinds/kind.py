"""The interface of a kind of task, as all commands use it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from training.watch import contact_sheet, monitoring

DEFAULT_NUM_IMAGES = 1000  # of an evaluation, where the data do not say how many


@dataclass(frozen=True)
class Judge:
    """A trained run whose predictions on generated images measure how good those are.

    Attributes:
        kind: name of the kind of that run.
        target: batch entry that it predicts, which is what the images were generated from.
        experiment: one that trains such a run.
    """

    kind: str
    target: str
    experiment: str


@dataclass(frozen=True)
class Grid:
    """Pictures to be made, row by row; the last row may have fewer.

    Attributes:
        names: of the pictures, "brick/seed_0": paths below a folder, without suffix.
        columns: titles.
        seeds: a noise seed for each picture.
        conditions: numbers of pictures, int [B] -> the `conditions` of `Kind.sample` for them.
        rows: titles, or none.
        given: title -> uint8 [rows, H, W, 3], shown before the pictures of a row.
        heads: uint8 [columns, H, W, 3], shown above the pictures of a column, or None.
        shown_rows: how many go on a sheet.
    """

    names: list[str]
    columns: list[str]
    seeds: np.ndarray
    conditions: Callable[[np.ndarray], dict]
    rows: list[str] = field(default_factory=list)
    given: dict[str, np.ndarray] = field(default_factory=dict)
    heads: np.ndarray | None = None
    shown_rows: int = 64


class Kind:
    """One kind of task. A config names it at `task.kind`; no other code depends on the kind.

    A kind reads no files: it takes arrays, or paths that `run.data` reads, and returns arrays.
    Commands write files. `run` is an opened run (training.runs.trained_run.TrainedRun): its `data`,
    `task`, `generate` and `image_class_names`.

    The defaults are those of a generator conditioned on one entry of the batch.
    """

    name: str = "generation"
    """As a user reads it: "semantic"."""

    condition: str | None = None
    """Batch entry that the network is conditioned on; None = noise alone."""

    makes_images: bool = True
    """Whether the outputs have an "image"; else they have a "prediction" of classes."""

    pictured: str | None = "image"
    """Output that is shown: images, or class ids of pixels; None = there is none."""

    provides: frozenset[str] = frozenset()
    """What metrics may need of it: "features" (sets of images), "pairs" (each image beside its
    original), "hole", "label_map" and "label" (predicted ones beside true ones)."""

    judge: Judge | None = None
    """The run that predicts "label_map" or "label" of generated images; None = none."""

    classes: str | None = None
    """Batch entry whose classes the network reads or predicts: "label_map", "label" or none."""

    image_title: str = "generated"
    """What a sheet calls the "image" of the network in training."""

    stages: tuple[str, ...] = ()
    """Outputs that a sheet shows before the image."""

    settings: tuple[str, ...] | None = None
    """Settings of configs/sample.yaml that this kind reads beside those of all; None = it is not
    sampled. With "images" among them it reads photographs of any size, else it has a `grid`."""

    # --- Sheets ------------------------------------------------------------------------------

    def given(
        self, batch: dict, colorize: Callable | None = None, image_class_names: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """What the network is given, and the photograph, as the first columns of a sheet.

        Args:
            batch: entries of the items; "image" may be missing.
            colorize: class ids [B, H, W] -> uint8 [B, H, W, 3].
            image_class_names: classes of whole images by id.

        Returns:
            ({title: uint8 [B, H, W, 3]}, titles of the rows, or none).
        """
        columns, rows = {}, []
        if self.classes == "label_map" and colorize is not None:
            columns["label map"] = colorize(batch["label_map"])
        elif self.classes == "label" and len(image_class_names):
            rows = [str(image_class_names[label]) for label in np.ravel(batch["label"])]
        if "image" in batch:
            columns["real"] = contact_sheet.to_uint8(batch["image"])
        return columns, rows

    def preview_seeds(self, batch: dict) -> np.ndarray:
        """int32 [B], noise seeds of the items of a sheet in training."""
        return np.zeros(len(next(iter(batch.values()))), np.int32)

    def class_names(self, run) -> tuple[str, ...]:
        """Names of the classes of `classes`, by id; none where there are none."""
        if self.classes == "label":
            return tuple(run.image_class_names)
        return tuple(run.data.class_names) if self.classes == "label_map" else ()

    def examples(self, run, count: int) -> tuple[list[str], dict[str, np.ndarray]]:
        """(names, batch) of up to so many items, to generate from with several runs."""
        names, batch = run.data.examples("validation", count)
        return names, {key: value.numpy() for key, value in batch.items()}

    # --- Sampling ----------------------------------------------------------------------------

    def check(self, *, seeds: Sequence[int] | None, layouts: bool) -> None:
        """Raises ValueError where noise seeds or layouts are asked for and there are none."""

    def inputs(self, run, conditions: dict) -> dict:
        """What `run.generate` reads, from the `conditions` of `sample`."""
        return conditions

    def sample(
        self, run, conditions: dict, seeds: Sequence[int] | None = None, *, layouts: bool = False
    ) -> dict[str, Any]:
        """What the network makes of its conditions, all at once.

        Args:
            run: an opened run.
            conditions: the entry `condition` [B, ...], as the kind states it.
            seeds: a noise seed for each item; None = 0.
            layouts: whether to return the layouts of attentive normalisation as well.

        Returns:
            "image": uint8 [B, H, W, 3]; with `layouts` also "layout", laid over the image.

        Raises:
            ValueError: layouts of a generator without attentive normalisation.
        """
        inputs = self.inputs(run, conditions)
        given = [0] * len(next(iter(inputs.values()))) if seeds is None else seeds
        made = run.generate(inputs, tf.constant(given, tf.int32))
        pictures = {"image": contact_sheet.to_uint8(made["image"])}
        if layouts:
            pictures["layout"] = contact_sheet.to_uint8(layout_overlay(run, made))
        return pictures

    def grid(self, run, *, seeds: Sequence[int] | None, **settings) -> Grid:
        """The pictures that a user asks for.

        Args:
            run: an opened run.
            seeds: noise seeds, or None.
            settings: those of `settings`; where they name files, {name: path}.

        Raises:
            ValueError: settings out of range, or that this run does not allow.
        """
        raise NotImplementedError(f"{type(self).__name__} has no grid of pictures.")

    # --- Evaluation --------------------------------------------------------------------------

    network_name: str = "generator"
    """What its network is called: "segmenter", "classifier"."""

    measured_stages: dict[str, Callable] = {}
    """Earlier images that are measured beside the last: title -> function of (batch, generated)."""

    def evaluation_inputs(
        self, num_images: int | None, batch_size: int, image_class_names: Sequence[str]
    ) -> list[dict[str, np.ndarray]] | None:
        """What to generate from in an evaluation, where that is not the data.

        Args:
            num_images: how many; None = DEFAULT_NUM_IMAGES.
            batch_size: items of each batch.
            image_class_names: classes of whole images by id.

        Returns:
            Batches of `condition` and "valid" (False = padding of the last batch); None = the
            batches of the data.

        Raises:
            ValueError: too few images.
        """
        if self.condition is not None:
            return None
        return [{"valid": valid} for _, valid in numbered(num_images, batch_size)]


def layout_overlay(run, made: dict) -> tf.Tensor:
    """What the generator made, half covered by its layout: float32 [B,H,W,3] in [-1, 1].

    Raises:
        ValueError: a generator without attentive normalisation.
    """
    if "layout" not in made:
        raise ValueError(
            "Expected a run whose generator has attentive normalisation. Received: layouts=true "
            f"for {type(run.task.generating_network).__name__} without it. Leave layouts out, or "
            "train with attention=attentive_norm (inpainting: generator=inpainting)."
        )
    return monitoring.overlay(made["image"], made["layout"])


def numbered(num_images: int | None, batch_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(item numbers int32 [B], valid bool [B]) of batches of one size, see `evaluation_inputs`."""
    count = num_images or DEFAULT_NUM_IMAGES
    numbers = np.arange(-(-count // batch_size) * batch_size, dtype=np.int32)
    return [(part, part < count) for part in numbers.reshape(-1, batch_size)]
