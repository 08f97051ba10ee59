"""Parameter-free statistics, SPADE and the residual block against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers import modulation, residual, statistics
from tests.helpers import distribution, numpy_networks

RNG = np.random.default_rng(0)
X = (2.0 + 3.0 * RNG.normal(size=(3, 4, 6, 5))).astype("float32")
MASK = np.eye(3, dtype="float32")[RNG.integers(0, 3, (3, 8, 12))]


def test_batch_statistics_normalise_and_move_the_averages():
    layer = statistics.BatchStatistics()
    actual = layer(X, training=True)
    np.testing.assert_allclose(
        actual, numpy_networks.normalize(X.astype("float64"), (0, 1, 2)), atol=2e-5
    )
    mean, unbiased = X.mean((0, 1, 2)), X.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_inference_does_not_depend_on_batch_mates():
    layer = modulation.SPADE(4)
    layer(X, MASK, training=True)
    together = layer(X, MASK, training=False)
    np.testing.assert_allclose(layer(X[:1], MASK[:1], training=False), together[:1], atol=1e-5)


def test_frozen_statistics_do_not_move():
    layer = statistics.BatchStatistics()
    layer.build(X.shape)
    layer.trainable = False
    np.testing.assert_allclose(layer(X, training=True), X / np.sqrt(1 + 1e-5), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.zeros(5))


def test_synchronised_statistics_survive_a_large_mean():
    strategy = distribution.two_replicas()
    with strategy.scope():
        layer = statistics.BatchStatistics()
        layer.build((None, 4, 6, 5))
    x = (1000.0 + RNG.normal(size=(4, 4, 6, 5))).astype("float32")
    x[2:] += 3.0  # the replicas see different means
    share = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(x[2 * context.replica_id_in_sync_group :][:2])
    )
    run = tf.function(lambda share: strategy.run(lambda x: layer(x, training=True), (share,)))
    actual = np.concatenate(strategy.experimental_local_results(run(share)))
    expected = numpy_networks.normalize(x.astype("float64"), (0, 1, 2))
    np.testing.assert_allclose(actual, expected, atol=2e-3)  # float32 at 1000 has steps of 6e-5
    variance = strategy.experimental_local_results(layer.moving_variance.value)[1].numpy()
    np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var((0, 1, 2), ddof=1), rtol=1e-3)


def test_statistics_are_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    x = tf.cast(100.0 + tf.constant(X), tf.bfloat16)
    exact = tf.cast(x, tf.float32).numpy().astype("float64")
    for layer, axes in (
        (statistics.BatchStatistics(), (0, 1, 2)),
        (statistics.InstanceStatistics(), (1, 2)),
    ):
        actual = tf.cast(layer(x, training=True), tf.float32)
        expected = numpy_networks.normalize(exact, axes)
        np.testing.assert_allclose(actual, expected, rtol=4e-3, atol=1e-3)  # one bfloat16 rounding


def test_instance_statistics_of_one_position_are_zero():
    np.testing.assert_array_equal(
        statistics.InstanceStatistics()(X[:, :1, :1]), np.zeros((3, 1, 1, 5))
    )


@pytest.mark.parametrize("name", ["batch", "instance"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("training", [True, False])
def test_spade_equals_numpy(name, kernel_size, training):
    layer = modulation.SPADE(4, kernel_size, statistics=name)
    layer.build(X.shape, MASK.shape)
    numpy_networks.make_lively(layer)
    expected = numpy_networks.spade(layer, X.astype("float64"), MASK, training)
    np.testing.assert_allclose(layer(X, MASK, training=training), expected, atol=1e-4)


def test_spade_starts_near_identity_not_near_zero():
    layer = modulation.SPADE()
    out = layer(X, MASK, training=True)
    assert 0.8 < float(tf.math.reduce_std(out)) < 1.3  # gamma alone as the factor gives about 0.1


def test_modulate_adds_one_to_gamma():
    assert modulate_one(gamma=0.0, beta=0.0) == 3.0
    assert modulate_one(gamma=0.5, beta=-1.0) == 3.5


def modulate_one(gamma, beta):
    return modulation.modulate(3.0, gamma, beta)


def test_spade_takes_a_mask_resized_by_the_caller():
    layer = modulation.SPADE(4)
    small = modulation.resize_nearest(tf.constant(MASK), 4, 6)
    np.testing.assert_array_equal(layer(X, MASK), layer(X, small))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (8, 4, [0, 2, 4, 6]),
        (7, 3, [0, 2, 4]),
        (5, 7, [0, 0, 1, 2, 2, 3, 4]),
        (4, 8, [0, 0, 1, 1, 2, 2, 3, 3]),
        (3, 3, [0, 1, 2]),
    ],
)
def test_resize_nearest_takes_the_floor(old, new, expected):
    rows = tf.reshape(tf.range(old, dtype=tf.float32), (1, old, 1, 1))
    actual = modulation.resize_nearest(rows, new, 1)
    np.testing.assert_array_equal(actual[0, :, 0, 0], expected)
    columns = modulation.resize_nearest(tf.transpose(rows, (0, 2, 1, 3)), 1, new)
    np.testing.assert_array_equal(columns[0, 0, :, 0], expected)


@pytest.mark.parametrize("filters", [3, 5, 8])
@pytest.mark.parametrize("training", [True, False])
def test_residual_block_equals_numpy(filters, training):
    layer = residual.ResidualBlock(filters, modulation.SPADE(4))
    layer.build(X.shape, MASK.shape)
    numpy_networks.make_lively(layer)
    expected = numpy_networks.block(layer, X.astype("float64"), MASK, training)
    np.testing.assert_allclose(layer(X, MASK, training=training), expected, atol=1e-4)


def test_residual_block_copies_its_template():
    template = modulation.SPADE(4)
    layer = residual.ResidualBlock(3, template)
    layer.build(X.shape, MASK.shape)
    assert not template.built
    assert template not in layer._flatten_layers()
    norms = [layer.norm_1, layer.norm_2, layer.norm_skip]
    assert len({id(norm.gamma.kernel) for norm in norms}) == 3
    assert all(norm.hidden == 4 for norm in norms)
    assert layer.conv_skip.bias is None


def test_unknown_statistics_are_refused():
    with pytest.raises(ValueError, match="Received: statistics='layer'"):
        modulation.SPADE(statistics="layer")


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="Received: kernel_size=4"):
        modulation.SPADE(kernel_size=4)
