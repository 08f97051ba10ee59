"""The residual and down-sampling blocks of class-conditional networks against NumPy."""

import numpy as np
import pytest

from models.layers import batch_normalization, down_block, pixel_normalization, residual
from tests.helpers import numpy_networks

RNG = np.random.default_rng(0)
X = (2.0 + 3.0 * RNG.normal(size=(4, 4, 6, 5))).astype("float32")
LABELS = np.array([2, 0, 2, 1])


def shake(layer):
    for variable in layer.trainable_variables:
        variable.assign(RNG.normal(1.0, 0.5, variable.shape))
    return layer


@pytest.mark.parametrize("filters", [3, 5])
@pytest.mark.parametrize("upsample", [True, False])
def test_class_conditional_block_equals_numpy(filters, upsample):
    """cBN, ReLU, x2, conv3, cBN, ReLU, conv3; skip: x2, conv1, or x itself."""
    block = residual.ResidualBlock(
        filters,
        batch_normalization.ConditionalBatchNormalization(3),
        activation="relu",
        upsample=upsample,
        middle=filters,
        normalize_skip=False,
    )
    block.build(X.shape, LABELS.shape)
    numpy_networks.make_lively(block)
    shake(block.norm_1)
    shake(block.norm_2)

    def norm(layer, x):
        return numpy_networks.normalize_by_class(x, layer.gamma.numpy(), layer.beta.numpy(), LABELS)

    def double(x):
        return x.repeat(2, axis=1).repeat(2, axis=2) if upsample else x

    y = double(np.maximum(norm(block.norm_1, X), 0))
    y = numpy_networks.apply(block.conv_1, y, pad=1)
    y = numpy_networks.apply(block.conv_2, np.maximum(norm(block.norm_2, y), 0), pad=1)
    skip = double(X.astype("float64"))
    if upsample or filters != X.shape[-1]:
        skip = numpy_networks.apply(block.conv_skip, skip)
    np.testing.assert_allclose(block(X, LABELS, training=True), skip + y, atol=1e-3)
    assert block.conv_1.filters == filters


def test_initial_gain_multiplies_the_deviation_of_3x3_kernels():
    def block(gain):
        layer = residual.ResidualBlock(
            32, pixel_normalization.PixelNormalization(), upsample=True, initial_gain=gain
        )
        layer.build((None, 4, 4, 32), (None,))
        return layer

    glorot = np.sqrt(2.0 / (2 * 9 * 32))
    for gain in (1.0, 2.0):
        layer = block(gain)
        for convolution in (layer.conv_1, layer.conv_2):
            np.testing.assert_allclose(convolution.kernel.numpy().std(), gain * glorot, rtol=0.05)
        np.testing.assert_allclose(
            layer.conv_skip.kernel.numpy().std(), np.sqrt(2.0 / 64), rtol=0.1
        )


def pooled(x):
    return x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("downsample", [True, False])
@pytest.mark.parametrize("filters", [3, 5])
def test_down_block_equals_numpy(first, downsample, filters):
    block = down_block.DownBlock(filters, downsample, first=first)
    block.build(X.shape)
    numpy_networks.make_lively(block)
    x = X.astype("float64")
    y = numpy_networks.apply(block.conv_1, x if first else np.maximum(x, 0), pad=1)
    y = numpy_networks.apply(block.conv_2, np.maximum(y, 0), pad=1)
    if downsample:
        y = pooled(y)
    skip = x
    if first or downsample or filters != 5:
        # The reference convolves before it pools, except in the first block.
        skip = numpy_networks.apply(block.conv_skip, skip)
        skip = pooled(skip) if downsample else skip
    np.testing.assert_allclose(block(X), skip + y, atol=1e-3)
    assert block.conv_1.filters == (filters if first else 5)
