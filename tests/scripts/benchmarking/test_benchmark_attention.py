"""The benchmark of attention layers: its naive form is the layer, and its rows; no timings."""

import re

import numpy as np
import pytest
import tensorflow as tf

from models.layers import attentive_normalization
from scripts.benchmarking import naive_layer
from tests.helpers import measured, tiny

SCRIPT = "scripts/benchmark.py"
RNG = np.random.default_rng(0)
SEED = RNG.integers(-(2**31), 2**31, (2, 2)).astype("int32")


def lively_pair(channels, **settings):
    """The layer and its naive form with the same weights, none of which is at its start."""
    layer, naive = (
        kind(3, temperature=0.8, dtype="float64", **settings)
        for kind in (
            attentive_normalization.AttentiveNormalization,
            naive_layer.NaiveAttentiveNormalization,
        )
    )
    for each in (layer, naive):
        each.build((None, None, None, channels))
    # Small: in a region of one position the variance of either form is only noise.
    values = [RNG.normal(0.1, 0.2, weight.shape) for weight in layer.get_weights()]
    layer.set_weights(values)
    naive.set_weights(values)
    return layer, naive


def outputs_and_gradients(layer, x, training):
    upstream = np.random.default_rng(1).normal(size=x.shape)
    variables = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        result = layer(inputs, SEED, training=training)
        loss = tf.reduce_sum(result["outputs"] * upstream)
        loss += tf.reduce_sum(result["layout"] ** 2)
    gradients = tape.gradient(loss, [inputs, *variables], unconnected_gradients="zero")
    return [result["outputs"], result["layout"], *gradients]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "settings", [{}, {"affine": False, "value_convolution": False}, {"key_pooling": 1}], ids=str
)
def test_the_naive_form_is_the_layer(settings, training):
    x = RNG.normal(1.0, 2.0, (2, 5, 8, 16))
    layer, naive = lively_pair(16, **settings)
    actual = outputs_and_gradients(naive, x, training)
    expected = outputs_and_gradients(layer, x, training)
    assert len(actual) == len(expected) >= 7
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_the_naive_form_is_naive():
    """It has the tensor that the layer avoids."""
    x = tf.zeros([2, 4, 4, 16], tf.float64)
    for layer, expected in zip(lively_pair(16), (False, True), strict=True):
        call = tf.function(lambda x, layer=layer: layer(x, SEED, training=True)["outputs"])
        operations = call.get_concrete_function(x).graph.get_operations()
        shapes = [tuple(t.shape) for o in operations for t in o.outputs if t.shape.rank]
        assert ((2, 16, 16, 3) in shapes) == expected


def test_every_layer_is_measured_at_every_size(monkeypatch, capsys):
    arguments = ["sizes=[8,12]", "channels=16", "entities=3", "batch_size=2", "rounds=1", "steps=1"]
    measured.run(monkeypatch, "attention", *arguments, "precision=mixed_bfloat16")
    printed = capsys.readouterr().out
    table = measured.rows(printed)
    assert table.pop("layer") == ["ms", "time", "extra MiB", "memory"]
    names = ("attentive normalisation", "the same, naive", "self-attention")
    assert list(table) == [f"{n} x {n}: {name}" for n in (8, 12) for name in names]
    rows = list(table.values())
    assert [row[1] for row in rows[::3]] == ["1.00x", "1.00x"]
    assert all(float(row[0].split()[0]) > 0 and float(row[2]) >= 0 for row in rows)
    assert "batch 2, 16 channels,\n3 entities, mixed_bfloat16" in printed


@pytest.mark.slow
def test_layers_have_processes_of_their_own():
    arguments = ["sizes=8", "channels=16", "entities=3", "batch_size=2", "rounds=1", "steps=1"]
    done = tiny.command(SCRIPT, "attention", *arguments)
    assert done.returncode == 0, done.stderr
    assert list(measured.rows(done.stdout))[1] == "8 x 8: attentive normalisation"
    done = tiny.command(SCRIPT, "attention", "sizes=8", "precision=float8")
    message = r"Received: precision='float8' \(in variant '8 x 8: attentive normalisation'\)"
    assert re.search(message, done.stderr) and "Traceback" not in done.stderr
