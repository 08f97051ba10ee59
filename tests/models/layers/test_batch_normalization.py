"""Batch normalisation by class or plain, and the embedding of classes."""

import numpy as np
import pytest
import tensorflow as tf

from models.layers import batch_normalization, class_embedding, residual, spectral_normalization
from tests.helpers import numpy_networks

RNG = np.random.default_rng(0)
X = (2.0 + 3.0 * RNG.normal(size=(4, 4, 6, 5))).astype("float32")
LABELS = np.array([2, 0, 2, 1])


def conditional(num_classes=3, x_shape=X.shape, condition_shape=(None,), **kwargs):
    layer = batch_normalization.ConditionalBatchNormalization(num_classes, **kwargs)
    layer.build(x_shape, condition_shape)
    return layer


def shake(layer):
    for variable in layer.trainable_variables:
        variable.assign(RNG.normal(1.0, 0.5, variable.shape))
    return layer


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_each_image_gets_the_scale_and_shift_of_its_class(shape, dtype):
    layer = shake(conditional(condition_shape=(None, *shape[1:])))
    expected = numpy_networks.normalize_by_class(X, layer.gamma.numpy(), layer.beta.numpy(), LABELS)
    actual = layer(X, LABELS.reshape(shape).astype(dtype), training=True)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(4, 6), (1, 6), (6, 1)])
def test_no_shape_trap_where_batch_and_height_agree(size):
    """[B, 1, C] instead of [B, 1, 1, C]: silently wrong for B = H, another shape for H = 1."""
    x = RNG.normal(size=(4, *size, 5)).astype("float32")
    layer = shake(conditional(x_shape=x.shape))
    expected = numpy_networks.normalize_by_class(x, layer.gamma.numpy(), layer.beta.numpy(), LABELS)
    actual = layer(x, LABELS, training=True)
    assert actual.shape == x.shape
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_initial_values():
    layer = conditional()
    np.testing.assert_array_equal(layer.gamma.numpy(), np.ones((3, 5)))
    np.testing.assert_array_equal(layer.beta.numpy(), np.zeros((3, 5)))
    np.testing.assert_array_equal(layer.normalization.moving_mean.numpy(), np.zeros(5))
    np.testing.assert_array_equal(layer.normalization.moving_variance.numpy(), np.ones(5))
    # With a moving variance from 0 the first inference would scale by 1 / sqrt(epsilon) = 316.
    np.testing.assert_allclose(layer(X, LABELS, training=False), X, rtol=1e-4)


def test_momentum_and_epsilon_are_used():
    layer = conditional(momentum=0.75, epsilon=0.5)
    out = layer(X, LABELS, training=True)
    expected = numpy_networks.normalize(X.astype("float64"), (0, 1, 2), epsilon=0.5)
    np.testing.assert_allclose(out, expected, atol=1e-4)
    mean = X.mean((0, 1, 2))
    np.testing.assert_allclose(layer.normalization.moving_mean.numpy(), 0.25 * mean, rtol=1e-4)


def test_a_block_of_two_normalisations_trains():
    """With gamma from 0 every gradient of the branch would be exactly 0."""
    block = residual.ResidualBlock(
        5, batch_normalization.ConditionalBatchNormalization(3), activation="relu"
    )
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(block(X, LABELS, training=True) ** 2)
    for variable, gradient in zip(
        block.trainable_variables, tape.gradient(loss, block.trainable_variables), strict=True
    ):
        if variable.ndim > 1:
            assert np.abs(gradient).max() > 1e-4, variable.path


def test_inference_belongs_to_the_image():
    layer = shake(conditional())
    layer(X, LABELS, training=True)
    together = layer(X, LABELS, training=False)
    np.testing.assert_allclose(layer(X[1:2], LABELS[1:2]), together[1:2], atol=1e-5)


def test_vectors_modulate_linearly_around_1():
    vectors = RNG.normal(size=(4, 7)).astype("float32")
    layer = conditional(condition_shape=(None, 7))
    gain, bias = vectors @ layer.gain.kernel.numpy(), vectors @ layer.bias.kernel.numpy()
    normalized = numpy_networks.normalize(X.astype("float64"), (0, 1, 2))
    expected = (1 + gain[:, None, None]) * normalized + bias[:, None, None]
    np.testing.assert_allclose(layer(X, vectors, training=True), expected, atol=1e-4)
    assert layer.gain.bias is None


def test_gradients_of_the_tables_are_dense():
    layer = conditional()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X, LABELS, training=True) ** 3)
    assert all(
        isinstance(gradient, tf.Tensor)
        for gradient in tape.gradient(loss, [v.value for v in layer.trainable_variables])
    )


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_does_not_pass(label):
    labels = np.array([0, 1, 2, label])
    embeddings = [
        class_embedding.ClassEmbedding(3, 4),
        spectral_normalization.SpectralEmbedding(3, 4),
    ]
    layer = conditional()
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{label} is not in"):
        layer(X, labels)
    for embedding in embeddings:
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{label} is not in"):
            embedding(labels)


def test_class_count_is_checked():
    with pytest.raises(ValueError, match="at least one class. Received: num_classes=0"):
        batch_normalization.ConditionalBatchNormalization(0)


def test_a_map_is_no_class():
    with pytest.raises(ValueError, match=r"Received: condition_shape=\(None, 4, 6, 3\).*SPADE"):
        conditional(condition_shape=(None, 4, 6, 3))


@pytest.mark.parametrize("settings", [{"num_classes": 0}, {"num_classes": 3, "units": 1}])
def test_embedding_settings_are_checked(settings):
    with pytest.raises(ValueError, match="Received: num_classes=.*, units="):
        class_embedding.ClassEmbedding(**settings)


def test_embedding_looks_up_rows_and_starts_orthonormal():
    layer = class_embedding.ClassEmbedding(3, 8)
    vectors = layer(LABELS)
    table = layer.table.numpy()
    np.testing.assert_array_equal(vectors, table[LABELS])
    np.testing.assert_allclose(table @ table.T, np.eye(3), atol=1e-5)


def test_plain_normalisation_ignores_the_condition():
    layer = batch_normalization.PlainBatchNormalization()
    layer.build(X.shape)
    gamma, beta = RNG.normal(size=(2, 5))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    expected = gamma * numpy_networks.normalize(X.astype("float64"), (0, 1, 2)) + beta
    np.testing.assert_allclose(layer(X, LABELS, training=True), expected, atol=1e-4)


def test_weights_of_classes_blend_their_parameters():
    weights = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5], [0, 0, 1.0]])
    layer = shake(conditional())
    gamma, beta = layer.gamma.numpy().astype("float64"), layer.beta.numpy().astype("float64")
    mixed = layer(X, weights.astype("float32"), training=True)
    expected = numpy_networks.normalize_by_class(X, weights @ gamma, weights @ beta, range(4))
    np.testing.assert_allclose(mixed, expected, atol=2e-5)
    embedding = class_embedding.ClassEmbedding(3, 6)
    embedding.build((None,))
    np.testing.assert_allclose(
        embedding(weights.astype("float32")), weights @ embedding.table.numpy(), atol=1e-6
    )


def test_a_mixture_of_one_class_is_that_class():
    layer = shake(conditional())
    one_hot = np.eye(3, dtype="float32")[LABELS]
    np.testing.assert_array_equal(layer(X, one_hot), layer(X, LABELS))
