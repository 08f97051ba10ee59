"""Sliced Wasserstein distance between patches of real and of generated images, scale by scale."""

import numpy as np

from metrics import image_quality

PATCH = 7
SMALLEST_LEVEL = 16
KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
NAME = "sliced_wasserstein"


class SlicedWasserstein:
    """How far the patches of generated images are from those of real ones; needs no network.

    Both are split into Laplacian pyramids, from the full size down to at least 16 px. Of each level
    come patches of 7x7 pixels, whose channels are normalized by mean and deviation of all patches
    of their side. The distance is 1000 times the mean |a - b| of sorted projections a, b on random
    directions. Patterns of a few pixels, such as grids, show at the level of their size.

    Args:
        patches: int, of each image and level, the same places in both images. Default 64.
        directions: int, random projections. Default 128.
        seed: int, of places and directions; figures of one seed compare. Default 0.

    Call of `update_state(batch, generated)`:
        batch, generated: "image" float [B, H, W, 3] in [-1, 1] or uint8, H and W at least 7.
    `result()`: "sliced_wasserstein", the mean of the levels, and "sliced_wasserstein/<pixels>" of
        each, by the shorter side; of no images NaN.

    Raises:
        ValueError: a number below 1, or smaller images.

    Source: Karras et al., arXiv 1710.10196, section 5; tkarras/progressive_growing_of_gans
        metrics/sliced_wasserstein.py (which draws other places for each side, 128 of an image, and
        512 directions).
    """

    configurable = True

    needs = frozenset()  # type: ignore[var-annotated]  # images alone

    def __init__(self, *, patches: int = 64, directions: int = 128, seed: int = 0) -> None:
        if patches < 1 or directions < 1:
            raise ValueError(
                "patches and directions must be at least 1. Received: "
                f"patches={patches}, directions={directions}"
            )
        self.patches, self.directions, self.seed = patches, directions, seed
        self.reset_state()

    def reset_state(self) -> None:
        self._count, self._sides = 0, ({}, {})  # level -> patches, of real and of generated

    def update_state(self, batch, generated) -> None:
        images = [np.asarray(source["image"]) for source in (batch, generated)]
        for side, image in zip(self._sides, images, strict=True):
            pixels = image_quality.as_saved(image) if image.dtype != np.uint8 else image
            for level in pyramid(pixels.astype(np.float32)):
                drawn = self._drawn(level)
                side.setdefault(min(level.shape[1:3]), []).append(drawn)
        self._count += len(images[0])

    def names(self, spec, count) -> list[str]:
        """Names of `result` for batches of this spec."""
        shape = [size or SMALLEST_LEVEL for size in spec["image"].shape[1:3]]
        levels = pyramid(np.zeros([1, *shape, 3], np.float32))
        return [NAME, *(f"{NAME}/{min(level.shape[1:3])}" for level in levels)]

    def result(self) -> dict[str, float]:
        real, made = self._sides
        distances = {f"{NAME}/{size}": self._distance(real[size], made[size]) for size in real}
        mean = float(np.mean(list(distances.values()))) if distances else float("nan")
        return {NAME: mean} | distances

    def _drawn(self, level) -> np.ndarray:
        """[B * patches, 3, 7, 7]: an image's places depend on the seed and its number alone."""
        rows, columns = (size - PATCH + 1 for size in level.shape[1:3])
        views = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), (1, 2))
        drawn = []
        for number, view in enumerate(views, start=self._count):
            places = np.random.default_rng([self.seed, number]).random([2, self.patches])
            y, x = (places * [[rows], [columns]]).astype(int)
            drawn.append(view[y, x])
        return np.concatenate(drawn)

    def _distance(self, real, made) -> float:
        directions = np.random.default_rng(self.seed).normal(size=[3 * PATCH**2, self.directions])
        directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
        projected = []
        for parts in (real, made):
            patches = np.concatenate(parts)  # [N, 3, 7, 7]
            patches = patches - patches.mean((0, 2, 3), keepdims=True)
            patches /= np.maximum(patches.std((0, 2, 3), keepdims=True), 1e-8)
            projected.append(np.sort(patches.reshape(len(patches), -1) @ directions, axis=0))
        return 1000.0 * float(np.mean(np.abs(projected[0] - projected[1])))


def pyramid(images) -> list[np.ndarray]:
    """Laplacian pyramid of float32 [B, H, W, C]; the last level is what remains."""
    if min(images.shape[1:3]) < PATCH:
        raise ValueError(
            f"Expected images of at least {PATCH}x{PATCH} pixels. Received: shape {images.shape}."
        )
    levels = []
    while min(images.shape[1:3]) >= 2 * SMALLEST_LEVEL:
        smaller = _blurred(images)[:, ::2, ::2]
        larger = np.zeros_like(images)
        larger[:, ::2, ::2] = smaller
        levels.append(images - 4.0 * _blurred(larger))
        images = smaller
    return [*levels, images]


def _blurred(images) -> np.ndarray:
    for axis in (1, 2):
        around = [(2, 2) if a == axis else (0, 0) for a in range(4)]
        padded = np.moveaxis(np.pad(images, around, "reflect"), axis, 0)
        size = images.shape[axis]
        parts = [weight * padded[k : k + size] for k, weight in enumerate(KERNEL)]
        summed = np.asarray(np.sum(parts, axis=0, dtype=np.float32))
        images = np.moveaxis(summed, 0, axis)
    return images
