"""The laws that every layer and network of the layer tables obeys."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import (
    distribution,
    layer_table,
    layer_table_inpainting,
    layer_table_segmentation,
)
from tests.helpers.layer_case import BATCH

CASES = layer_table.CASES + layer_table_inpainting.CASES + layer_table_segmentation.CASES

every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
# Networks are made of layers that obey this law; both layouts of the whole take seconds to compile.
layers_first = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.is_network else [])
        for case in CASES
    ],
)


def assert_close(actual, expected, tolerance=1e-5):
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance),
        actual,
        expected,
    )


def array(tensor):
    return tf.convert_to_tensor(tensor).numpy()


def values(layer):
    return [array(variable) for variable in layer.variables]


def assert_outputs(case, outputs, compute_dtype, batch=BATCH):
    """Compares nested outputs with the table: shapes, and dtypes."""

    def check(expected, actual):
        shape, dtype = expected if isinstance(expected[0], tuple) else (expected, compute_dtype)
        assert actual.shape == (batch, *shape)
        assert actual.dtype == dtype

    def walk(expected, actual):
        if isinstance(expected, dict):
            assert set(expected) == set(actual)
            for key, value in expected.items():
                walk(value, actual[key])
        elif isinstance(expected, list):
            assert len(expected) == len(actual)
            for pair in zip(expected, actual, strict=True):
                walk(*pair)
        else:
            check(expected, actual)

    walk(case.outputs, outputs)


def loss_of(outputs):
    """Sum over the batch of a fixed nonlinear function of each output."""
    total = 0.0
    for output in tf.nest.flatten(outputs):
        output = tf.cast(output, tf.float32)
        weights = tf.cos(tf.range(tf.size(output[0]), dtype=tf.float32))
        projected = tf.tensordot(tf.reshape(output, (tf.shape(output)[0], -1)), weights, 1)
        total += tf.reduce_sum(projected + 0.1 * projected**2)
    return total


def gradients(case, layer, inputs):
    with tf.GradientTape() as tape:
        loss = loss_of(case.call(layer, inputs, training=True))
    return tape.gradient(loss, layer.trainable_variables)


@every_case
def test_builds_from_shape_and_creates_nothing_later(case):
    layer = case.build(case.make())
    assert layer.built
    before = [variable.path for variable in layer.variables]
    case.call(layer, case.sample(), training=True)
    assert [variable.path for variable in layer.variables] == before


@every_case
def test_outputs_are_as_stated(case):
    layer = case.build(case.make())
    assert_outputs(case, case.call(layer, case.sample(), training=True), "float32")


@every_case
def test_first_call_builds_the_same_variables(case):
    layer = case.make()
    case.call(layer, case.sample(), training=True)
    built = case.build(case.make())
    assert [v.shape for v in layer.variables] == [v.shape for v in built.variables]


@every_case
def test_config_is_plain_json_and_complete(case):
    layer = case.build(case.make())
    config = json.loads(json.dumps(layer.get_config()))
    clone = case.build(type(layer).from_config(config))
    assert json.loads(json.dumps(clone.get_config())) == config
    clone.set_weights(layer.get_weights())
    inputs = case.sample()
    assert_close(case.call(clone, inputs, training=False), case.call(layer, inputs, training=False))


@every_case
def test_keras_file_round_trip(case, tmp_path):
    layer = case.build(case.make())
    inputs = case.sample()
    case.call(layer, inputs, training=True)  # moves what is not trained by gradients
    if case.is_network:
        model = layer
    else:
        symbols = [
            keras.Input(kind.shape, dtype=kind.dtype, name=f"input_{index}")
            for index, kind in enumerate(case.inputs)
        ]
        model = keras.Model(symbols, layer(*symbols))
    model.save(tmp_path / "saved.keras")
    loaded = keras.saving.load_model(tmp_path / "saved.keras")
    for before, after in zip(values(model), values(loaded), strict=True):
        np.testing.assert_array_equal(before, after)
    arguments = inputs if case.is_network else list(inputs)
    assert_close(loaded(arguments, training=False), model(arguments, training=False), 1e-6)


@every_case
def test_eager_equals_compiled_with_unknown_batch(case):
    layer = case.build(case.make())
    inputs = case.sample()
    start = layer.get_weights()
    signature = tf.nest.map_structure(
        lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), inputs
    )

    @tf.function(input_signature=[signature])
    def compiled(inputs):
        # Training first: its order with inference shows whether the updates happen in the graph.
        trained = case.call(layer, inputs, training=True)
        return trained, case.call(layer, inputs, training=False)

    in_graph = tf.nest.flatten(compiled(inputs)) + values(layer)
    layer.set_weights(start)
    trained = case.call(layer, inputs, training=True)
    eager = tf.nest.flatten((trained, case.call(layer, inputs, training=False))) + values(layer)
    for one, two in zip(in_graph, eager, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@every_case
def test_gradient_reaches_every_trainable_variable(case):
    layer = case.build(case.make())
    for variable, gradient in zip(
        layer.trainable_variables, gradients(case, layer, case.sample()), strict=True
    ):
        assert gradient is not None, variable.path
        gradient = array(gradient)
        assert np.isfinite(gradient).all(), variable.path
        # A bias in front of a normalisation has gradient 0 by right; a kernel never.
        assert gradient.ndim < 2 or np.abs(gradient).max() > 1e-6, variable.path


@every_case
def test_inference_changes_no_variable(case):
    layer = case.build(case.make())
    before = values(layer)
    case.call(layer, case.sample(), training=False)
    for old, new in zip(before, values(layer), strict=True):
        np.testing.assert_array_equal(old, new)


@layers_first
def test_two_replicas_equal_one_after_a_step(case):
    strategy = distribution.two_replicas()
    single = case.build(case.make())
    inputs = case.sample()
    with strategy.scope():
        double = case.build(type(single).from_config(single.get_config()))
        double.set_weights(single.get_weights())

    def step(layer, optimizer, inputs):
        with tf.GradientTape() as tape:
            loss = loss_of(case.call(layer, inputs, training=True)) / BATCH
        if optimizer:
            optimizer.apply(tape.gradient(loss, layer.trainable_variables))
        return loss

    def optimizer_for(layer):
        if not layer.trainable_variables:
            return None
        optimizer = keras.optimizers.SGD(0.01)
        optimizer.build(layer.trainable_variables)
        return optimizer

    with strategy.scope():
        double_optimizer = optimizer_for(double)
    halves = [
        tf.nest.map_structure(lambda x: x[: BATCH // 2], inputs),
        tf.nest.map_structure(lambda x: x[BATCH // 2 :], inputs),
    ]
    shares = tf.nest.map_structure(
        lambda *pair: strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(pair[context.replica_id_in_sync_group])
        ),
        *halves,
    )
    run = tf.function(
        lambda inputs: strategy.run(lambda part: step(double, double_optimizer, part), (inputs,))
    )
    losses = strategy.experimental_local_results(run(shares))
    expected = step(single, optimizer_for(single), inputs)
    np.testing.assert_allclose(sum(map(float, losses)), float(expected), rtol=1e-4, atol=1e-5)
    for one, two in zip(single.variables, double.variables, strict=True):
        first, second = (array(v) for v in strategy.experimental_local_results(two.value))
        np.testing.assert_array_equal(first, second, err_msg=two.path)
        np.testing.assert_allclose(array(one), first, rtol=1e-4, atol=2e-5, err_msg=one.path)


@every_case
def test_mixed_precision_is_finite_and_keeps_float32_variables(case):
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = case.build(case.make())
    inputs = case.sample()
    assert_outputs(case, case.call(layer, inputs, training=True), "bfloat16")
    assert all(variable.dtype == "float32" for variable in layer.variables)
    for value in values(layer) + [array(g) for g in gradients(case, layer, inputs)]:
        assert np.isfinite(value).all()
