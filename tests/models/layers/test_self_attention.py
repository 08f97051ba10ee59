"""Self-attention against a loop over positions."""

import numpy as np
import pytest

from models.layers import self_attention
from tests.helpers import numpy_networks

RNG = np.random.default_rng(0)


def pooled(x):
    """2 x 2 maxima; the last row or column alone where the side is odd."""
    rows, columns = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
    return np.array(
        [
            x[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].max((0, 1))
            for r in range(rows)
            for c in range(columns)
        ]
    )


@pytest.mark.parametrize("spectral_norm", [True, False])
@pytest.mark.parametrize("size", [(4, 6), (3, 5)])
def test_equals_the_loop(spectral_norm, size):
    x = RNG.normal(size=(2, *size, 16))
    layer = self_attention.SelfAttention(spectral_norm)
    layer.build((None, *size, 16))
    numpy_networks.make_lively(layer)
    layer.gate.assign(0.7)
    theta, phi, g, out = (
        numpy_networks.kernel_and_bias(part)[0][0, 0]
        for part in (layer.theta, layer.phi, layer.g, layer.out)
    )
    expected = x.copy()
    for image, result in zip(x, expected, strict=True):
        keys, values = pooled(image @ phi), pooled(image @ g)
        for row in range(size[0]):
            for column in range(size[1]):
                scores = np.exp(keys @ (image[row, column] @ theta))
                mixed = (scores / scores.sum()) @ values
                result[row, column] += 0.7 * mixed @ out
    np.testing.assert_allclose(layer(x.astype("float32")), expected, atol=1e-4)


def test_starts_as_the_identity():
    x = RNG.normal(size=(2, 4, 4, 8)).astype("float32")
    layer = self_attention.SelfAttention()
    np.testing.assert_array_equal(layer(x, training=True), x)
    assert float(layer.monitored()["attention_gate"]) == 0.0


def test_parameter_count():
    """81.9 k at 256 channels: C/8 twice, C/2, and back."""
    layer = self_attention.SelfAttention(spectral_norm=False)
    layer.build((None, 32, 32, 256))
    assert layer.count_params() == 2 * 256 * 32 + 2 * 256 * 128 + 1 == 81921
