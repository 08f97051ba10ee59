"""Penalties on the gradient of critics with respect to their image: WGAN-GP, masked, and R1."""

from collections.abc import Callable

import tensorflow as tf

from losses import term

# Float16 backward passes lose gradients below 6e-8, and a mean over patches makes them small.
# A power of two, so that scaling up and down again changes nothing in float32.
GRADIENT_SCALE = 256.0


def score_per_image(logits) -> tf.Tensor:
    """The critic's one number per image: mean over the patches of a scale, mean over scales.

    Args:
        logits: list of tensors [B, ...], one per scale.

    Returns:
        float32 [B].
    """
    scales = []
    for scale in logits:
        patches = tf.reshape(tf.cast(scale, tf.float32), [tf.shape(scale)[0], -1])
        scales.append(tf.reduce_mean(patches, axis=1))
    return tf.add_n(scales) / len(scales)


def squared_gradient_norm(critic, image) -> tf.Tensor:
    """Sum over pixels and channels of the squared gradient of the score; float32 [B].

    Right only for critics that do not mix the images of a batch (no batch statistics).

    Args:
        critic: callable, float32 image [B,H,W,C] -> {"logits": list of tensors [B, ...]}.
        image: float32 [B,H,W,C].
    """
    image = tf.cast(image, tf.float32)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(image)
        # The gradient of the sum is the stack of the gradients of every image's own score.
        total = tf.reduce_sum(score_per_image(critic(image)["logits"])) * GRADIENT_SCALE
    gradient = tf.cast(tape.gradient(total, image), tf.float32) / GRADIENT_SCALE
    return tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])


def gradients_of_critics(critic, image) -> list[tf.Tensor]:
    """The gradient of each critic's score (mean over its patches) per image; float32 [B,H,W,C].

    Args:
        critic: callable, float32 image [B,H,W,C] -> {"logits": list of tensors [B, ...]}; no
            critic mixes the images of a batch.
        image: float32 [B,H,W,C].
    """
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(image)
        totals = [
            tf.reduce_sum(score_per_image([logits])) * GRADIENT_SCALE
            for logits in critic(image)["logits"]
        ]
    return [tape.gradient(total, image) / GRADIENT_SCALE for total in totals]


def real_critic(step: term.Step) -> Callable[[tf.Tensor], dict]:
    """The discriminator as a function of the image alone, under the conditions of the real one."""
    return lambda image: step.discriminate(step.real.inputs | {"image": image})


def interpolate(real_image, fake_image, seed) -> tf.Tensor:
    """x + a (G - x) with one a ~ U(0, 1) per image, a function of `seed` (int32 [2]) alone."""
    real_image, fake_image = tf.cast(real_image, tf.float32), tf.cast(fake_image, tf.float32)
    along = tf.random.stateless_uniform([tf.shape(real_image)[0], 1, 1, 1], seed)
    return real_image + along * (fake_image - real_image)


class GradientPenalty(term.Term):
    """Two-sided gradient penalty of WGAN-GP, a discriminator term.

    E (||grad D(x~)||_2 - 1)^2 with x~ = x + a (G - x), a ~ U(0, 1) per image. The norm is
    sqrt(sum + 1e-12), whose own gradient stays finite where the critic is flat. D is the mean over
    the patches of a scale and over scales. The critic must have no batch statistics.

    Args:
        weight: factor in the discriminator's loss, applied by the task. Default 10.

    Call arguments:
        step: losses.term.Step; read are the discriminator, which returns "logits", a list of
            tensors [B, ...], and its inputs, "image" [B,H,W,3] in [-1, 1], into which the penalty
            sends no gradient.

    Returns: dict of float32 scalars: "loss", without the weight; "gradient_norm", the mean norm.

    Source: Gulrajani et al., NeurIPS 2017, arXiv 1704.00028, equation 3.
    """

    configurable = True

    needs = ("real.inputs", "fake.inputs", "discriminator")
    # A gradient with respect to one image makes no sense where its score depends on batch-mates.
    forbids_batch_statistics = True

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    def __call__(self, step: term.Step) -> dict[str, tf.Tensor]:
        image = interpolate(step.real.inputs["image"], step.fake.inputs["image"], step.seed)
        norms = squared_gradient_norm(real_critic(step), tf.stop_gradient(image))
        norms = tf.sqrt(norms + 1e-12)
        loss = tf.reduce_mean(tf.square(norms - 1.0))
        return {"loss": loss, "gradient_norm": tf.reduce_mean(norms)}


