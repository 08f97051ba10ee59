"""The multi-scale patch discriminator in numbers."""

import numpy as np
import pytest
import tensorflow as tf

from models.discriminators import patch
from tests.helpers import numpy_networks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("classes", "millions"), [(13, 5.6), (36, 5.6), (151, 5.8), (184, 5.9)])
def test_discriminator_parameters(classes, millions):
    network = patch.MultiScalePatchDiscriminator()
    network.build({"mask": (None, 256, 256, classes), "image": (None, 256, 256, 3)})
    one = 16 * (classes + 3) * 64 + 64 + 16 * (64 * 128 + 128 * 256 + 256 * 512) + 16 * 512 + 1
    assert numpy_networks.count(network) == 2 * one
    assert round(2 * one / 1e6, 1) == millions


@pytest.mark.parametrize("size", [(32, 32), (26, 37)])
@pytest.mark.parametrize(("depth", "scales"), [(4, 2), (3, 1)])
def test_discriminator_equals_numpy(size, depth, scales):
    network = patch.MultiScalePatchDiscriminator(4, depth=depth, scales=scales)
    inputs = {
        "mask": numpy_networks.one_hot(RNG, 2, *size, 3),
        "image": numpy_networks.images(RNG, 2, *size),
    }
    network.build({key: (None, *value.shape[1:]) for key, value in inputs.items()})
    numpy_networks.make_lively(network)
    logits, features = numpy_networks.discriminator(network, **inputs)
    outputs = network(inputs, training=True)
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        (outputs["logits"], outputs["features"]),
        (logits, features),
    )


def test_reference_logit_sizes_at_256():
    network = patch.MultiScalePatchDiscriminator(1)
    outputs = network(
        {
            "mask": numpy_networks.one_hot(RNG, 1, 256, 256, 2),
            "image": numpy_networks.images(RNG, 1, 256, 256),
        }
    )
    assert [tuple(logits.shape) for logits in outputs["logits"]] == [(1, 35, 35, 1), (1, 19, 19, 1)]


def test_width_is_capped_and_norm_layers_have_no_bias():
    network = patch.MultiScalePatchDiscriminator(64, depth=5)
    critic = network.critics[0]
    assert [layer.filters for layer in critic.middle] == [128, 256, 512, 512]
    assert all(not layer.use_bias for layer in critic.middle)
    # A convolution that pads by itself has bfloat16 gradients fifty times slower.
    assert {layer.padding for layer in (critic.first, *critic.middle, critic.last)} == {"valid"}


@pytest.mark.parametrize("size", [(5, 8), (1, 2), (9, 6)])
def test_halve_does_not_count_the_padding(size):
    image = numpy_networks.images(RNG, 2, *size)
    np.testing.assert_allclose(patch.halve(image), numpy_networks.halve(image), atol=1e-6)
    ones = np.ones((1, *size, 1), "float32")
    np.testing.assert_allclose(patch.halve(ones), 1.0, rtol=1e-6)


@pytest.mark.parametrize("settings", [{"depth": 1}, {"scales": 0}])
def test_impossible_discriminators_are_refused(settings):
    with pytest.raises(ValueError, match="depth >= 2 and scales >= 1. Received: depth="):
        patch.MultiScalePatchDiscriminator(**settings)


def test_differences_of_colours_are_seen_larger():
    inputs = {
        "mask": numpy_networks.one_hot(RNG, 2, 16, 16, 2),
        "image": numpy_networks.images(RNG, 2, 16, 16),
    }
    plain, keen = (
        patch.MultiScalePatchDiscriminator(4, depth=2, scales=2, color_gain=gain) for gain in (1, 3)
    )
    keen(inputs)
    plain(inputs)
    plain.set_weights(keen.get_weights())
    grey = inputs["image"].mean(-1, keepdims=True)
    seen = inputs | {"image": 3 * inputs["image"] - 2 * grey}
    for one, other in zip(keen(inputs)["logits"], plain(seen)["logits"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    with pytest.raises(ValueError, match="Received: color_gain=0"):
        patch.MultiScalePatchDiscriminator(color_gain=0)
