"""Perceptual distance in the feature maps of a frozen network that is handed in."""

import tensorflow as tf

from losses import term


class Perceptual(term.Term):
    """Weighted distance of feature maps of the real and the generated image, a generator term.

    sum_l w_l mean |phi_l(G) - stop_gradient(phi_l(x))|, in float32.

    Args:
        feature_network: callable, image float32 [B,H,W,3] in [-1, 1] -> list of feature maps, for
            instance models.feature_networks.VGG19Features. It does its own preprocessing and has
            no trainable variables.
        layer_weights: w_l, one number per feature map. Default 1/32, 1/16, 1/8, 1/4, 1, made for
            the five maps of VGG19. Configs also take a word, see training.runs.perceptual_loss.
        weight: factor in the generator's loss, applied by the task. Default 10, made for maps of
            magnitude 1. Weights in Keras "caffe" scale give larger ones (SqueezeNet v1.1: the term
            is about 12 between unrelated photographs); 0.1 to 1 keeps the balance there.
        weights_hash: SHA-256 of the network's weights, a note of the run's config. Default None.

    Call arguments:
        step: losses.term.Step; "image" of `batch` and of `generated` is read.

    Returns: float32 scalar, without the weight.

    Raises:
        ValueError: no layer weights, or another number of weights than feature maps.

    Source: Johnson, Alahi, Fei-Fei, ECCV 2016, arXiv 1603.08155; NVlabs/SPADE
    models/networks/loss.py (which feeds images in [-1, 1] without the mean and spread of ImageNet;
    here the network sees the input it was trained on).
    """

    configurable = True

    needs = ("batch", "generated")

    def __init__(
        self,
        feature_network,
        layer_weights=(1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0),
        *,
        weight: float = 10.0,
        weights_hash: str | None = None,
    ) -> None:
        if len(layer_weights) == 0 or isinstance(layer_weights, str):
            raise ValueError(
                f"Expected one number per feature map. Received: layer_weights={layer_weights}"
            )
        self.feature_network = feature_network
        self.layer_weights = layer_weights
        self.weight = weight
        self.weights_hash = weights_hash

    def __call__(self, step: term.Step) -> tf.Tensor:
        real_maps = self.feature_network(tf.cast(step.batch["image"], tf.float32))
        fake_maps = self.feature_network(tf.cast(step.generated["image"], tf.float32))
        if len(real_maps) != len(self.layer_weights):
            raise ValueError(
                f"Expected one layer weight for each of the {len(real_maps)} feature maps of the "
                f"network. Received: layer_weights={list(self.layer_weights)}. Give as many "
                "weights as the network has layers."
            )
        total = tf.zeros([], tf.float32)
        for weight, real, fake in zip(self.layer_weights, real_maps, fake_maps, strict=True):
            target = tf.stop_gradient(tf.cast(real, tf.float32))
            total += weight * tf.reduce_mean(tf.abs(tf.cast(fake, tf.float32) - target))
        return total