class MaskedGradientPenalty(term.Term):
    """Gradient penalty of inpainting critics, a discriminator term.

    As `GradientPenalty`, with the pixels of the hole alone in the norm, and for each critic (each
    entry of the logits) on its own:

        mean over critics k and images of (sqrt(sum_hole (grad D_k(x~))^2 + 1e-12) - 1)^2

    Real and pasted images, and so all x~, are equal outside of the hole. The mean over critics
    goes with adversarial losses that are means over critics; where published both are sums. An
    image without a hole counts 1 and gives no gradient.

    Args:
        weight: factor in the discriminator's loss, applied by the task. Default 10.

    Call arguments: as `GradientPenalty`, with "hole" [B,H,W,1], 1 = painted, among the inputs, and
        a fake image that is pasted.

    Returns: dict of float32 scalars: "loss", without the weight; "gradient_norm", the mean norm.

    Raises:
        ValueError: no hole.

    Source: Yu et al., CVPR 2018, arXiv 1801.07892, equation 4; JiahuiYu/generative_inpainting
    (branch v1.0.0), inpaint_model.py.
    """

    configurable = True

    needs = ("real.inputs.hole", "fake.inputs", "discriminator")
    # A gradient with respect to one image makes no sense where its score depends on batch-mates.
    forbids_batch_statistics = True

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    def __call__(self, step: term.Step) -> dict[str, tf.Tensor]:
        real, hole = step.real.inputs, step.real.inputs.get("hole")
        if hole is None:
            raise ValueError(
                "Expected the hole of each image for the masked gradient penalty. Received: "
                "hole=None. Use data with holes and a discriminator that reads them, or "
                "GradientPenalty for whole images."
            )
        image = interpolate(real["image"], step.fake.inputs["image"], step.seed)
        hole, norms = tf.cast(hole, tf.float32), []
        for gradient in gradients_of_critics(real_critic(step), tf.stop_gradient(image)):
            norms.append(tf.sqrt(tf.reduce_sum(tf.square(gradient) * hole, [1, 2, 3]) + 1e-12))
        norms = tf.stack(norms)
        loss = tf.reduce_mean(tf.square(norms - 1.0))
        return {"loss": loss, "gradient_norm": tf.reduce_mean(norms)}


class R1(term.Term):
    """R1 regularisation on real images, a discriminator term.

    1/2 E ||grad D(x)||^2, summed over pixels; the weight is the paper's gamma, so that the loss
    gains gamma/2 E ||grad D(x)||^2. D is the mean over the patches of a scale and over scales.

    Args:
        weight: gamma, applied by the task. Default 10.
        every: 1 (default) = in each step; 16, as published for StyleGAN2, is almost as good and
            costs a sixteenth: an update of its own in every 16th step, with 16 times the loss.

    Call arguments: as `GradientPenalty`, without the fake image.

    Returns: float32 scalar, without the weight.

    Raises:
        ValueError: `every` below 1.

    Source: Mescheder, Geiger, Nowozin, ICML 2018, arXiv 1801.04406; lazy: Karras et al., CVPR
    2020, arXiv 1912.04958, section 3.1; NVlabs/stylegan2-ada-pytorch training/loss.py.
    """

    configurable = True

    needs = ("real.inputs", "discriminator")
    # A gradient with respect to one image makes no sense where its score depends on batch-mates.
    forbids_batch_statistics = True

    def __init__(self, weight: float = 10.0, *, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, a step. Received: every={every}")
        self.weight = weight
        self.every = every

    def __call__(self, step: term.Step) -> tf.Tensor:
        image = tf.stop_gradient(step.real.inputs["image"])
        return 0.5 * tf.reduce_mean(squared_gradient_norm(real_critic(step), image))
