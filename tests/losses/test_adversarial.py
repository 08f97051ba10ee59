"""Adversarial losses against NumPy, and the loss configs."""

import numpy as np
import pytest
import tensorflow as tf
from hydra.utils import instantiate
from omegaconf import OmegaConf

from losses import adversarial
from tests.helpers import term_step

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


def of_discriminator_in(loss, real, fake):
    return loss.discriminator(term_step.with_outputs({"logits": real}, {"logits": fake}))


def of_generator_in(loss, fake):
    return loss.generator(term_step.with_outputs(None, {"logits": fake}))


@pytest.mark.parametrize("name", FORMULAS)
def test_adversarial_values(name):
    loss = getattr(adversarial, name)()
    of_discriminator, of_generator = FORMULAS[name]
    expected = np.mean([of_discriminator(r, f) for r, f in zip(REAL, FAKE, strict=True)])
    result = of_discriminator_in(loss, tensors(REAL), tensors(FAKE))
    value = result["loss"]
    for side, logits in (("real", REAL), ("fake", FAKE)):
        mean = np.mean([scale.mean() for scale in logits])
        np.testing.assert_allclose(result[f"logit_{side}"], mean, rtol=1e-5)
    assert ("accuracy_real" in result) is (name != "Wasserstein")
    if name != "Wasserstein":
        boundary = 0.5 if name == "LeastSquares" else 0.0
        for side, right in (
            ("real", [(scale > boundary).mean() for scale in REAL]),
            ("fake", [(scale < boundary).mean() for scale in FAKE]),
        ):
            np.testing.assert_allclose(result[f"accuracy_{side}"], np.mean(right), rtol=1e-6)
    assert value.dtype == tf.float32 and value.shape == ()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(
        of_generator_in(loss, tensors(FAKE)), np.mean([of_generator(f) for f in FAKE]), rtol=1e-5
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_adversarial_gradients(name):
    """Against central differences of the float64 formulas."""
    loss = getattr(adversarial, name)()
    real, fake = RNG.normal(0, 2, (2, 3, 1, 1)), RNG.normal(0, 2, (2, 3, 1, 1))
    real_tensor, fake_tensor = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real_tensor, fake_tensor])
        of_discriminator = of_discriminator_in(loss, [real_tensor], [fake_tensor])["loss"]
        of_generator = of_generator_in(loss, [fake_tensor])
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
        half = of_discriminator_in(loss, tensors(REAL, tf.float16), tensors(FAKE, tf.float16))[
            "loss"
        ]
        assert half.dtype == tf.float32
        # The mean of 300 * 300 would overflow float16.
        large = of_discriminator_in(
            loss, [tf.constant([300.0], tf.float16)], [tf.constant([-300.0])]
        )["loss"]
        assert np.isfinite(large) and np.isfinite(of_generator_in(loss, [tf.constant([-1e4])]))


def test_adversarial_scale_counts():
    with pytest.raises(ValueError, match=r"same number of scales.*Received: lengths=\[2, 1\]"):
        of_discriminator_in(adversarial.Hinge(), tensors(REAL), tensors(FAKE[:1]))
    with pytest.raises(ValueError, match=r"at least one.*Received: lengths=\[0\]"):
        of_generator_in(adversarial.Wasserstein(), [])


# --- Configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "loss", "terms"),
    [
        ("hinge", adversarial.Hinge, {}),
        ("wgan_gp", adversarial.Wasserstein, {"gradient_penalty": 10.0}),
        ("wgan_gp_masked", adversarial.Wasserstein, {"gradient_penalty": 10.0}),
        ("non_saturating", adversarial.NonSaturating, {}),
        ("non_saturating_r1", adversarial.NonSaturating, {"r1": 10.0}),
        ("least_squares", adversarial.LeastSquares, {}),
    ],
)
def test_loss_configs(name, loss, terms, request):
    node = OmegaConf.load(request.config.rootpath / "configs" / "loss" / f"{name}.yaml")
    built = instantiate(node, _convert_="all")
    assert sorted(built) == ["adversarial", "discriminator_terms"]
    assert type(built["adversarial"]) is loss
    assert {k: term.weight for k, term in built["discriminator_terms"].items()} == terms
