"""Kullback-Leibler divergence of an encoder's Gaussian from the standard normal."""

import tensorflow as tf

from losses import term


def gaussian_kl(mean, log_variance) -> tf.Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), summed over the last axis; float32 [B]."""
    mean, log_variance = tf.cast(mean, tf.float32), tf.cast(log_variance, tf.float32)
    terms = 1.0 + log_variance - tf.square(mean) - tf.exp(log_variance)
    return -0.5 * tf.reduce_sum(terms, axis=-1)


class KLDivergence(term.Term):
    """Divergence of the style encoder's distribution from N(0, I), a generator term.

    -1/2 sum_z (1 + log var - mean^2 - var), sum over z, mean over the batch, in float32. The
    original code sums over the batch too, with factor 0.05 at 4 images per device: 0.2 here.

    Args:
        weight: factor in the generator's loss, applied by the task. Default 0.2.

    Call arguments:
        step: losses.term.Step; of `generated` "style_mean" and "style_log_variance" are read,
            [B, noise_dim].

    Returns: float32 scalar, without the weight.

    Raises:
        ValueError: the generator has no style encoder.

    Source: Kingma, Welling, arXiv 1312.6114, appendix B; NVlabs/SPADE models/networks/loss.py.
    """

    configurable = True

    needs = ("generated",)

    def __init__(self, weight: float = 0.2) -> None:
        self.weight = weight

    def __call__(self, step: term.Step) -> tf.Tensor:
        generated = step.generated
        missing = [k for k in ("style_mean", "style_log_variance") if k not in generated]
        if missing:
            raise ValueError(
                f"Expected a generator that returns {missing}, as one with a style encoder does. "
                f"Received: outputs={sorted(generated)}. Choose such a generator, or remove the "
                "KL term."
            )
        return tf.reduce_mean(gaussian_kl(generated["style_mean"], generated["style_log_variance"]))
