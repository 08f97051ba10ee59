"""The SPADE generator in numbers."""

import numpy as np
import pytest

from models.generators import semantic
from models.layers import modulation
from tests.helpers import numpy_networks

RNG = np.random.default_rng(0)


# Closed forms of the parameter counts.


def spade_parameters(channels, classes, hidden):
    return 9 * classes * hidden + hidden + 2 * (9 * hidden * channels + channels)


def block_parameters(before, after, classes, hidden):
    middle = min(before, after)
    total = spade_parameters(before, classes, hidden) + 9 * before * middle + middle
    total += spade_parameters(middle, classes, hidden) + 9 * middle * after + after
    if before != after:
        total += spade_parameters(before, classes, hidden) + before * after
    return total


def generator_parameters(classes, width, hidden):
    channels = [width * multiplier for multiplier in (16, 16, 16, 16, 8, 4, 2, 1)]
    total = 9 * classes * channels[0] + channels[0] + 9 * channels[-1] * 3 + 3
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        total += block_parameters(before, after, classes, hidden)
    return total


MORE = (False, True, True, True, True, True, True)


@pytest.mark.parametrize(
    ("classes", "width", "hidden", "size", "upsample", "millions"),
    [
        (151, 64, 128, (256, 256), None, 96.5),  # ADE20K
        (184, 64, 128, (256, 256), None, 97.5),  # COCO-Stuff
        (36, 64, 128, (256, 512), MORE, 93.0),  # Cityscapes
        (13, 64, 128, (256, 256), None, 92.4),  # facades
        (12, 32, 128, (256, 256), None, 29.6),
        (12, 32, 64, (128, 128), None, 23.2),
        (12, 16, 64, (128, 128), None, 7.5),
    ],
)
def test_generator_parameters(classes, width, hidden, size, upsample, millions):
    expected = generator_parameters(classes, width, hidden)
    assert round(expected / 1e6, 1) == millions
    settings = {} if upsample is None else {"upsample": upsample}
    network = semantic.SpadeGenerator(width, normalizer=modulation.SPADE(hidden), **settings)
    network.build({"mask": (None, *size, classes)})
    assert numpy_networks.count(network) == expected


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"noise_dim": 6},
        {"upsample": (False, True, True, True), "multipliers": (4, 4, 2, 0.5)},
        {"normalizer": modulation.SPADE(5, statistics="instance"), "spectral_norm": False},
    ],
    ids=["default", "noise", "deeper", "instance"],
)
def test_generator_equals_numpy(settings, training):
    arguments = {
        "multipliers": (4, 4, 2, 1),
        "upsample": (False, True, False, True),
        "normalizer": modulation.SPADE(5),
        **settings,
    }
    network = semantic.SpadeGenerator(4, **arguments)
    mask = numpy_networks.one_hot(RNG, 2, 16, 24, 3)
    inputs = {"mask": mask, "noise": RNG.normal(size=(2, 6)).astype("float32")}
    network.build({key: (None, *value.shape[1:]) for key, value in inputs.items()})
    numpy_networks.make_lively(network)
    noise = inputs["noise"] if network.noise_dim else None
    expected = numpy_networks.generator(network, mask, noise, training)
    inputs = {key: inputs[key] for key in network.input_keys}
    np.testing.assert_allclose(network(inputs, training=training)["image"], expected, atol=1e-4)
    assert expected.std() > 0.1


def test_default_layout_is_the_reference():
    network = semantic.SpadeGenerator()
    assert [block.filters for block in network.blocks] == [1024, 1024, 1024, 512, 256, 128, 64]
    assert network.stride == 32
    assert network.input_keys == ("mask",)
    assert semantic.SpadeGenerator(noise_dim=256).input_keys == ("mask", "noise")


def test_three_up_samplings_make_small_images():
    network = semantic.SpadeGenerator(4, (4, 2, 1), upsample=(True, True, True))
    network.build({"mask": (None, 64, 64, 12)})
    assert network({"mask": numpy_networks.one_hot(RNG, 1, 64, 64, 12)})["image"].shape == (
        1,
        64,
        64,
        3,
    )


def test_without_noise_other_sizes_pass():
    network = semantic.SpadeGenerator(2, (2, 1), upsample=(False, True))
    network.build({"mask": (None, 8, 8, 3)})
    assert network({"mask": numpy_networks.one_hot(RNG, 1, 4, 10, 3)})["image"].shape == (
        1,
        4,
        10,
        3,
    )


def test_size_that_is_not_divisible_is_refused():
    network = semantic.SpadeGenerator(1)
    message = r"stride 32.*Received: \(H, W\)=\(100, 64\).*height 96 or 128, width 64\."
    with pytest.raises(ValueError, match=message):
        network.build({"mask": (None, 100, 64, 3)})
    with pytest.raises(ValueError, match=r"height 32, width 64\."):
        network.build({"mask": (None, 20, 64, 3)})


def test_noise_mode_refuses_another_size():
    network = semantic.SpadeGenerator(2, (2, 1), upsample=(False, True), noise_dim=3)
    network.build({"mask": (None, 8, 8, 3), "noise": (None, 3)})
    with pytest.raises(ValueError, match=r"\(8, 8\).*Received: \(H, W\)=\(8, 16\)"):
        network(
            {"mask": numpy_networks.one_hot(RNG, 1, 8, 16, 3), "noise": np.zeros((1, 3), "float32")}
        )


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="Received: 3 multipliers=.*2 upsample="):
        semantic.SpadeGenerator(4, (4, 2, 1), upsample=(True, True))


@pytest.mark.parametrize("multiplier", [0, 0.3])
def test_fractional_or_empty_blocks_are_refused(multiplier):
    with pytest.raises(ValueError, match="Received: width=5"):
        semantic.SpadeGenerator(5, (1, multiplier), upsample=(True, True))
