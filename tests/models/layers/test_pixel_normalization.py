"""Pixel normalisation: mean square 1 over the channels."""

import numpy as np
import pytest

from models.layers import pixel_normalization

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [3, 512])
def test_pixel_normalisation_gives_mean_square_1(channels):
    x = RNG.normal(5.0, 3.0, (2, 3, 4, channels)).astype("float32")
    out = pixel_normalization.PixelNormalization()(x).numpy()
    lengths = np.linalg.norm(out, axis=-1)
    np.testing.assert_allclose(lengths, np.sqrt(channels), rtol=1e-5)  # 1.73 and 22.6
    np.testing.assert_allclose(out / lengths[..., None], x / np.linalg.norm(x, axis=-1)[..., None],
                               rtol=1e-4, atol=1e-6)  # fmt: skip


def test_pixel_normalisation_of_zeros_is_zero():
    np.testing.assert_array_equal(
        pixel_normalization.PixelNormalization()(np.zeros((1, 2, 2, 3), "float32")), 0.0
    )
