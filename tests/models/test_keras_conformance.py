"""Keras' own test of layers, for every layer of the tables; and dtype policies within them."""

import json

import keras
import numpy as np
import pytest
from keras.src.testing import test_case

from models.layers import (
    batch_normalization,
    class_embedding,
    modulation,
    residual,
    spectral_normalization,
)
from tests.helpers import layer_table
from tests.models.test_conformance import CASES, assert_outputs, every_case

# Keras hands the entries of a dict out as arguments. Networks take the dict as one: of its test
# they pass the part without a call, and the laws of test_conformance.py.
pytestmark = pytest.mark.slow

LAYERS = [case for case in CASES if not case.is_network]
NETWORKS = [case for case in CASES if case.is_network]
ARGUMENTS = {  # of layers that take several, after the first
    "AttentiveNormalization": "seed",
    "ContextualAttention": "hole",
    "HoleCritic": "hole",
}
FIRST = {"HoleCritic": "image"}


def maker(case):
    """Makes the layer of a case, settings of its own included, with other arguments."""
    layer = case.make()
    config = {k: v for k, v in layer.get_config().items() if k not in ("name", "dtype")}
    return lambda **kwargs: type(layer).from_config({**config, **kwargs})


def inputs_of(case):
    """(shapes, dtypes) in the form that `run_layer_test` takes."""
    kinds = [((2, *kind.shape), kind.dtype) for kind in case.inputs]
    if len(kinds) == 1:
        return kinds[0]
    name = type(case.make()).__name__
    names = [f"{FIRST.get(name, 'x')}_shape", f"{ARGUMENTS.get(name, 'condition')}_shape"]
    return [dict(zip(names, part, strict=True)) for part in zip(*kinds, strict=True)]


@pytest.mark.parametrize("case", LAYERS, ids=[case.name for case in LAYERS])
def test_a_layer_passes_the_test_of_keras(case):
    """In float32 and in mixed_float16."""
    shape, dtype = inputs_of(case)
    test_case.TestCase().run_layer_test(
        maker(case),
        {},
        input_shape=shape,
        input_dtype=dtype,
        # Its training step passes one argument, and takes the sum of a single output.
        run_training_check=isinstance(shape, tuple) and isinstance(case.outputs, tuple),
    )


@pytest.mark.parametrize("case", NETWORKS, ids=[case.name for case in NETWORKS])
def test_a_network_passes_the_test_of_serialization_of_keras(case):
    test_case.TestCase().run_class_serialization_test(case.make())


@every_case
def test_a_policy_reaches_every_layer_within_whatever_the_global_one_is(case):
    make, build = maker(case), case.build
    keras.config.set_dtype_policy("mixed_float16")
    layer = build(make(dtype="mixed_bfloat16"))
    parts = layer._flatten_layers()
    own = [part for part in parts if "StyleGuided" not in case.name or part is layer]
    assert {part.dtype_policy.name for part in own} <= {"mixed_bfloat16", "float32"}
    assert layer.dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "mixed_float16"

    keras.config.set_dtype_policy("float32")  # as where it is loaded
    config = json.loads(json.dumps(layer.get_config()))
    loaded = build(type(layer).from_config(config))
    policies = [[p.dtype_policy.name for p in x._flatten_layers()] for x in (layer, loaded)]
    assert policies[0] == policies[1]
    assert_outputs(case, case.call(loaded, case.sample(), training=True), "bfloat16")


@pytest.mark.parametrize(
    "layer",
    [modulation.SPADE(4), residual.ResidualBlock(5, modulation.SPADE(4), dtype="mixed_float16")],
    ids=["SPADE", "ResidualBlock"],
)
def test_layers_that_are_made_before_and_in_the_build_have_the_policy_given(layer):
    policy = "mixed_float16" if isinstance(layer, residual.ResidualBlock) else "mixed_bfloat16"
    layer = type(layer).from_config({**layer.get_config(), "dtype": policy})
    layer.build((None, 4, 4, 3), (None, 4, 4, 2))
    names = {part.name: part.dtype_policy.name for part in layer._flatten_layers()}
    assert {"shared", "gamma", "beta"} <= set(names) and set(names.values()) == {policy}


@pytest.mark.parametrize("settings", [{}, {"embedding": class_embedding.ClassEmbedding(7, 5)}])
def test_a_class_conditional_generator_of_mixed_precision_loads_in_float32(settings, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = layer_table.class_generator(**settings)
    inputs = {"label": np.array([1, 6]), "noise": np.ones([2, 6], "float32")}
    expected = network(inputs)["image"]
    network.save(tmp_path / "saved.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.saving.load_model(tmp_path / "saved.keras")
    np.testing.assert_allclose(loaded(inputs)["image"], expected, atol=1e-2)
    assert loaded.start.compute_dtype == "bfloat16"


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool"])
def test_classes_are_integers(shape, dtype):
    """Whatever the precision: lower ones would round ids, and cast floats to others."""
    ids = keras.ops.ones(shape, dtype)
    layers = [
        (class_embedding.ClassEmbedding(7, 5, dtype="mixed_bfloat16"), ()),
        (batch_normalization.ConditionalBatchNormalization(7), (np.ones([2, 3, 3, 2]),)),
        (spectral_normalization.SpectralEmbedding(7, 5), ()),
    ]
    for layer, first in layers:
        with pytest.raises(ValueError, match=r"ids as integers.*Received: .*(float|bool)"):
            layer(*first, ids)
        assert layer(*first, keras.ops.cast(ids, "int64")) is not None


def test_a_mixture_is_told_by_its_shape():
    table = np.arange(6, dtype="float32").reshape(3, 2)
    for dtype in ("int32", "float32"):
        mixed = batch_normalization.rows(table, np.array([[0, 1, 0], [1, 0, 1]], dtype))
        np.testing.assert_array_equal(mixed, [[2, 3], [4, 6]])


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("ClassConditionalGenerator-split-noise", {"gain", "bias"}),  # of its normalisations
        ("ProjectionDiscriminator", set()),
        ("SpadeGenerator", {"start", "to_image", "shared", "gamma", "beta"}),
        ("ResidualBlock", {"shared", "gamma", "beta"}),
        ("SelfAttention", set()),
        ("WholeCritic", set()),
        ("HoleCritic", set()),
        ("SNPatchDiscriminator", set()),
    ],
)
def test_spectral_norm_covers_what_the_documentation_says(name, plain):
    (case,) = (case for case in CASES if case.name == name)
    layer = case.build(case.make())
    assert layer.spectral_norm
    kinds = (keras.layers.Conv2D, keras.layers.Dense, keras.layers.Embedding)
    parts = [part for part in layer._flatten_layers() if isinstance(part, kinds)]
    spectral = [part for part in parts if hasattr(part, "u")]
    assert spectral and {part.name for part in parts} - {p.name for p in spectral} == plain
