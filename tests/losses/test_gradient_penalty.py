"""Gradient penalties: closed forms of linear critics, flat critics, half precision."""

import keras
import numpy as np
import tensorflow as tf

from losses import gradient_penalty, term
from models.discriminators import patch
from tests.helpers import term_step

RNG = np.random.default_rng(3)
IMAGES = RNG.uniform(-1, 1, (2, 4, 4, 3, 3)).astype(np.float32)  # real, fake


def penalise(term, critic, seed=(1, 2)):
    return term(term_step.with_images(critic, *IMAGES, seed=seed))


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
        result = penalise(gradient_penalty.GradientPenalty(), critic)
        penalty = result["loss"]
        r1 = penalise(gradient_penalty.R1(), critic)
    assert penalty.dtype == r1.dtype == tf.float32
    np.testing.assert_allclose(penalty, (norm - 1) ** 2, rtol=1e-4)
    np.testing.assert_allclose(result["gradient_norm"], norm, rtol=1e-5)
    np.testing.assert_allclose(r1, norm**2 / 2, rtol=1e-5)
    slope = 2 * (norm - 1) * weights / norm
    np.testing.assert_allclose(tape.gradient(penalty, variable), slope, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(r1, variable), weights, rtol=1e-4, atol=1e-6)


def test_the_penalty_is_two_sided_and_one_image_does_not_leak_into_another():
    """A critic D(x) = sum(x^2) / 2 has the gradient x, so every image has its own norm."""

    def critic(image):
        return {"logits": [tf.reduce_sum(tf.square(image), [1, 2, 3]) / 2]}

    seed = (5, 9)
    along = tf.random.stateless_uniform([4, 1, 1, 1], seed).numpy().astype(np.float64)
    assert len(np.unique(along)) == 4
    point = IMAGES[0] + along * (IMAGES[1].astype(np.float64) - IMAGES[0])
    norms = np.sqrt((point**2).sum((1, 2, 3)))
    value = penalise(gradient_penalty.GradientPenalty(), critic, seed)
    np.testing.assert_allclose(value["loss"], ((norms - 1) ** 2).mean(), rtol=1e-4)
    np.testing.assert_allclose(value["gradient_norm"], norms.mean(), rtol=1e-4)
    r1 = penalise(gradient_penalty.R1(), critic)
    expected = 0.5 * (IMAGES[0].astype(np.float64) ** 2).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(r1, expected, rtol=1e-4)


def test_a_flat_critic_has_finite_gradients():
    variable = tf.Variable(tf.zeros([4, 3, 3]))
    with tf.GradientTape() as tape:
        result = penalise(gradient_penalty.GradientPenalty(), linear_critic(variable))
        penalty = result["loss"]
    np.testing.assert_allclose(penalty, 1.0, atol=1e-5)
    assert np.all(np.isfinite(tape.gradient(penalty, variable)))


def test_interpolation_is_stateless():
    term = gradient_penalty.GradientPenalty()

    def critic(image):
        return {"logits": [tf.reduce_sum(image**3, [1, 2, 3])]}

    first, again, other = (
        float(penalise(term, critic, s)["loss"]) for s in ((1, 2), (1, 2), (1, 3))
    )
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
        value, eager = compiled(), penalise(term, critic)
        assert value.keys() == eager.keys() == {"loss", "gradient_norm"}
        for name in value:
            np.testing.assert_allclose(value[name], eager[name], rtol=1e-5)


def test_r1_of_patch_critics_of_several_sizes_moves_every_kernel_down_its_slope():
    keras.utils.set_random_seed(0)
    critics = patch.MultiScalePatchDiscriminator(4, depth=3, scales=2)
    inputs = {
        "image": tf.constant(RNG.uniform(-1, 1, (3, 16, 16, 3)), tf.float32),
        "mask": tf.one_hot(RNG.integers(0, 2, (3, 16, 16)), 2),
    }
    critics.build({key: value.shape for key, value in inputs.items()})

    def penalty(chosen):
        real = {key: value[chosen] for key, value in inputs.items()}
        return gradient_penalty.R1()(term.Step(real=term.Side(real), discriminator=critics))

    with tf.GradientTape() as tape:
        value = penalty(slice(None))
    alone = [penalty(slice(index, index + 1)) for index in range(3)]
    np.testing.assert_allclose(value, np.mean(alone), rtol=1e-4)  # no image touches another
    variables = [v for v in critics.trainable_variables if not v.path.endswith("bias")]
    gradients = tape.gradient(value, variables)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    size = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in gradients))
    values = []  # so near that no leaky ReLU changes its side
    for step in (4e-5, -4e-5):
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_add(step * gradient / size)
        values.append(float(penalty(slice(None))))
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(step * gradient / size)
    np.testing.assert_allclose((values[0] - values[1]) / 8e-5, size, rtol=0.03)
