"""Loss values and gradients against closed forms and NumPy float64."""

import numpy as np
import pytest
import tensorflow as tf
from hydra.utils import instantiate
from omegaconf import OmegaConf

from losses import adversarial, divergence, feature_matching, gradient_penalty, perceptual

RNG = np.random.default_rng(3)
REAL = [RNG.normal(0, 2, (3, 5, 4, 1)), RNG.normal(0, 2, (3, 2, 2, 1))]
FAKE = [RNG.normal(0, 2, (3, 5, 4, 1)), RNG.normal(0, 2, (3, 2, 2, 1))]


def softplus(a):
    return np.log1p(np.exp(a))


FORMULAS = {
    "Hinge": (
        lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
        lambda f: -f.mean(),
    ),
    "Wasserstein": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
    "NonSaturating": (
        lambda r, f: softplus(-r).mean() + softplus(f).mean(),
        lambda f: softplus(-f).mean(),
    ),
    "LeastSquares": (
        lambda r, f: ((r - 1) ** 2).mean() + (f**2).mean(),
        lambda f: ((f - 1) ** 2).mean(),
    ),
}


def tensors(scales, dtype=tf.float32):
    return [tf.constant(scale, dtype) for scale in scales]


@pytest.mark.parametrize("name", FORMULAS)
def test_adversarial_values(name):
    loss = getattr(adversarial, name)()
    of_discriminator, of_generator = FORMULAS[name]
    expected = np.mean([of_discriminator(r, f) for r, f in zip(REAL, FAKE, strict=True)])
    value = loss.discriminator(tensors(REAL), tensors(FAKE))
    assert value.dtype == tf.float32 and value.shape == ()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(
        loss.generator(tensors(FAKE)), np.mean([of_generator(f) for f in FAKE]), rtol=1e-5
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_adversarial_gradients(name):
    """Against central differences of the float64 formulas."""
    loss = getattr(adversarial, name)()
    real, fake = RNG.normal(0, 2, (2, 3, 1, 1)), RNG.normal(0, 2, (2, 3, 1, 1))
    real_tensor, fake_tensor = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real_tensor, fake_tensor])
        of_discriminator = loss.discriminator([real_tensor], [fake_tensor])
        of_generator = loss.generator([fake_tensor])
    cases = (
        (lambda x: FORMULAS[name][0](x, fake), real, tape.gradient(of_discriminator, real_tensor)),
        (lambda x: FORMULAS[name][0](real, x), fake, tape.gradient(of_discriminator, fake_tensor)),
        (FORMULAS[name][1], fake, tape.gradient(of_generator, fake_tensor)),
    )
    for function, point, gradient in cases:
        expected = np.zeros_like(point)
        for index in np.ndindex(point.shape):
            step = np.zeros_like(point)
            step[index] = 1e-6
            expected[index] = (function(point + step) - function(point - step)) / 2e-6
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_adversarial_in_half_precision_and_for_large_logits():
    for name in FORMULAS:
        loss = getattr(adversarial, name)()
        half = loss.discriminator(tensors(REAL, tf.float16), tensors(FAKE, tf.float16))
        assert half.dtype == tf.float32
        # The mean of 300 * 300 would overflow float16.
        large = loss.discriminator([tf.constant([300.0], tf.float16)], [tf.constant([-300.0])])
        assert np.isfinite(large) and np.isfinite(loss.generator([tf.constant([-1e4])]))


def test_adversarial_scale_counts():
    with pytest.raises(ValueError, match=r"same number of scales.*Received: lengths=\[2, 1\]"):
        adversarial.Hinge().discriminator(tensors(REAL), tensors(FAKE[:1]))
    with pytest.raises(ValueError, match=r"at least one.*Received: lengths=\[0\]"):
        adversarial.Wasserstein().generator([])


# --- Gradient penalties -----------------------------------------------------------------------

IMAGES = RNG.uniform(-1, 1, (2, 4, 4, 3, 3)).astype(np.float32)  # real, fake


def penalise(term, critic, seed=(1, 2)):
    return term(
        critic=critic,
        real_image=tf.constant(IMAGES[0]),
        fake_image=tf.constant(IMAGES[1]),
        seed=tf.constant(seed, tf.int32),
        batch=None,
    )


