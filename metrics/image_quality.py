"""How near repaired or reconstructed images are to the originals: PSNR, SSIM and L1."""

import numpy as np
import tensorflow as tf

MAX_PSNR = 100.0
"""dB, of images that are equal to the last bit, whose PSNR has no bound."""


class ImageMeans:
    """Base of metrics that are means over images; see metrics.metric.Metric."""

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        self.sums, self.counts = {}, {}

    def add(self, name, values) -> None:
        """Counts values [N] of images; summed in float64."""
        values = np.asarray(values, np.float64)
        self.sums[name] = self.sums.get(name, 0.0) + values.sum()
        self.counts[name] = self.counts.get(name, 0) + values.size

    def result(self) -> dict[str, float]:
        if not any(self.counts.values()):
            raise ValueError(
                "Expected at least one image. Received: none. Call update_state before result."
            )
        return {name: float(self.sums[name] / n) for name, n in self.counts.items() if n}


class ImageQuality(ImageMeans):
    """Mean PSNR, SSIM and L1 over images, as they would be saved: rounded to 8 bits.

        PSNR = 10 log10(255^2 / mean squared error), at most 100 dB
        SSIM: 11 x 11 Gaussian window of deviation 1.5, K1 = 0.01, K2 = 0.03, mean over channels
        L1 %  = 100 * mean absolute error / 255; over the image, and over the pixels of the hole

    Each is computed for an image, then averaged. Counted and summed in float64.

    Call of `update_state(batch, generated)`:
        batch: "image" float32 [B, H, W, 3] in [-1, 1], H and W at least 11; "hole" [B, H, W, 1]
            if there is one, 1 = missing.
        generated: "image" of the same shape.
    `result()`: dict of floats "psnr", "ssim", "l1_percent", with holes "hole_l1_percent".
    `reset_state()`: forgets all images.

    Raises:
        ValueError: images of different shape, or too small; `result` before any image.

    Source: Wang et al., IEEE TIP 13(4), 2004 (SSIM); Yu et al., arXiv 1801.07892, section 5.
    """

    configurable = True

    needs = frozenset({"pairs"})

    def names(self, spec, count) -> list[str]:
        """Names of `result` for batches of this spec."""
        return ["psnr", "ssim", "l1_percent", *(["hole_l1_percent"] if "hole" in spec else [])]

    def update_state(self, batch, generated) -> None:
        real, fake = as_saved(batch["image"]), as_saved(generated["image"])
        if real.shape != fake.shape or min(real.shape[1:3]) < 11:
            raise ValueError(
                "Expected images of one shape, at least 11 pixels wide and high. Received: "
                f"{real.shape} and {fake.shape}."
            )
        error = np.abs(real - fake)
        with np.errstate(divide="ignore"):
            psnr = 10.0 * np.log10(255.0**2 / np.mean(error**2, axis=(1, 2, 3)))
        self.add("psnr", np.minimum(psnr, MAX_PSNR))
        self.add("ssim", tf.image.ssim(real.astype(np.float32), fake.astype(np.float32), 255.0))
        self.add("l1_percent", 100.0 / 255.0 * np.mean(error, axis=(1, 2, 3)))
        if "hole" in batch:
            hole = np.asarray(batch["hole"], np.float64)
            size = np.sum(hole, axis=(1, 2, 3)) * error.shape[-1]
            inside = np.sum(error * hole, axis=(1, 2, 3))[size > 0] / size[size > 0]
            self.add("hole_l1_percent", 100.0 / 255.0 * inside)


def as_saved(image) -> np.ndarray:
    """float64 0..255 of an image in [-1, 1], rounded as it is for a PNG."""
    return np.round((np.clip(np.asarray(image, np.float64), -1.0, 1.0) + 1.0) * 127.5)
