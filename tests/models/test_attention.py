"""Attention between the blocks of networks: where it comes, and with what settings."""

import numpy as np
import pytest

from models.discriminators import projection
from models.generators import class_conditional, semantic, style_guided
from models.layers import attentive_normalization, modulation, self_attention
from tests.helpers import layer_table, numpy_networks

RNG = np.random.default_rng(0)
LABELS = np.array([2, 0, 2], "int32")


def generator(**kwargs):
    settings = {"channels": (8, 6, 4), "noise_dim": 5, **kwargs}
    network = class_conditional.ClassConditionalGenerator(3, **settings)
    network.build({"label": (None,), "noise": (None, 5), "seed": (None, 2)})
    numpy_networks.make_lively(network)
    return network


@pytest.mark.parametrize("block", [1, 2])
def test_attention_comes_after_the_sum_of_its_block(block):
    """With an attention layer that adds 1, the next block sees the sum plus 1."""

    class AddOne(self_attention.SelfAttention):
        def call(self, x, training=False):
            return x + 1.0

    plain, changed = generator(), generator(self_attention_block=block)
    changed.attention[block - 1] = AddOne()
    shared = [v for v in changed.variables if "self_attention" not in v.path]
    assert len(shared) == len(plain.variables)
    for target, source in zip(shared, plain.variables, strict=True):
        target.assign(source)
    seen = []
    for network in (plain, changed):
        after = network.blocks[block] if block < 2 else network.norm
        original = after.call
        after.call = lambda x, *a, original=original, **k: (seen.append(x), original(x, *a, **k))[1]
        network({"label": LABELS, "noise": np.ones((3, 5), "float32")})
    np.testing.assert_allclose(seen[1], seen[0] + 1.0, atol=1e-4)


def test_the_template_sets_the_layer():
    template = attentive_normalization.AttentiveNormalization(5, temperature=2.0)
    network = layer_table.small_generator(attentive_norm_block=2, attentive_norm=template)
    assert network.attention[0] is None
    layer = network.attention[1]
    assert layer is not template and not template.built
    assert (layer.entities, layer.temperature) == (5, 2.0)
    assert template not in network._flatten_layers()


def test_spade_generator_is_unchanged_without_attention():
    shapes = {"mask": (None, 8, 16, 3), "seed": (None, 2)}
    settings = {"upsample": (False, True), "normalizer": modulation.SPADE(6)}
    plain = semantic.SpadeGenerator(4, (2, 1), **settings)
    attentive = semantic.SpadeGenerator(4, (2, 1), **settings, attentive_norm_block=1)
    for network in (plain, attentive):
        network.build(shapes)
    assert plain.input_keys == ("mask",) and attentive.input_keys == ("mask", "seed")
    assert attentive.count_params() - plain.count_params() == attentive.attention[0].count_params()
    assert plain.losses == [] and len(attentive.losses) == 1


def test_a_style_guided_generator_passes_the_seed_on():
    network = style_guided.StyleGuidedGenerator(
        layer_table.small_generator(noise_dim=5, attentive_norm_block=1),
        layer_table.small_encoder(),
    )
    assert network.input_keys == ("mask", "noise", "seed", "image")
    inputs = {
        "mask": np.eye(3, dtype="float32")[RNG.integers(0, 3, (2, 8, 16))],
        "noise": np.zeros((2, 5), "float32"),
        "image": np.zeros((2, 8, 16, 3), "float32"),
        "seed": np.zeros((2, 2), "int32"),
    }
    network.build({key: (None, *value.shape[1:]) for key, value in inputs.items()})
    assert network(inputs, training=True)["layout"].shape == (2, 4, 8, 16)
    assert network({k: inputs[k] for k in ("mask", "noise")})["layout"].shape == (2, 4, 8, 16)


def discriminator(**kwargs):
    settings = {"channels": (4, 6), "downsample": (True, True), **kwargs}
    return projection.ProjectionDiscriminator(3, **settings)


@pytest.mark.parametrize("make", [generator, discriminator, layer_table.small_generator])
def test_attention_blocks_are_checked(make):
    for name in ("attentive_norm_block", "self_attention_block"):
        for block in (0, 3):
            message = f"block from 1 to 2.*Received: {name}={block}"
            with pytest.raises(ValueError, match=message):
                make(**{name: block})
    with pytest.raises(ValueError, match="different blocks.*Received: 2 for both"):
        make(attentive_norm_block=2, self_attention_block=2)