def linear_critic(weights):
    """Two scales with several patches; their mean score is the inner product with `weights`."""

    def critic(image):
        score = tf.reduce_sum(image * weights, [1, 2, 3])
        patches = tf.stack([0.5 * score, 1.5 * score], 1)[:, :, None, None]
        return {"logits": [patches, tf.tile(score[:, None], [1, 3])]}

    return critic


def test_penalties_of_a_linear_critic_are_closed_forms():
    weights = RNG.normal(0, 0.3, (4, 3, 3))
    norm = np.sqrt((weights**2).sum())
    variable = tf.Variable(weights, dtype=tf.float32)
    critic = linear_critic(variable)
    with tf.GradientTape(persistent=True) as tape:
        penalty = penalise(gradient_penalty.GradientPenalty(), critic)
        r1 = penalise(gradient_penalty.R1(), critic)
    assert penalty.dtype == r1.dtype == tf.float32
    np.testing.assert_allclose(penalty, (norm - 1) ** 2, rtol=1e-4)
    np.testing.assert_allclose(r1, norm**2 / 2, rtol=1e-5)
    slope = 2 * (norm - 1) * weights / norm
    np.testing.assert_allclose(tape.gradient(penalty, variable), slope, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(r1, variable), weights, rtol=1e-4, atol=1e-6)


def test_the_penalty_is_two_sided_and_one_image_does_not_leak_into_another():
    """A critic D(x) = sum(x^2) / 2 has the gradient x, so every image has its own norm."""

    def critic(image):
        return {"logits": [tf.reduce_sum(tf.square(image), [1, 2, 3]) / 2]}

    seed = tf.constant([5, 9], tf.int32)
    along = tf.random.stateless_uniform([4, 1, 1, 1], seed).numpy().astype(np.float64)
    assert len(np.unique(along)) == 4
    point = IMAGES[0] + along * (IMAGES[1].astype(np.float64) - IMAGES[0])
    norms = np.sqrt((point**2).sum((1, 2, 3)))
    value = penalise(gradient_penalty.GradientPenalty(), critic, seed)
    np.testing.assert_allclose(value, ((norms - 1) ** 2).mean(), rtol=1e-4)
    r1 = penalise(gradient_penalty.R1(), critic)
    expected = 0.5 * (IMAGES[0].astype(np.float64) ** 2).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(r1, expected, rtol=1e-4)


def test_a_flat_critic_has_finite_gradients():
    variable = tf.Variable(tf.zeros([4, 3, 3]))
    with tf.GradientTape() as tape:
        penalty = penalise(gradient_penalty.GradientPenalty(), linear_critic(variable))
    np.testing.assert_allclose(penalty, 1.0, atol=1e-5)
    assert np.all(np.isfinite(tape.gradient(penalty, variable)))


def test_interpolation_is_stateless():
    term = gradient_penalty.GradientPenalty()

    def critic(image):
        return {"logits": [tf.reduce_sum(image**3, [1, 2, 3])]}

    first, again, other = (penalise(term, critic, s).numpy() for s in ((1, 2), (1, 2), (1, 3)))
    assert first == again != other


def test_small_gradients_survive_half_precision():
    """Backward through float16, gradients of 3e-9 would be flushed to zero without scaling."""

    def critic(image):
        hidden = tf.cast(image, tf.float16) * tf.constant(0.01, tf.float16)
        return {"logits": [tf.cast(hidden, tf.float32) * 1e-5]}

    gradient = 0.01 * 1e-5 / 36
    expected = 0.5 * 36 * gradient**2
    value = penalise(gradient_penalty.R1(), critic)
    np.testing.assert_allclose(value, expected, rtol=0.1)


def test_penalty_in_a_compiled_function():
    critic = linear_critic(tf.constant(RNG.normal(0, 0.3, (4, 3, 3)), tf.float32))
    term = gradient_penalty.GradientPenalty()
    for jit in (False, True):
        compiled = tf.function(lambda: penalise(term, critic), jit_compile=jit)
        np.testing.assert_allclose(compiled(), penalise(term, critic), rtol=1e-5)


