"""Spectral normalisation against singular value decompositions and the closed-form gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers import spectral_normalization

X = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype("float32")
VECTORS = X.reshape(-1, 4)
IDS = np.array([0, 6, 3], "int32")

LAYERS = {
    "conv": (lambda: spectral_normalization.SpectralConv2D(7, 3, padding="same"), X),
    "dense": (lambda: spectral_normalization.SpectralDense(5), VECTORS),
    "embedding": (lambda: spectral_normalization.SpectralEmbedding(9, 4), IDS),
}


def raw(layer):
    return layer.embeddings if hasattr(layer, "embeddings") else layer.kernel


def matrix(weight):
    weight = np.asarray(tf.convert_to_tensor(weight), dtype=np.float64)
    return weight.reshape(-1, weight.shape[-1])


@pytest.fixture(params=LAYERS)
def layer_and_inputs(request):
    make, inputs = LAYERS[request.param]
    layer = make()
    layer(inputs)
    return layer, inputs


def test_u_has_one_entry_per_row_and_is_not_trained(layer_and_inputs):
    layer, _ = layer_and_inputs
    assert layer.u.shape == (matrix(raw(layer)).shape[0], 1)
    assert [v.path for v in layer.non_trainable_variables] == [layer.u.path]


def test_used_weight_has_spectral_norm_one_after_training_calls(layer_and_inputs):
    layer, inputs = layer_and_inputs
    before = matrix(raw(layer))
    call = tf.function(lambda: layer(inputs, training=True))
    for _ in range(200):
        call()
    np.testing.assert_array_equal(matrix(raw(layer)), before)  # only the optimiser may write it
    used = matrix(layer.normalized_weight(training=False))
    assert np.linalg.norm(used, 2) == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(used, before / np.linalg.norm(before, 2), rtol=2e-3, atol=1e-5)


def test_one_training_call_is_one_power_iteration(layer_and_inputs):
    layer, inputs = layer_and_inputs
    weight, u = matrix(raw(layer)), matrix(layer.u)
    v = weight.T @ u
    v /= np.linalg.norm(v)
    expected = weight @ v / np.linalg.norm(weight @ v)
    sigma = (expected.T @ weight @ v).item()
    np.testing.assert_allclose(
        matrix(layer.normalized_weight(training=False)), weight / sigma, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(matrix(layer.u), u)
    layer(inputs, training=True)
    np.testing.assert_allclose(matrix(layer.u), expected, rtol=1e-4, atol=1e-6)


def test_gradient_passes_through_sigma():
    layer = spectral_normalization.SpectralDense(5)
    layer.build((None, 4))
    weight = matrix(layer.kernel)
    left, singular, right = np.linalg.svd(weight, full_matrices=False)
    layer.u.assign(left[:, :1])
    direction = np.random.default_rng(1).normal(size=weight.shape)
    with tf.GradientTape() as tape:
        used = layer.normalized_weight(training=True)
        loss = tf.reduce_sum(used * tf.constant(direction, tf.float32))
    gradient = tape.gradient(loss, layer.trainable_variables)[0].numpy()
    # d<G, W/s> = <G, dW>/s - <G, W> <u v^T, dW>/s^2
    through = np.sum(direction * weight) / singular[0] ** 2 * np.outer(left[:, 0], right[0])
    np.testing.assert_allclose(gradient, direction / singular[0] - through, rtol=1e-3, atol=1e-4)
    assert np.abs(through).max() > 0.05  # what a stopped sigma would miss


def test_layers_apply_the_normalised_weight():
    dense = spectral_normalization.SpectralDense(5, activation="relu", bias_initializer="ones")
    actual = dense(VECTORS)
    weight = matrix(dense.normalized_weight(training=False))
    np.testing.assert_allclose(actual, np.maximum(VECTORS @ weight + 1, 0), rtol=1e-4, atol=1e-5)

    embedding = spectral_normalization.SpectralEmbedding(9, 4)
    actual = embedding(IDS)
    np.testing.assert_allclose(actual, matrix(embedding.normalized_weight(training=False))[IDS])

    convolution = spectral_normalization.SpectralConv2D(7, 3, strides=2, bias_initializer="ones")
    actual = convolution(X)
    plain = keras.layers.Conv2D(7, 3, strides=2)
    plain.build(X.shape)
    plain.set_weights([convolution.normalized_weight(training=False), np.ones(7)])
    np.testing.assert_allclose(actual, plain(X), rtol=1e-4, atol=1e-5)


def test_sigma_is_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = spectral_normalization.SpectralDense(16, use_bias=False)
    layer.build((None, 16))
    diagonal = np.linspace(1.011, 0.3, 16, dtype="float32")
    layer.kernel.assign(np.diag(diagonal))
    layer.u.assign(np.eye(16, 1))
    actual = tf.linalg.diag_part(layer(np.eye(16, dtype="float32"), training=True))
    assert actual.dtype == tf.bfloat16
    np.testing.assert_array_equal(actual, tf.cast(diagonal / diagonal[0], tf.bfloat16))
    rounded_first = tf.cast(diagonal, tf.bfloat16) / tf.cast(diagonal[0], tf.bfloat16)
    assert np.any(np.asarray(actual) != np.asarray(rounded_first))


def test_zero_weight_stays_zero_and_finite():
    layer = spectral_normalization.SpectralDense(3, kernel_initializer="zeros")
    np.testing.assert_array_equal(layer(VECTORS, training=True), np.zeros((len(VECTORS), 3)))
    assert np.isfinite(matrix(layer.u)).all()
