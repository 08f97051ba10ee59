"""Repaired photographs."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from training.kinds import kind, photographs
from training.watch import contact_sheet

MULTIPLE = 8  # of the sides that the networks take
GREY = 128  # what a hole looks like on a sheet: 0 in [-1, 1]


class Inpainting(kind.Kind):
    """Inpainting: a photograph and its hole in, the photograph with the hole painted out.

    `sample` takes "image", a list of uint8 [H, W, 3], and "hole", as many bool [H, W] with True =
    missing; each pair has a size of its own, and one `working_size` is that of all.
    """

    configurable = True

    name = "inpainting"
    condition = "masked_image"
    provides = frozenset({"features", "pairs", "hole"})
    image_title = "pasted"
    stages = ("coarse", "refined")
    settings = ("images", "masks", "invert", "hole", "resize", "seed", "count")
    measured_stages = {
        "its coarse stage": lambda batch, generated: (
            generated["coarse"] * batch["hole"] + batch["masked_image"]
        )
    }

    def given(
        self, batch: dict, colorize: Callable | None = None, image_class_names: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """The photograph, and what is left of it."""
        columns = {"original": batch["image"], "masked": batch["masked_image"]}
        return {title: contact_sheet.to_uint8(x) for title, x in columns.items()}, []

    def check(self, *, seeds: Sequence[int] | None, layouts: bool) -> None:
        if seeds is not None:
            raise ValueError(
                "Expected no list of seeds: the generator of this run takes no noise. Received: "
                f"seeds={seeds}. Leave it out; seed= draws other holes with hole=."
            )

    def working_size(self, run, size: tuple[int, int], resize: bool = False) -> tuple[int, int]:
        """The size to paint a photograph at, filled up to multiples of 8."""
        return padded_size(painted_size(size, run.data.image_size, resize))

    def sample(
        self, run, conditions: dict, seeds: Sequence[int] | None = None, *, layouts: bool = False,
        resize: bool = False,
    ) -> dict[str, list[np.ndarray]]:  # fmt: skip
        """What the network paints; pixels outside of the hole are those given, unchanged.

        Args:
            conditions: photographs and holes of one `working_size`.
            resize: whether to paint at no larger a size than that of the run, and to enlarge that.

        Returns:
            Lists of uint8 [H, W, 3]: "image", the repaired photographs; the network's "coarse" and
            "refined"; with `layouts` also "layout", laid over the image.
        """
        images, holes = conditions["image"], conditions["hole"]
        sizes = [painted_size(hole.shape, run.data.image_size, resize) for hole in holes]
        pairs = [scaled(*pair) for pair in zip(images, holes, sizes, strict=True)]
        inputs = network_inputs(run, pairs, padded_size(sizes[0]))
        made = photographs.generate(run, inputs)
        wanted = {stage: made[stage] for stage in self.stages}
        if layouts:
            wanted["layout"] = kind.layout_overlay(run, made)
        pictures = {
            key: [at_full_size(*x) for x in zip(parts, sizes, images, strict=True)]
            for key, parts in wanted.items()
        }
        painted = zip(images, holes, pictures["refined"], strict=True)
        pasted = [np.where(hole[..., None], refined, image) for image, hole, refined in painted]
        return pictures | {"image": pasted}

    def columns(self, run, item: dict, made: dict) -> dict[str, np.ndarray]:
        """{title: uint8 [H, W, 3]}, the row of a sheet for one photograph.

        Args:
            item: its "image" and "hole".
            made: what `sample` made of it.
        """
        masked = np.where(item["hole"][..., None], np.uint8(GREY), item["image"])
        columns = {"original": item["image"], "masked": masked}
        columns |= {stage: made[stage] for stage in self.stages} | {"pasted": made["image"]}
        return columns | ({"layout": made["layout"]} if "layout" in made else {})


def painted_size(size, run_size, resize: bool) -> tuple[int, int]:
    """The size to paint at: that of the photograph, or with `resize` no larger than the run's.

    The shorter side becomes that of the run.
    """
    scale = min(1.0, min(run_size) / min(size)) if resize else 1.0
    return tuple(round(side * scale) for side in size)


def padded_size(size) -> tuple[int, int]:
    """The next multiples of 8."""
    return tuple(-(-side // MULTIPLE) * MULTIPLE for side in size)


def scaled(image: np.ndarray, hole: np.ndarray, size) -> tuple[np.ndarray, np.ndarray]:
    """Photograph and hole at a smaller size, or as they are.

    A pixel is missing where any part of it was, so nothing of a hole gets into what is known.
    """
    if hole.shape == size:
        return image, hole
    image, share = (
        np.asarray(Image.fromarray(x).resize(size[::-1], Image.Resampling.BOX))
        for x in (image, hole.astype(np.float32))
    )
    return image, share > 0


def at_full_size(picture, size, image: np.ndarray) -> np.ndarray:
    """What a network made of `image` at `size`, as uint8 of the size of the image."""
    picture = contact_sheet.to_uint8(picture)[: size[0], : size[1]]
    if image.shape[:2] == size:
        return picture
    wanted = image.shape[1::-1]
    return np.asarray(Image.fromarray(picture).resize(wanted, Image.Resampling.BICUBIC))


def network_inputs(run, pairs, size) -> dict:
    """The photographs and holes as training finishes them, filled up to `size` at bottom and right.

    Photograph and hole are mirrored there: what is missing stays missing in the mirror image, and
    what is known goes on without a seam, where zeros or repeated edges would be painted along.
    """

    def filled(array) -> np.ndarray:
        room = [(0, whole - side) for side, whole in zip(array.shape[:2], size, strict=True)]
        return np.pad(array, [*room, (0, 0)], mode="reflect")

    images = np.stack([filled(image) for image, _ in pairs])
    holes = np.stack([filled(np.asarray(hole, np.uint8)[..., None]) for _, hole in pairs])
    finished = run.data.preprocess({"image": images, "hole": holes})
    return {key: finished[key] for key in ("masked_image", "hole")}
