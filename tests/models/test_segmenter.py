"""The segmentation network: sizes, strides, alignment, enlargement, refusals."""

import numpy as np
import pytest

from models import segmenter
from tests.helpers import numpy_networks

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 32, 64, 3)).astype("float32")


def small(size=(32, 64), **settings):
    network = segmenter.Segmenter(3, (3, 4, 5, 6), blocks=1, pyramid_filters=4, **settings)
    network.build({"image": (None, *size, 3)})
    return network


def logits(network, images=IMAGES):
    return network({"image": images}, training=False)["logits"].numpy()


@pytest.mark.parametrize("decoder", [False, True])
@pytest.mark.parametrize("stride", [8, 16])
def test_logits_are_straight_lines_between_the_centres_of_cells(stride, decoder):
    """Cells of the output stride with the head of v3, of 4 px with the decoder of v3+."""
    values = logits(small(output_stride=stride, decoder=decoder)).astype(np.float64)
    cell = 4 if decoder else stride

    def bend(size):
        return np.abs(np.diff(values[:, :, size // 2 : 3 * size // 2], 2, axis=2)).max()

    assert values.shape == (2, 32, 64, 3)
    assert bend(cell) < 1e-5 * np.abs(values).max() < bend(2 * cell)


@pytest.mark.parametrize(("stride", "decoder"), [(8, False), (16, True)])
def test_features_stay_centred_on_what_they_describe(stride, decoder):
    """Mirrored kernels on a mirrored image give the mirrored result, unless something is off."""
    network = small(output_stride=stride, decoder=decoder)
    straight = logits(network)
    for variable in network.variables:
        if len(variable.shape) == 4:
            variable.assign(variable.numpy()[:, ::-1])
    mirrored = logits(network, IMAGES[:, :, ::-1])[:, :, ::-1]
    np.testing.assert_allclose(mirrored, straight, rtol=1e-4, atol=1e-5 * np.abs(straight).max())


def test_enlargement_is_bilinear_on_pixel_centres():
    row = np.array([0.0, 1.0, 4.0], "float32").reshape(1, 1, 3, 1)
    enlarged = segmenter.enlarged(row, 2).numpy()
    expected = [0, 0.25, 0.75, 1.75, 3.25, 4]
    np.testing.assert_allclose(enlarged[0, :, :, 0], [expected, expected], atol=1e-6)


def parameters(channels, blocks, pyramid, classes, decoder):
    """Trainable ones: kernels, scale and shift of each norm, the bias of the last layer."""
    total, before = 4 * 4 * 3 * channels[0], channels[0]
    for stage, filters in enumerate(channels):
        for block in range(blocks):
            total += 2 * before + 9 * before * filters + 2 * filters + 9 * filters**2
            if before != filters or (block == 0 and stage < 2):
                total += before * filters
            before = filters
    total += 2 * before + before * pyramid * 29 + 5 * pyramid**2 + 6 * 2 * pyramid
    if decoder:
        total += 48 * channels[0] + 2 * 48
        total += 9 * (pyramid + 48) * pyramid + 9 * pyramid**2 + 2 * 2 * pyramid
    return total + (pyramid + 1) * classes


@pytest.mark.parametrize(("decoder", "millions"), [(False, 15.3), (True, 16.6)])
def test_the_full_size(decoder, millions):
    network = segmenter.Segmenter(12, decoder=decoder)
    network.build({"image": (None, 256, 256, 3)})
    expected = parameters((64, 128, 256, 512), 2, 256, 12, decoder)
    assert numpy_networks.count(network) == expected and round(expected / 1e6, 1) == millions
    assert [unit.dilation_rate for unit in network.pyramid.atrous] == [6, 12, 18]
    blocks = [(block.downsample, block.dilation_rate) for block in network.encoder]
    assert blocks == [(True, 1), (False, 1)] * 2 + [(False, 2)] * 2 + [(False, 4)] * 2


def test_given_rates_reach_the_pyramid():
    network = small(rates=[1, 2])
    assert [unit.dilation_rate for unit in network.pyramid.atrous] == [1, 2]
    assert network.get_config()["rates"] == [1, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_map_classes": 1}, "at least two classes.*label_map_classes=1"),
        ({"channels": (4, 5, 6)}, "four stages.*channels=\\(4, 5, 6\\)"),
        ({"blocks": 0}, "at least one block.*blocks=0"),
        ({"output_stride": 4}, "8 or 16.*output_stride=4"),
    ],
)
def test_a_network_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        segmenter.Segmenter(**{"label_map_classes": 3, **settings})


def test_sides_must_divide_by_the_output_stride():
    small((24, 40))
    with pytest.raises(ValueError, match="output stride, 16. Received: \\(H, W\\)=\\(32, 40\\)"):
        small((32, 40), output_stride=16)


def test_training_needs_two_images():
    with pytest.raises(ValueError, match="at least two images"):
        small()({"image": IMAGES[:1]}, training=True)