# --- Terms of the generator -------------------------------------------------------------------


def test_feature_matching():
    real = [
        [RNG.normal(size=(2, 4, 4, 3)), RNG.normal(size=(2, 2, 2, 5))],
        [RNG.normal(size=(2, 7))],
    ]
    fake = [[r + RNG.normal(size=r.shape) for r in scale] for scale in real]
    outputs = [{"features": [tensors(scale) for scale in scales]} for scales in (real, fake)]
    pairs = [(r, f) for s, t in zip(real, fake, strict=True) for r, f in zip(s, t, strict=True)]
    expected = sum(np.abs(r - f).mean() for r, f in pairs) / 2
    term = feature_matching.FeatureMatching()
    watched = [outputs[0]["features"][1][0], outputs[1]["features"][1][0]]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = term(batch=None, generated=None, real=outputs[0], fake=outputs[1])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    into_real, into_fake = tape.gradient(value, watched)
    assert into_real is None
    np.testing.assert_allclose(into_fake, np.sign(fake[1][0] - real[1][0]) / 14 / 2, rtol=1e-5)


@pytest.mark.parametrize("features", [[], [[]], [[tf.zeros([1, 2])], []]])
def test_feature_matching_without_the_same_features(features):
    real = {"features": features}
    fake = {"features": [] if len(features) < 2 else [[tf.zeros([1, 2])]]}
    with pytest.raises(ValueError, match="same features of the discriminator.*at least one"):
        feature_matching.FeatureMatching()(real=real, fake=fake)


def test_perceptual():
    def network(image):
        return [2.0 * image, tf.reduce_sum(image, -1)]

    term = perceptual.Perceptual(network, (0.25, 3.0), weight=7.0)
    real, fake = tf.constant(IMAGES[0]), tf.constant(IMAGES[1])
    difference = IMAGES[1].astype(np.float64) - IMAGES[0]
    expected = 0.25 * np.abs(2 * difference).mean() + 3 * np.abs(difference.sum(-1)).mean()
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        value = term(batch={"image": real}, generated={"image": fake}, real=None, fake=None)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    into_real, into_fake = tape.gradient(value, [real, fake])
    assert into_real is None
    slope = 0.25 * 2 * np.sign(difference) / difference.size
    slope += 3 * np.sign(difference.sum(-1, keepdims=True)) / difference[..., 0].size
    np.testing.assert_allclose(into_fake, slope, rtol=1e-4)
    assert term.weight == 7.0


def test_perceptual_errors():
    with pytest.raises(ValueError, match="one weight per feature map"):
        perceptual.Perceptual(None, ())
    images = {"image": tf.constant(IMAGES[0])}
    with pytest.raises(ValueError, match="each of the 1 feature maps"):
        perceptual.Perceptual(lambda x: [x])(batch=images, generated=images)


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
    term = divergence.KLDivergence()
    value = term(batch=None, generated=generated, real=None, fake=None)
    np.testing.assert_allclose(value, expected / 4, rtol=1e-4)
    assert term.weight == 0.2
    zero = {key: tf.zeros([4, 6]) for key in generated}
    assert term(generated=zero) == 0.0
    with pytest.raises(KeyError, match="style_log_variance.*Received: outputs=.'image', 'style_me"):
        term(generated={"image": 0, "style_mean": 0})


# --- Configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "loss", "terms"),
    [
        ("hinge", adversarial.Hinge, {}),
        ("wgan_gp", adversarial.Wasserstein, {"gradient_penalty": 10.0}),
        ("wgan_gp_masked", adversarial.Wasserstein, {"gradient_penalty": 10.0}),
        ("non_saturating", adversarial.NonSaturating, {}),
        ("least_squares", adversarial.LeastSquares, {}),
    ],
)
def test_loss_configs(name, loss, terms, request):
    node = OmegaConf.load(request.config.rootpath / "configs" / "loss" / f"{name}.yaml")
    built = instantiate(node, _convert_="all")
    assert sorted(built) == ["adversarial", "discriminator_terms"]
    assert type(built["adversarial"]) is loss
    assert {k: term.weight for k, term in built["discriminator_terms"].items()} == terms
