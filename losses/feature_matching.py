"""Feature matching: distance of the discriminator's features of fake and of real images."""

import tensorflow as tf

from losses import term


class FeatureMatching(term.Term):
    """Distance of the discriminator's intermediate features, a generator term.

    (1/K) sum_k sum_l mean |stop_gradient(D_k^l(x)) - D_k^l(G)| over K scales and all layers but
    the logits. Computed in float32.

    Args:
        weight: factor in the generator's loss, applied by the task. Default 10.

    Call arguments:
        step: losses.term.Step; of the outputs of `real` and `fake` "features" is read: a list per
            scale of lists of tensors [B, ...].

    Returns: float32 scalar, without the weight.

    Raises:
        ValueError: the discriminator returns no features, or not the same on real and fake.

    Source: Wang et al., CVPR 2018, arXiv 1711.11585; NVlabs/SPADE models/pix2pix_model.py.
    """

    configurable = True

    needs = ("real.outputs", "fake.outputs")

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    def __call__(self, step: term.Step) -> tf.Tensor:
        real, fake = step.real.outputs, step.fake.outputs
        layers = [[len(scale) for scale in output["features"]] for output in (real, fake)]
        if layers[0] != layers[1] or not sum(layers[0]):
            raise ValueError(
                "Expected the same features of the discriminator on real and fake images, at "
                f"least one. Received: layers per scale={layers[0]} on real, {layers[1]} on fake. "
                "Choose a discriminator that returns features, or remove the feature matching term."
            )
        distances = []
        for real_scale, fake_scale in zip(real["features"], fake["features"], strict=True):
            for real_layer, fake_layer in zip(real_scale, fake_scale, strict=True):
                target = tf.stop_gradient(tf.cast(real_layer, tf.float32))
                distances.append(tf.reduce_mean(tf.abs(target - tf.cast(fake_layer, tf.float32))))
        return tf.add_n(distances) / len(real["features"])
