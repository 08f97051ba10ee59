"""Atrous pyramid and dilated block against NumPy float64 loops and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from models.layers import atrous_pyramid, dilated_block
from tests.helpers import distribution, numpy_networks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 7, 3)).astype("float32")


def randomized(layer, x_shape):
    """The layer, built, with random weights and statistics."""
    layer.build(x_shape)
    for variable in layer.variables:
        positive = "variance" in variable.path
        values = RNG.uniform(0.5, 2, variable.shape) if positive else RNG.normal(
            size=variable.shape
        )  # fmt: skip
        variable.assign(values)
    return layer


def convolve(x, kernel, rate):
    """Sum over taps, `rate` apart; what lies outside the map is zero."""
    x, kernel = x.astype(np.float64), numpy_networks.array(kernel)
    batch, height, width, _ = x.shape
    reach = kernel.shape[0] // 2
    out = np.zeros((batch, height, width, kernel.shape[-1]))
    for row in range(height):
        for column in range(width):
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    y, z = row + rate * (i - reach), column + rate * (j - reach)
                    if 0 <= y < height and 0 <= z < width:
                        out[:, row, column] += x[:, y, z] @ kernel[i, j]
    return out


def normalize(x, norm):
    mean, variance, gamma, beta = map(
        numpy_networks.array,
        (norm.normalization.moving_mean, norm.normalization.moving_variance, norm.gamma, norm.beta),
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def unit(x, layer, rate=1):
    return np.maximum(normalize(convolve(x, layer.convolution.kernel, rate), layer.norm), 0)


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_a_dilated_unit_by_loop(rate):
    layer = atrous_pyramid.NormalizedConvolution(4, dilation_rate=rate)
    layer = randomized(layer, X.shape)
    np.testing.assert_allclose(layer(X), unit(X, layer, rate), rtol=1e-4, atol=1e-5)


def test_the_pyramid_is_its_parts_side_by_side():
    layer = randomized(atrous_pyramid.AtrousSpatialPyramidPooling(4, (1, 3)), X.shape)
    mean = X.astype(np.float64).mean(axis=(1, 2), keepdims=True)
    parts = [
        unit(X, layer.point),
        unit(X, layer.atrous[0], 1),
        unit(X, layer.atrous[1], 3),
        np.broadcast_to(unit(mean, layer.whole), (2, 5, 7, 4)),
    ]
    expected = unit(np.concatenate(parts, -1), layer.fusion)
    np.testing.assert_allclose(layer(X), expected, rtol=1e-4, atol=1e-4)


def test_a_dilated_block_by_loop():
    layer = randomized(dilated_block.DilatedBlock(3, dilation_rate=2), X.shape)
    h = np.maximum(normalize(X, layer.norm_1), 0)
    y = np.maximum(normalize(convolve(h, layer.conv_1.kernel, 2), layer.norm_2), 0)
    expected = X + convolve(y, layer.conv_2.kernel, 2)
    np.testing.assert_allclose(layer(X), expected, rtol=1e-4, atol=1e-4)


def test_a_block_that_halves_averages_before_both_branches():
    x = X[:, :4, :6]
    layer = randomized(dilated_block.DilatedBlock(4, True), x.shape)
    h = np.maximum(normalize(x.astype(np.float64), layer.norm_1), 0)
    h = (h[:, ::2, ::2] + h[:, 1::2, ::2] + h[:, ::2, 1::2] + h[:, 1::2, 1::2]) / 4
    y = np.maximum(normalize(convolve(h, layer.conv_1.kernel, 1), layer.norm_2), 0)
    expected = convolve(h, layer.conv_skip.kernel, 1) + convolve(y, layer.conv_2.kernel, 1)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-4)


def test_the_published_size():
    """2048 channels in, 256 filters: five parts and the fusion, six norms of scale and shift."""
    layer = atrous_pyramid.AtrousSpatialPyramidPooling(256, (6, 12, 18))
    layer.build((None, 32, 32, 2048))
    parts = 2048 * 256 * (1 + 3 * 9 + 1)
    assert numpy_networks.count(layer) == parts + 5 * 256 * 256 + 6 * 2 * 256 == 15_535_104
    assert not any("bias" in variable.path for variable in layer.variables)


@pytest.mark.parametrize(
    ("size", "rates"),
    [
        ((32, 32), (6, 12, 18)),
        ((16, 16), (3, 6, 9)),
        ((65, 65), (12, 24, 37)),
        ((40, 8), (2, 3, 5)),
        ((1, 1), (1, 1, 1)),
    ],
)
def test_rates_scale_with_the_shorter_side(size, rates):
    layer = atrous_pyramid.AtrousSpatialPyramidPooling(2)
    layer.build((None, *size, 3))
    assert tuple(part.dilation_rate for part in layer.atrous) == rates
    assert layer.rates is None and layer.get_config()["rates"] is None


def test_a_rate_as_large_as_the_map_leaves_the_centre_alone():
    layer = atrous_pyramid.NormalizedConvolution(2, dilation_rate=5)
    layer.build(X.shape)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer.convolution(X[:, :, :5]) ** 2)
    gradient = np.abs(tape.gradient(value, layer.convolution.kernel.value)).max(axis=(2, 3))
    assert gradient[1, 1] > 0 and np.count_nonzero(gradient) == 1


def test_one_image_alone_is_refused_in_training_and_fine_in_use():
    layer = randomized(atrous_pyramid.AtrousSpatialPyramidPooling(4, (1,)), X.shape)
    one = X[:1]
    assert layer(one).shape == (1, 5, 7, 4)
    with pytest.raises(ValueError, match="two images.*batch of 1 on 1 replica.*batch_size to 2"):
        layer(one, training=True)
    # What would come out: the shift, whatever the image.
    mean = one.mean(axis=(1, 2), keepdims=True)
    shift = np.maximum(layer.whole.norm.beta.numpy(), 0)
    np.testing.assert_allclose(layer.whole(mean, training=True)[0, 0, 0], shift, atol=1e-6)


def test_one_image_on_each_of_two_replicas_is_a_batch_of_two():
    strategy = distribution.two_replicas()
    with strategy.scope():
        layer = randomized(atrous_pyramid.AtrousSpatialPyramidPooling(4, (1,)), X.shape)
    start = layer.get_weights()
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(X[context.replica_id_in_sync_group][None])
    )
    run = tf.function(lambda x: strategy.run(lambda part: layer(part, training=True), (x,)))
    outputs = strategy.experimental_local_results(run(shares))
    single = atrous_pyramid.AtrousSpatialPyramidPooling(4, (1,))
    single.build(X.shape)
    single.set_weights(start)
    expected = single(X, training=True)
    np.testing.assert_allclose(tf.concat(outputs, 0), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rates", [(), (6, 0)])
def test_rates_that_cannot_be(rates):
    with pytest.raises(ValueError, match="rates of at least 1. Received: rates=\\("):
        atrous_pyramid.AtrousSpatialPyramidPooling(4, rates)


def test_a_map_of_unknown_size_needs_rates():
    with pytest.raises(ValueError, match="known size.*\\(None, 8\\). Give the rates"):
        atrous_pyramid.AtrousSpatialPyramidPooling(4).build((None, None, 8, 3))
    layer = atrous_pyramid.AtrousSpatialPyramidPooling(4, (2,))
    layer.build((None, None, None, 3))
    assert layer(X).shape == (2, 5, 7, 4)
