"""Adversarial losses: scalars from the logits of a discriminator, one tensor per scale.

Each loss is a pair of pure functions of one scale's logits and a class that averages them over
scales. Logits may have any shape [B, ...]; the mean is taken over images and patches alike.
"""

from collections.abc import Callable

import tensorflow as tf

from losses import term


def hinge_discriminator(real, fake) -> tf.Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G))."""
    return tf.reduce_mean(tf.nn.relu(1.0 - real)) + tf.reduce_mean(tf.nn.relu(1.0 + fake))


def wasserstein_discriminator(real, fake) -> tf.Tensor:
    """E D(G) - E D(x)."""
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


def critic_generator(fake) -> tf.Tensor:
    """-E D(G), the generator's side of hinge and Wasserstein."""
    return -tf.reduce_mean(fake)


def non_saturating_discriminator(real, fake) -> tf.Tensor:
    """E softplus(-D(x)) + E softplus(D(G))."""
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


def non_saturating_generator(fake) -> tf.Tensor:
    """E softplus(-D(G))."""
    return tf.reduce_mean(tf.nn.softplus(-fake))


def least_squares_discriminator(real, fake) -> tf.Tensor:
    """E (D(x) - 1)^2 + E D(G)^2."""
    return tf.reduce_mean(tf.square(real - 1.0)) + tf.reduce_mean(tf.square(fake))


def least_squares_generator(fake) -> tf.Tensor:
    """E (D(G) - 1)^2."""
    return tf.reduce_mean(tf.square(fake - 1.0))


def mean_over_scales(loss, *scales) -> tf.Tensor:
    """Mean of `loss(a_k, b_k, ...)` over scales k, in float32.

    Args:
        loss: function of one tensor from each list.
        scales: lists of logits, one tensor per scale.

    Raises:
        ValueError: no scale at all, or lists of different length.
    """
    counts = [len(logits) for logits in scales]
    if min(counts) == 0 or len(set(counts)) > 1:
        raise ValueError(
            "Expected the same number of scales, at least one, of real and fake logits. "
            f"Received: lengths={counts}. A discriminator returns a list of logits, one tensor "
            "for each scale."
        )
    values = [
        loss(*(tf.cast(logits, tf.float32) for logits in scale))
        for scale in zip(*scales, strict=True)
    ]
    return tf.add_n(values) / len(values)


class ScaleMean(term.AdversarialLoss):
    """A pair of functions of logits, each the mean over scales.

    Call of `discriminator(step)` and `generator(step)`:
        step: losses.term.Step; "logits" of `real.outputs` and `fake.outputs` are read, lists of
            tensors [B, ...], one per scale.

    Returns: float32 scalar for the generator; for the discriminator a dict of "loss", the mean
        logits "logit_real" and "logit_fake", and the shares of logits on the right side of
        `boundary`, "accuracy_real" and "accuracy_fake", where there is one.

    Raises:
        ValueError: empty lists, or lists of different length.
    """

    of_discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    of_generator: Callable[[tf.Tensor], tf.Tensor]
    boundary: float | None = 0.0
    """Logits above it say "real"; None = the loss has no such point."""

    def discriminator(self, step: term.Step) -> dict[str, tf.Tensor]:
        real, fake = step.real.outputs["logits"], step.fake.outputs["logits"]
        values = {
            "loss": mean_over_scales(self.of_discriminator, real, fake),
            "logit_real": mean_over_scales(tf.reduce_mean, real),
            "logit_fake": mean_over_scales(tf.reduce_mean, fake),
        }
        if self.boundary is not None:
            values["accuracy_real"] = mean_over_scales(lambda x: _share(x > self.boundary), real)
            values["accuracy_fake"] = mean_over_scales(lambda x: _share(x < self.boundary), fake)
        return values

    def generator(self, step: term.Step) -> tf.Tensor:
        return mean_over_scales(self.of_generator, step.fake.outputs["logits"])


class Hinge(ScaleMean):
    """Hinge loss; call and errors as `ScaleMean`.

    D minimises E max(0, 1 - D(x)) + E max(0, 1 + D(G)), G minimises -E D(G); means over images
    and patches, then over scales.

    Source: Lim, Ye, arXiv 1705.02894; NVlabs/SPADE models/networks/loss.py.
    """

    configurable = True

    of_discriminator = staticmethod(hinge_discriminator)
    of_generator = staticmethod(critic_generator)


class Wasserstein(ScaleMean):
    """Wasserstein loss; the critic needs a gradient penalty as discriminator term beside it.

    D minimises E D(G) - E D(x), G minimises -E D(G). Call and errors as `ScaleMean`.

    Source: Arjovsky, Chintala, Bottou, ICML 2017, arXiv 1701.07875.
    """

    configurable = True

    of_discriminator = staticmethod(wasserstein_discriminator)
    of_generator = staticmethod(critic_generator)
    boundary = None


class NonSaturating(ScaleMean):
    """Non-saturating logistic loss.

    D minimises E softplus(-D(x)) + E softplus(D(G)), G minimises E softplus(-D(G)). Call and
    errors as `ScaleMean`.

    Source: Goodfellow et al., NeurIPS 2014, arXiv 1406.2661; Mescheder, Geiger, Nowozin, ICML
    2018, arXiv 1801.04406.
    """

    configurable = True

    of_discriminator = staticmethod(non_saturating_discriminator)
    of_generator = staticmethod(non_saturating_generator)


class LeastSquares(ScaleMean):
    """Least-squares loss with targets 1 and 0, without the paper's factor 1/2.

    D minimises E (D(x) - 1)^2 + E D(G)^2, G minimises E (D(G) - 1)^2. Call and errors as
    `ScaleMean`.

    Source: Mao et al., ICCV 2017, arXiv 1611.04076.
    """

    configurable = True

    of_discriminator = staticmethod(least_squares_discriminator)
    of_generator = staticmethod(least_squares_generator)
    boundary = 0.5


def _share(flags) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(flags, tf.float32))
