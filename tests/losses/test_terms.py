"""Terms of the generator: feature matching, perceptual distance, divergence."""

import numpy as np
import pytest
import tensorflow as tf

from losses import divergence, feature_matching, perceptual, term
from tests.helpers import term_step

RNG = np.random.default_rng(3)
IMAGES = RNG.uniform(-1, 1, (2, 4, 4, 3, 3)).astype(np.float32)  # real, fake


def tensors(scales, dtype=tf.float32):
    return [tf.constant(scale, dtype) for scale in scales]


def test_feature_matching():
    real = [
        [RNG.normal(size=(2, 4, 4, 3)), RNG.normal(size=(2, 2, 2, 5))],
        [RNG.normal(size=(2, 7))],
    ]
    fake = [[r + RNG.normal(size=r.shape) for r in scale] for scale in real]
    outputs = [{"features": [tensors(scale) for scale in scales]} for scales in (real, fake)]
    pairs = [(r, f) for s, t in zip(real, fake, strict=True) for r, f in zip(s, t, strict=True)]
    expected = sum(np.abs(r - f).mean() for r, f in pairs) / 2
    matching = feature_matching.FeatureMatching()
    watched = [outputs[0]["features"][1][0], outputs[1]["features"][1][0]]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = matching(term_step.with_outputs(*outputs))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    into_real, into_fake = tape.gradient(value, watched)
    assert into_real is None
    np.testing.assert_allclose(into_fake, np.sign(fake[1][0] - real[1][0]) / 14 / 2, rtol=1e-5)


@pytest.mark.parametrize("features", [[], [[]], [[tf.zeros([1, 2])], []]])
def test_feature_matching_without_the_same_features(features):
    real = {"features": features}
    fake = {"features": [] if len(features) < 2 else [[tf.zeros([1, 2])]]}
    with pytest.raises(ValueError, match="same features of the discriminator.*at least one"):
        feature_matching.FeatureMatching()(term_step.with_outputs(real, fake))


def test_perceptual():
    def network(image):
        return [2.0 * image, tf.reduce_sum(image, -1)]

    distance = perceptual.Perceptual(network, (0.25, 3.0), weight=7.0)
    real, fake = tf.constant(IMAGES[0]), tf.constant(IMAGES[1])
    difference = IMAGES[1].astype(np.float64) - IMAGES[0]
    expected = 0.25 * np.abs(2 * difference).mean() + 3 * np.abs(difference.sum(-1)).mean()
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        value = distance(term.Step(batch={"image": real}, generated={"image": fake}))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    into_real, into_fake = tape.gradient(value, [real, fake])
    assert into_real is None
    slope = 0.25 * 2 * np.sign(difference) / difference.size
    slope += 3 * np.sign(difference.sum(-1, keepdims=True)) / difference[..., 0].size
    np.testing.assert_allclose(into_fake, slope, rtol=1e-4)
    assert distance.weight == 7.0


def test_perceptual_errors():
    with pytest.raises(ValueError, match="one number per feature map"):
        perceptual.Perceptual(None, ())
    images = {"image": tf.constant(IMAGES[0])}
    with pytest.raises(ValueError, match="each of the 1 feature maps"):
        perceptual.Perceptual(lambda x: [x])(term.Step(batch=images, generated=images))


def test_kl_divergence():
    mean, log_variance = RNG.normal(0, 1, (2, 4, 6))
    variance = np.exp(log_variance)
    # The density ratio integrated on a grid, independent of the closed form.
    grid = np.linspace(-30, 30, 60001)
    expected = 0.0
    for m, v in zip(mean.ravel(), variance.ravel(), strict=True):
        density = np.exp(-((grid - m) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)
        ratio = -((grid - m) ** 2) / (2 * v) - np.log(v) / 2 + grid**2 / 2
        expected += np.sum(density * ratio) * (grid[1] - grid[0])
    generated = {
        "style_mean": tf.constant(mean, tf.float32),
        "style_log_variance": tf.constant(log_variance, tf.float32),
    }
    divergence_of = divergence.KLDivergence()
    value = divergence_of(term.Step(generated=generated))
    np.testing.assert_allclose(value, expected / 4, rtol=1e-4)
    assert divergence_of.weight == 0.2
    zero = {key: tf.zeros([4, 6]) for key in generated}
    assert divergence_of(term.Step(generated=zero)) == 0.0
    with pytest.raises(ValueError, match="style_log_variance.*Received: outputs=.'image', 'sty"):
        divergence_of(term.Step(generated={"image": 0, "style_mean": 0}))
