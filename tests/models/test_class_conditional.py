"""Class-conditional networks: parameter counts, NumPy, how the class enters, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.discriminators import projection
from models.generators import class_conditional
from models.layers import (
    batch_normalization,
    class_embedding,
    modulation,
    pixel_normalization,
)
from tests.helpers import numpy_networks

RNG = np.random.default_rng(0)
LABELS = np.array([2, 0, 2], "int32")
SIZES = {
    32: ((256, 256, 256, 256), (128, 128, 128, 128), (True, True, False, False)),
    64: ((1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024), (True,) * 5),
    128: (
        (1024, 1024, 512, 256, 128, 64),
        (64, 128, 256, 512, 1024, 1024),
        (True,) * 5 + (False,),
    ),
}
MILLIONS = {32: (4.30, 1.06), 64: (12.3, 10.2), 128: (32.2, 29.0)}


def conv(size, before, after, bias=True):
    return size * size * before * after + bias * after


def generator_parameters(channels, classes, noise_dim=128):
    total = (noise_dim + 1) * 16 * channels[0]
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        total += 2 * classes * before + 2 * classes * after
        total += conv(3, before, after) + conv(3, after, after) + conv(1, before, after, False)
    return total + 2 * channels[-1] + conv(3, channels[-1], 3)


def discriminator_parameters(channels, downsample, classes):
    total = conv(3, 3, channels[0]) + conv(3, channels[0], channels[0]) + conv(1, 3, channels[0])
    for before, after, halve in zip(channels[:-1], channels[1:], downsample[1:], strict=True):
        total += conv(3, before, before) + conv(3, before, after)
        total += conv(1, before, after) if halve or before != after else 0
    return total + channels[-1] + classes * channels[-1]


@pytest.mark.parametrize("size", SIZES)
def test_parameter_counts(size):
    generator_channels, channels, downsample = SIZES[size]
    expected = (
        generator_parameters(generator_channels, 10),
        discriminator_parameters(channels, downsample, 10),
    )
    digits = 2 if size == 32 else 1
    assert tuple(round(number / 1e6, digits) for number in expected) == MILLIONS[size]
    generator = class_conditional.ClassConditionalGenerator(10, generator_channels)
    generator.build({"label": (None,), "noise": (None, 128)})
    discriminator = projection.ProjectionDiscriminator(10, channels, downsample=downsample)
    discriminator.build({"label": (None,), "image": (None, size, size, 3)})
    assert generator.image_size == (size, size)
    assert (numpy_networks.count(generator), numpy_networks.count(discriminator)) == expected


def test_the_128_px_discriminator_with_five_blocks():
    assert round(discriminator_parameters(SIZES[64][1], (True,) * 5, 10) / 1e6, 1) == 10.2


def generator(**kwargs):
    settings = {"channels": (8, 6, 4), "noise_dim": 5, **kwargs}
    network = class_conditional.ClassConditionalGenerator(3, **settings)
    network.build({"label": (None,), "noise": (None, 5), "seed": (None, 2)})
    numpy_networks.make_lively(network)
    return network


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_generator_equals_numpy(spectral_norm):
    network = generator(spectral_norm=spectral_norm)
    noise = RNG.normal(size=(3, 5))
    for variable in network.trainable_variables:
        if variable.path.endswith(("gamma", "beta")):
            variable.assign(RNG.normal(1.0, 0.5, variable.shape))

    def norm(layer, x):
        gamma, beta = numpy_networks.array(layer.gamma), numpy_networks.array(layer.beta)
        if gamma.ndim == 2:
            gamma, beta = gamma[LABELS][:, None, None], beta[LABELS][:, None, None]
        return np.maximum(gamma * numpy_networks.normalize(x, (0, 1, 2)) + beta, 0)

    kernel, bias = numpy_networks.kernel_and_bias(network.start)
    x = (noise @ kernel + bias).reshape(3, 4, 4, 8)
    for block in network.blocks:
        y = norm(block.norm_1, x).repeat(2, axis=1).repeat(2, axis=2)
        y = norm(block.norm_2, numpy_networks.apply(block.conv_1, y, pad=1))
        x = numpy_networks.apply(block.conv_skip, x.repeat(2, axis=1).repeat(2, axis=2))
        x = x + numpy_networks.apply(block.conv_2, y, pad=1)
    expected = np.tanh(numpy_networks.apply(network.to_image, norm(network.norm, x), pad=1))
    actual = network({"label": LABELS, "noise": noise.astype("float32")}, training=True)
    np.testing.assert_allclose(actual["image"], expected, atol=1e-3)


def test_discriminator_equals_numpy():
    network = projection.ProjectionDiscriminator(3, (4, 6, 6), downsample=(True, True, False))
    network.build({"label": (None,), "image": (None, 8, 12, 3)})
    numpy_networks.make_lively(
        keras.Sequential(network.blocks + [network.linear])  # all with a kernel
    )
    table = numpy_networks.array(network.class_embedding.embeddings)
    network.class_embedding.u.assign(np.linalg.svd(table, full_matrices=False)[0][:, :1])
    image = RNG.normal(size=(3, 8, 12, 3))

    def pool(x):
        return x.reshape(3, x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))

    x, features = image, []
    for block in network.blocks:
        y = numpy_networks.apply(block.conv_1, x if block.first else np.maximum(x, 0), pad=1)
        y = numpy_networks.apply(block.conv_2, np.maximum(y, 0), pad=1)
        skip = numpy_networks.apply(block.conv_skip, x) if block.learned_skip else x
        x = pool(y) + pool(skip) if block.downsample else y + skip
        features.append(x)
    summed = np.maximum(x, 0).sum((1, 2))
    embedded = (table / np.linalg.norm(table, 2))[LABELS]
    kernel, _ = numpy_networks.kernel_and_bias(network.linear)
    logits = summed @ kernel + (summed * embedded).sum(-1, keepdims=True)
    actual = network({"label": LABELS, "image": image.astype("float32")})
    np.testing.assert_allclose(actual["logits"][0], logits, rtol=1e-3, atol=1e-2)
    for one, two in zip(actual["features"][0], features, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


def test_attentive_normalisation_follows_the_third_block_by_default_of_the_paper():
    """Block 3 ends at 32 x 32 in all three generators, block 1 of D at half the image."""
    for size, channels in ((32, 256), (64, 128), (128, 256)):
        generator_channels, widths, downsample = SIZES[size]
        network = class_conditional.ClassConditionalGenerator(
            10, [c // 32 for c in generator_channels], attentive_norm_block=3
        )
        network.build({"label": (None,), "noise": (None, 128), "seed": (None, 2)})
        out = network({"label": LABELS[:1], "noise": np.zeros((1, 128), "float32")})
        assert out["layout"].shape == (1, 32, 32, 16)
        assert network.attention[2].scale.shape == (16, channels // 32)
        critic = projection.ProjectionDiscriminator(
            10, [w // 32 for w in widths], downsample=downsample, attentive_norm_block=1
        )
        critic.build({"label": (None,), "image": (None, size, size, 3), "seed": (None, 2)})
        layout = critic({"label": LABELS[:1], "image": out["image"]})["layout"]
        assert layout.shape == (1, size // 2, size // 2, 16)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"embedding": class_embedding.ClassEmbedding(3, 4, split_noise=False)},
        {"embedding": class_embedding.ClassEmbedding(3, 4), "noise_dim": 6},
        {
            "embedding": class_embedding.ClassEmbedding(3, 4, split_noise=False),
            "normalizer": pixel_normalization.PixelNormalization(),
        },
        {
            "embedding": class_embedding.ClassEmbedding(3, 4, split_noise=False),
            "normalizer": batch_normalization.PlainBatchNormalization(),
        },
    ],
    ids=["class", "embedding", "split-noise", "pixel-norm", "plain"],
)
def test_class_and_noise_change_the_image(settings):
    noise_dim = settings.get("noise_dim", 5)
    network = generator(**settings)
    for variable in network.trainable_variables:
        if variable.path.endswith(("gamma", "beta")):
            variable.assign(RNG.normal(1.0, 0.5, variable.shape))
    noise = np.repeat(RNG.normal(size=(1, noise_dim)), 3, axis=0).astype("float32")
    images = network({"label": np.array([0, 0, 1]), "noise": noise})["image"].numpy()
    np.testing.assert_allclose(images[0], images[1], atol=1e-5)
    assert np.abs(images[0] - images[2]).max() > 1e-2
    noise[1] += 1.0
    images = network({"label": np.array([0, 0, 1]), "noise": noise})["image"].numpy()
    assert np.abs(images[0] - images[1]).max() > 1e-2


def test_split_noise_gives_each_part_to_one_block():
    network = generator(noise_dim=6, embedding=class_embedding.ClassEmbedding(3, 4))
    noise = RNG.normal(size=(3, 6)).astype("float32")
    start, conditions = network._conditions(LABELS, noise)
    table = network.class_embedding.table.numpy()[LABELS]
    for part, actual in enumerate([start, *conditions]):
        np.testing.assert_array_equal(actual[:, :2], noise[:, 2 * part : 2 * part + 2])
        np.testing.assert_array_equal(actual[:, 2:], table)


def test_the_last_normalisation_is_plain():
    assert isinstance(generator().norm, batch_normalization.PlainBatchNormalization)


def test_labels_may_be_a_column():
    network = class_conditional.ClassConditionalGenerator(3, (4, 4), noise_dim=2)
    network.build({"label": (None, 1), "noise": (None, 2)})
    noise = RNG.normal(size=(3, 2)).astype("float32")
    column = network({"label": LABELS[:, None], "noise": noise})["image"]
    np.testing.assert_array_equal(network({"label": LABELS, "noise": noise})["image"], column)


def test_without_classes_noise_is_all_that_images_differ_by():
    network = class_conditional.ClassConditionalGenerator(0, (8, 6, 4), noise_dim=5)
    assert network.input_keys == ("noise",)
    network.build({"noise": (None, 5)})
    numpy_networks.make_lively(network)
    for block in network.blocks:
        assert isinstance(block.norm_1, batch_normalization.PlainBatchNormalization)
    noise = RNG.normal(size=(2, 5)).astype("float32")[[0, 0, 1]]
    first, same, other = network({"noise": noise})["image"].numpy()
    np.testing.assert_allclose(first, same, atol=1e-5)
    assert np.abs(first - other).max() > 1e-2


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_without_classes_the_score_is_the_linear_part(spectral_norm):
    """Equal to the discriminator of classes whose vectors are zero."""
    settings = {"channels": (4, 6), "downsample": (True, True), "spectral_norm": spectral_norm}
    plain = projection.ProjectionDiscriminator(0, **settings)
    assert plain.input_keys == ("image",) and plain.class_embedding is None
    image = RNG.normal(size=(3, 8, 8, 3)).astype("float32")
    plain.build({"image": image.shape})
    judged = discriminator(spectral_norm=spectral_norm)
    judged.build({"label": (None,), "image": image.shape})
    of_judged = {v.path.split("/", 1)[1]: v for v in judged.variables}
    for variable in plain.variables:
        of_judged.pop(variable.path.split("/", 1)[1]).assign(variable)
    assert {path.split("/")[0] for path in of_judged} == {"class_embedding"}
    table = next(v for path, v in of_judged.items() if path.endswith(("table", "embeddings")))
    table.assign(tf.zeros_like(table))
    with_classes = judged({"label": LABELS, "image": image})["logits"][0]
    np.testing.assert_allclose(plain({"image": image})["logits"][0], with_classes, rtol=1e-6)


def discriminator(**kwargs):
    settings = {"channels": (4, 6), "downsample": (True, True), **kwargs}
    return projection.ProjectionDiscriminator(3, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (8,)}, r"at least one block. Received: num_classes=3, channels=\(8,\)"),
        (
            {"normalizer": batch_normalization.ConditionalBatchNormalization(4)},
            "Expected 3 classes.*num_classes=4 in ConditionalBatchNormalization",
        ),
        (
            {"embedding": class_embedding.ClassEmbedding(4)},
            "Expected 3 classes.*num_classes=4 in ClassEmbedding",
        ),
        (
            {"normalizer": pixel_normalization.PixelNormalization()},
            "reads the class. Received: normalizer=PixelNormalization",
        ),
        (
            {"embedding": class_embedding.ClassEmbedding(3)},
            "splits into 3 equal parts.*Received: noise_dim=5.*multiple of 3",
        ),
    ],
)
def test_generator_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        generator(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": -1}, "0 for none.*num_classes=-1"),
        (
            {"embedding": class_embedding.ClassEmbedding(3)},
            "num_classes=0, .*embedding=ClassEmbedding. Set both",
        ),
        (
            {"normalizer": batch_normalization.ConditionalBatchNormalization(3)},
            "reads no class.*normalizer=ConditionalBatchNormalization, embedding=None",
        ),
        (
            {"normalizer": modulation.SPADE(4)},
            "reads no class.*normalizer=SPADE, embedding=None",
        ),
    ],
)
def test_settings_without_classes_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        class_conditional.ClassConditionalGenerator(**{"num_classes": 0} | settings)


def test_discriminator_settings_are_checked():
    with pytest.raises(ValueError, match="0 for none.*num_classes=-1"):
        projection.ProjectionDiscriminator(-1)
    with pytest.raises(ValueError, match=r"channels=\(4, 6\), downsample=\(True,\)"):
        discriminator(downsample=(True,))
    with pytest.raises(ValueError, match=r"at least 4 px.*Received: \(H, W\)=\(2, 8\)"):
        discriminator().build({"label": (None,), "image": (None, 2, 8, 3)})


def test_labels_out_of_range_do_not_pass():
    image = np.zeros((1, 8, 8, 3), "float32")
    for spectral_norm in (True, False):
        with pytest.raises(tf.errors.InvalidArgumentError, match="3 is not in"):
            discriminator(spectral_norm=spectral_norm)({"label": np.array([3]), "image": image})
