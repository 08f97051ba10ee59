"""The style encoder and the style-guided generator in numbers."""

import numpy as np
import pytest

from models import style_encoder
from models.generators import semantic, style_guided
from models.layers import modulation
from tests.helpers import numpy_networks

RNG = np.random.default_rng(0)


def test_encoder_parameters():
    network = style_encoder.StyleEncoder()
    network.build({"image": (None, 256, 256, 3)})
    channels = (3, 64, 128, 256, 512, 512, 512)
    convolutions = sum(9 * a * b for a, b in zip(channels[:-1], channels[1:], strict=True))
    assert numpy_networks.count(network) == convolutions + 2 * (4 * 4 * 512 * 256 + 256)
    assert round(numpy_networks.count(network) / 1e6, 1) == 10.5


def small_style_guided():
    generator = semantic.SpadeGenerator(
        2, (2, 1), upsample=(False, True), normalizer=modulation.SPADE(3), noise_dim=4
    )
    encoder = style_encoder.StyleEncoder(4, 3, multipliers=(1, 2), resize_to=16)
    network = style_guided.StyleGuidedGenerator(generator, encoder)
    network.build({"mask": (None, 8, 16, 3), "noise": (None, 4), "image": (None, 8, 16, 3)})
    numpy_networks.make_lively(network)
    inputs = {
        "mask": numpy_networks.one_hot(RNG, 2, 8, 16, 3),
        "noise": RNG.normal(size=(2, 4)).astype("float32"),
        "image": numpy_networks.images(RNG, 2, 8, 16),
    }
    return network, inputs


def test_style_guided_training_samples_around_the_encoding():
    network, inputs = small_style_guided()
    mean, log_variance = numpy_networks.encoder(network.encoder, inputs["image"].astype("float64"))
    noise = mean + np.exp(0.5 * log_variance) * inputs["noise"]
    expected = numpy_networks.generator(network.generator, inputs["mask"], noise, training=True)
    outputs = network(inputs, training=True)
    np.testing.assert_allclose(outputs["image"], expected, atol=1e-4)
    np.testing.assert_allclose(outputs["style_mean"], mean, atol=1e-4)
    np.testing.assert_allclose(outputs["style_log_variance"], log_variance, atol=1e-4)


def test_style_guided_inference_takes_noise_or_a_style_image():
    network, inputs = small_style_guided()
    photographs, mask = inputs.pop("image"), inputs["mask"]
    outputs = network(inputs)  # no image at all
    expected = numpy_networks.generator(network.generator, mask, inputs["noise"])
    np.testing.assert_allclose(outputs["image"], expected, atol=1e-4)
    assert set(outputs) == {"image"}
    np.testing.assert_array_equal(
        network({**inputs, "image": photographs})["image"], outputs["image"]
    )
    styled = network({**inputs, "style_image": photographs})["image"]
    mean, _ = numpy_networks.encoder(network.encoder, photographs.astype("float64"))
    np.testing.assert_allclose(
        styled, numpy_networks.generator(network.generator, mask, mean), atol=1e-4
    )


def test_style_guided_names():
    network, _ = small_style_guided()
    assert network.noise_dim == 4
    assert network.input_keys == ("mask", "noise", "image")


@pytest.mark.parametrize("noise_dim", [None, 7])
def test_generator_and_encoder_must_agree(noise_dim):
    generator = semantic.SpadeGenerator(2, (2, 1), upsample=(False, True), noise_dim=noise_dim)
    with pytest.raises(ValueError, match=f"generator.noise_dim={noise_dim}, encoder.noise_dim=256"):
        style_guided.StyleGuidedGenerator(generator, style_encoder.StyleEncoder())


@pytest.mark.parametrize("size", [(16, 16), (11, 20), (40, 30)])
def test_encoder_equals_numpy(size):
    network = style_encoder.StyleEncoder(6, 3, multipliers=(1, 2, 2), resize_to=16)
    image = numpy_networks.images(RNG, 2, *size)
    network.build({"image": (None, *size, 3)})
    numpy_networks.make_lively(network)
    expected = numpy_networks.encoder(network, image.astype("float64"))
    outputs = network({"image": image}, training=True)
    np.testing.assert_allclose(outputs["mean"], expected[0], atol=1e-4)
    np.testing.assert_allclose(outputs["log_variance"], expected[1], atol=1e-4)


def test_encoder_that_shrinks_to_one_position_is_refused():
    with pytest.raises(ValueError, match="Received: resize_to=64, 6 multipliers"):
        style_encoder.StyleEncoder(resize_to=64)
