"""Attentive normalisation against a loop over regions, its start, its orthogonal loss."""

import math

import numpy as np
import pytest
import tensorflow as tf

from models.layers import attentive_normalization, regions
from tests.helpers import numpy_attention

RNG = np.random.default_rng(0)
SEED = RNG.integers(-(2**31), 2**31, (2, 2)).astype("int32")


def names(layer):
    """The layer's variables by the names that `numpy_attention.naive` uses."""
    return {
        variable.path.removesuffix("/kernel").split("/")[-1]: variable
        for variable in layer.trainable_variables
    }


def lively_layer(channels, **kwargs):
    layer = attentive_normalization.AttentiveNormalization(
        3, temperature=0.8, dtype="float64", **kwargs
    )
    layer.build((None, None, None, channels))
    for name, variable in names(layer).items():
        if name in ("scale", "shift", "influence", "gate"):
            variable.assign(RNG.normal(0.5, 0.5, variable.shape))
    return layer


SETTINGS = [
    {},
    {"affine": False, "value_convolution": False},
    {"key_pooling": 1},
    {"key_pooling": 3},
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_values_equal_the_loop(settings, training):
    x = RNG.normal(1.0, 2.0, (2, 5, 6, 16))
    layer = lively_layer(16, **settings)
    weights = {name: variable.numpy() for name, variable in names(layer).items()}
    pool = layer.key_pooling
    windows = math.ceil(5 / pool) * math.ceil(6 / pool)
    positions = regions.sample_positions(SEED, 3, windows).numpy() if training else None
    # A bias of the values changes nothing, which is why the layer has none.
    expected = numpy_attention.naive(
        x, weights, positions, pool=pool, temperature=0.8, value_bias=RNG.normal(size=16)
    )
    actual = layer(x, SEED, training=training)
    np.testing.assert_allclose(actual["outputs"], expected[0], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(actual["layout"], expected[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=str)
def test_gradients_equal_those_of_the_loop(settings):
    """The loop's gradients by complex steps, exact to rounding: Im f(a + ih) / h."""
    x = RNG.normal(1.0, 2.0, (2, 3, 4, 8))
    layer = lively_layer(8, **settings)
    positions = regions.sample_positions(SEED, 3, 4).numpy()
    on_outputs, on_layout = RNG.normal(size=x.shape), RNG.normal(size=(2, 3, 4, 3))

    variables = {name: variable.value for name, variable in names(layer).items()}
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        result = layer(inputs, SEED, training=True)
        loss = tf.reduce_sum(result["outputs"] * on_outputs)
        loss += tf.reduce_sum(result["layout"] * on_layout)
    actual = tape.gradient(loss, {"x": inputs, **variables})

    arrays = {"x": x} | {name: variable.numpy() for name, variable in variables.items()}
    for name, array in arrays.items():
        expected = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            step = np.array(array, dtype=complex)
            step[index] += 1e-30j
            moved = arrays | {name: step}
            outputs, layout = numpy_attention.naive(
                moved.pop("x"), moved, positions, pool=2, temperature=0.8
            )
            total = (outputs * on_outputs).sum() + (layout * on_layout).sum()
            expected[index] = total.imag / 1e-30
        np.testing.assert_allclose(actual[name], expected, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize(("mean", "tolerance"), [(1, 1e-6), (10, 2e-6), (100, 1e-5), (1000, 1e-4)])
def test_float32_survives_a_large_mean(mean, tolerance):
    features = (RNG.normal(size=(2, 400, 6)) + mean).astype("float32")
    masks = RNG.dirichlet(np.ones(4), (2, 400)).astype("float32")
    exact = regions.regional_normalization(features.astype("float64"), masks.astype("float64"))
    actual = regions.regional_normalization(features, masks).numpy()
    assert np.abs(actual - exact).max() / np.abs(exact).max() < tolerance


def test_hard_regions_get_mean_0_and_variance_1():
    ids = RNG.integers(0, 3, (2, 300))
    features = RNG.normal(size=(2, 300, 5)) * (1.0 + ids[..., None]) + 10.0 * ids[..., None]
    out = regions.regional_normalization(features, np.eye(3)[ids]).numpy()
    for image, of_image in zip(out, ids, strict=True):
        for region in range(3):
            inside = image[of_image == region]
            np.testing.assert_allclose(inside.mean(0), 0.0, atol=1e-10)
            np.testing.assert_allclose(inside.std(0), 1.0, atol=1e-4)


def test_uniform_masks_are_instance_normalisation():
    features = RNG.normal(3.0, 2.0, (2, 50, 4))
    out = regions.regional_normalization(features, np.full((2, 50, 8), 1 / 8)).numpy()
    expected = features - features.mean(1, keepdims=True)
    expected /= np.sqrt(features.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(out, expected, atol=1e-10)


def test_a_dead_region_leaves_values_and_gradients_finite():
    features = tf.constant(RNG.normal(size=(1, 20, 3)).astype("float32"))
    masks = tf.constant(np.tile(np.float32([1.0, 0.0]), (1, 20, 1)))
    with tf.GradientTape() as tape:
        tape.watch([features, masks])
        out = tf.reduce_sum(regions.regional_normalization(features, masks) ** 2)
    assert np.isfinite(out)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(out, [features, masks]))


def tensors(graph):
    """Every tensor of a graph and of the functions it calls."""
    for operation in graph.get_operations():
        yield from operation.outputs
    for function in graph._functions.values():
        yield from tensors(function.graph)


def test_no_tensor_has_entities_times_channels_per_position():
    """Neither forwards nor backwards: memory grows with n + C, not with n * C."""
    batch, height, width, channels, entities = 2, 8, 10, 40, 7
    layer = attentive_normalization.AttentiveNormalization(entities)
    layer.build((None, height, width, channels))

    @tf.function
    def step(x, seed):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = layer(x, seed, training=True)
            loss = tf.reduce_sum(result["outputs"] ** 2) + tf.reduce_sum(result["layout"] ** 2)
        return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    graph = step.get_concrete_function(
        tf.TensorSpec((batch, height, width, channels)), tf.TensorSpec((batch, 2), tf.int32)
    ).graph
    shapes = [tuple(tensor.shape) for tensor in tensors(graph) if tensor.shape.rank]
    assert (batch, height * width, channels) in shapes  # the walk sees the layer's tensors
    largest = max(math.prod(shape) for shape in shapes if None not in shape)
    assert largest == batch * height * width * channels
    assert not [s for s in shapes if len(s) >= 4 and entities in s and channels in s]


def test_the_layer_starts_as_the_identity():
    x = RNG.normal(size=(2, 4, 6, 8)).astype("float32")
    layer = attentive_normalization.AttentiveNormalization()
    for training in (True, False):
        np.testing.assert_array_equal(layer(x, SEED, training=training)["outputs"], x)


def test_initial_values_are_the_papers():
    layer = attentive_normalization.AttentiveNormalization(300, entity_initializer=None)
    layer.build((None, 4, 4, 100))
    variables = names(layer)
    np.testing.assert_allclose(variables["influence"].numpy(), 0.1)
    np.testing.assert_array_equal(variables["scale"].numpy(), 1.0)
    np.testing.assert_array_equal(variables["shift"].numpy(), 0.0)
    assert abs(variables["entity_weight"].numpy().std() - 1.0) < 0.02
    assert variables["query_kernel"].shape == variables["key"].shape == (100, 12)


def test_parameter_count():
    layer = attentive_normalization.AttentiveNormalization()
    layer.build((None, 32, 32, 256))
    kernels = 256 * 256 + 16 * 256 + 2 * 256 * 32
    assert round(kernels / 1e3, 1) == 86.0
    assert layer.count_params() == kernels + 2 * 16 * 256 + 16 + 1


def test_inference_draws_nothing():
    x = RNG.normal(size=(2, 4, 6, 8)).astype("float32")
    layer = attentive_normalization.AttentiveNormalization()
    without = layer(x, training=False)["layout"]
    np.testing.assert_array_equal(layer(x, SEED, training=False)["layout"], without)
    np.testing.assert_allclose(layer(x[:1])["layout"], without[:1], atol=1e-6)
    assert np.abs(layer(x, SEED, training=True)["layout"] - without).max() > 1e-4


def test_training_needs_seeds():
    layer = attentive_normalization.AttentiveNormalization()
    with pytest.raises(ValueError, match="Expected a seed for each image.*Received: seed=None"):
        layer(np.zeros((1, 4, 4, 8), "float32"), training=True)


@pytest.mark.parametrize("setting", ["entities", "key_pooling"])
def test_settings_are_checked(setting):
    with pytest.raises(ValueError, match=f"Received: .*{setting}=0"):
        attentive_normalization.AttentiveNormalization(**{setting: 0})


def test_the_orthogonal_loss_is_the_squared_frobenius_norm():
    layer = attentive_normalization.AttentiveNormalization(
        5, orthogonal_weight=0.25, entity_initializer=None
    )
    layer.build((None, 4, 4, 8))
    rows = names(layer)["entity_weight"].numpy().astype("float64")
    expected = sum((rows[i] @ rows[j] - (i == j)) ** 2 for i in range(5) for j in range(5))
    np.testing.assert_allclose(layer.losses, [0.25 * expected], rtol=1e-5)
    np.testing.assert_allclose(layer.monitored()["orthogonality"], expected, rtol=1e-5)


def test_entities_start_orthonormal_without_orthogonal_loss():
    layer = attentive_normalization.AttentiveNormalization(5)
    layer.build((None, 4, 4, 8))
    np.testing.assert_allclose(layer.losses, [0.0], atol=1e-10)
    # Antipodal pairs cancel in the plain sum of entries that the released code minimises.
    pair = np.ones((2, 3)) * np.array([[1.0], [-1.0]])
    assert float(regions.orthogonality(pair)) == 26.0


def test_weight_0_leaves_the_orthogonal_loss_out():
    layer = attentive_normalization.AttentiveNormalization(5, orthogonal_weight=0.0)
    layer.build((None, 4, 4, 8))
    assert layer.losses == []


def test_monitored_values():
    layer = lively_layer(8)
    values, variables = layer.monitored(), names(layer)
    assert float(values["rho"]) == variables["gate"].numpy()
    np.testing.assert_allclose(values["mean_t"], variables["influence"].numpy().mean())
