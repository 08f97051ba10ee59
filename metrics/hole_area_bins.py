"""Image quality of inpainting by the share of the image that is missing."""

import numpy as np

from metrics import image_quality

EDGES = (0, 10, 20, 30, 40, 50, 60, 100)
"""Percent; a bin holds its upper edge and not its lower one."""


class HoleAreaBins:
    """`ImageQuality` of the images of each bin of hole area: (0, 10], ... (60, 100] percent.

    A mean over holes of all sizes hides that large ones are harder, so tables of inpainting with
    free-form masks give one number for each bin. There the first bin starts at 1 percent; here it
    starts at the first missing pixel. Images without a hole are in no bin. Counts of pixels are
    compared, not shares, so an image with exactly 10 percent missing is in the first bin.

    Call of `update_state(batch, generated)`: as `ImageQuality`, with "hole" [B, H, W, 1], 1 =
        missing.
    `result()`: dict of floats. For each bin that occurs the results of `ImageQuality` and the
        number of images: "psnr/hole_10_to_20", "ssim/hole_10_to_20", "l1_percent/hole_10_to_20",
        "hole_l1_percent/hole_10_to_20", "images/hole_10_to_20".
    `reset_state()`: forgets all images.

    Raises:
        ValueError: a batch without holes; what `ImageQuality` refuses; `result` before any image
            with a hole.

    Source: Liu et al., arXiv 1804.07723, section 4 and table 1 (hole-to-image area ratios).
    """

    configurable = True

    needs = frozenset({"pairs", "hole"})

    def __init__(self) -> None:
        self.reset_state()

    def names(self, spec, count) -> list[str]:
        """None are certain: they depend on the holes that are drawn."""
        return []

    def reset_state(self) -> None:
        self.bins, self.counts = {}, {}

    def update_state(self, batch, generated) -> None:
        if "hole" not in batch:
            raise ValueError(
                f'Expected a batch with "hole". Received: {sorted(batch)}. Measure hole areas of '
                "inpainting only."
            )
        hole = np.asarray(batch["hole"], np.float64)
        missing, size = np.sum(hole, axis=(1, 2, 3)), np.prod(hole.shape[1:])
        for low, high in zip(EDGES[:-1], EDGES[1:], strict=True):
            chosen = (low * size < 100 * missing) & (100 * missing <= high * size)
            if not np.any(chosen):
                continue
            name = f"hole_{low}_to_{high}"
            quality = self.bins.setdefault(name, image_quality.ImageQuality())
            quality.update_state(
                {key: np.asarray(batch[key])[chosen] for key in ("image", "hole")},
                {"image": np.asarray(generated["image"])[chosen]},
            )
            self.counts[name] = self.counts.get(name, 0) + int(np.sum(chosen))

    def result(self) -> dict[str, float]:
        if not self.bins:
            raise ValueError(
                "Expected at least one image with a hole. Received: none. Call update_state "
                "before result, and draw holes."
            )
        results = {}
        for name in sorted(self.bins, key=lambda name: int(name.split("_")[1])):
            for metric, value in self.bins[name].result().items():
                results[f"{metric}/{name}"] = value
            results[f"images/{name}"] = float(self.counts[name])
        return results
