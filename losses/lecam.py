"""LeCam regularisation: pulls the discriminator's scores of real and fake images together."""

import tensorflow as tf

from losses import term


class LeCam(term.Term):
    """Squared distance of scores from the moving average of the other side, a discriminator term.

    (1/K) sum_k E relu(D_k(x) - a_F,k)^2 + E relu(a_R,k - D_k(G))^2 over K scales, means over images
    and patches; a_R,k and a_F,k are moving averages of the mean scores of real and fake images of
    all steps before this one. It acts on real images that score above the fake average and on
    fakes below the real one. Not for Wasserstein losses, whose scores may drift, nor for losses of
    several classes a pixel.

    After a step the averages become d * average + (1 - d) * mean score, with d = `decay`; up to
    `start_step` they are the scores of the last step, and the loss is 0.

    Args:
        weight: factor in the discriminator's loss, applied by the task. It depends on the size of
            the scores: 0.01 to 0.3 for the hinge loss with spectral normalisation (default 0.3),
            1e-7 to 1e-6 for the non-saturating loss with R1.
        decay: weight of the past in the averages, in [0, 1). Default 0.99.
        start_step: steps of the discriminator before it counts, at least 1. Default 1000.

    Call arguments:
        step: losses.term.Step; "logits" of the outputs of `real` and `fake` are read, lists of
            tensors [B, ...], one per scale.

    Returns: dict of float32 scalars: "loss", without the weight; "logit_real_K" and "logit_fake_K",
        the mean scores of scale K.

    Raises:
        ValueError: a setting out of its range; in `build`, a discriminator without lists of logits.

    Source: Tseng, Jiang, Liu, Yang, Yang, CVPR 2021, arXiv 2104.03310; google/lecam-gan,
    third_party/utils.py, which takes up the scores of a step before its loss, not after it. The
    relu is of the code, not of the paper.
    """

    configurable = True

    needs = ("real.outputs", "fake.outputs")

    def __init__(self, weight: float = 0.3, *, decay: float = 0.99, start_step: int = 1000) -> None:
        if not 0.0 <= decay < 1.0 or start_step < 1:
            raise ValueError(
                "decay must be in [0, 1) and start_step at least 1: the first step has no averages "
                f"yet. Received: decay={decay}, start_step={start_step}"
            )
        self.weight = weight
        self.decay = decay
        self.start_step = start_step

    def build(self, outputs: dict) -> None:
        """Creates the averages of each scale of the discriminator."""
        logits = outputs["logits"]
        if not isinstance(logits, (list, tuple)):
            raise ValueError(
                "LeCam needs a discriminator with one score per place, a list of logits with one "
                f"tensor per scale. Received: logits of shape {tuple(logits.shape)}. Remove the "
                "term, or choose another discriminator."
            )
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        averages = tf.Variable(
            tf.zeros([2, len(logits)]), trainable=False, name="lecam_averages", aggregation=first
        )
        steps = tf.Variable(
            0, trainable=False, dtype=tf.int64, name="lecam_steps", aggregation=first
        )
        self.variables = [averages, steps]  # [2, K] of real and fake scores by scale; int64

    def __call__(self, step: term.Step) -> dict[str, tf.Tensor]:
        (averages, steps), loss, values = self.variables, 0.0, {}
        averages_of_real, averages_of_fake = tf.unstack(tf.convert_to_tensor(averages))
        scales = zip(step.real.outputs["logits"], step.fake.outputs["logits"], strict=True)
        for k, (real, fake) in enumerate(scales):
            real, fake = tf.cast(real, tf.float32), tf.cast(fake, tf.float32)
            above = tf.nn.relu(real - averages_of_fake[k])
            below = tf.nn.relu(averages_of_real[k] - fake)
            loss += tf.reduce_mean(tf.square(above)) + tf.reduce_mean(tf.square(below))
            values |= {
                f"logit_real_{k}": tf.reduce_mean(real),
                f"logit_fake_{k}": tf.reduce_mean(fake),
            }
        return {
            "loss": tf.where(steps >= self.start_step, loss / len(step.real.outputs["logits"]), 0.0)
        } | values

    def after(self, metrics: dict[str, tf.Tensor]) -> None:
        """Moves the averages by the mean scores of the step."""
        averages, steps = self.variables
        scales = range(averages.shape[1])
        scores = [[metrics[f"logit_{side}_{k}"] for k in scales] for side in ("real", "fake")]
        decay = tf.where(steps < self.start_step, 0.0, self.decay)
        now = tf.convert_to_tensor(averages)
        averages.assign(decay * now + (1.0 - decay) * tf.convert_to_tensor(scores))
        steps.assign_add(1)
