"""Critics of painted images: strided convolutions and what makes one score of them."""

import keras
import tensorflow as tf
from keras import ops

from models.layers import down_block, residual, settings, spectral_normalization


@keras.saving.register_keras_serializable(package="tessera")
class StridedConvolutions(settings.OwnPolicy, keras.layers.Layer):
    """A chain of zero-padded convolutions 5/2, each followed by leaky ReLU 0.2; no normalisation.

    Args:
        channels: sequence of int, of each convolution.
        spectral_norm: bool, on every convolution, default False.

    Call arguments:
        x: float [B, H, W, C].
        training: bool.

    Returns:
        list of float [B, h, w, channels] in the compute dtype, the activations after each
        convolution; h and w are halved by each, rounded up.

    Raises:
        ValueError: no convolution; in `build`, more halvings than the map has.
    """

    def __init__(self, channels, *, spectral_norm=False, **kwargs) -> None:
        super().__init__(**kwargs)
        if not channels:
            raise ValueError(f"Expected at least one convolution. Received: channels={channels}.")
        self.channels = tuple(channels)
        self.spectral_norm = spectral_norm
        self.convolutions = [
            residual.convolution(
                filters, 5, spectral_norm=spectral_norm, strides=2, name=f"convolution_{index}"
            )
            for index, filters in enumerate(self.channels)
        ]

    def build(self, x_shape) -> None:
        down_block.check_halvings(x_shape[1:3], len(self.channels), "strided convolutions")
        residual.build_chain(self.convolutions, x_shape[-1])
        self.built = True

    def call(self, x, training=False) -> list[tf.Tensor]:
        features = []
        for layer in self.convolutions:
            x = ops.leaky_relu(layer(x, training=training), 0.2)
            features.append(x)
        return features


@keras.saving.register_keras_serializable(package="tessera")
class WholeCritic(settings.OwnPolicy, keras.layers.Layer):
    """One score of a whole image of fixed size: strided convolutions, flatten, dense 1.

    Args:
        channels: sequence of int, of each convolution 5/2.
        spectral_norm: bool, on every layer, default False.

    Call arguments:
        image: float [B, H, W, C].
        training: bool.

    Returns:
        dict of "score": float32 [B, 1], and "features": list of the activations of each
        convolution in the compute dtype.
    """

    def __init__(self, channels, *, spectral_norm=False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.channels = tuple(channels)
        self.spectral_norm = spectral_norm
        self.trunk = StridedConvolutions(self.channels, spectral_norm=spectral_norm, name="trunk")
        dense = spectral_normalization.SpectralDense if spectral_norm else keras.layers.Dense
        self.score = dense(1, dtype="float32", name="score")  # a sum too large for 16 bits

    def build(self, image_shape) -> None:
        self.trunk.build(image_shape)
        stride = 2 ** len(self.channels)
        height, width = (-(-side // stride) for side in image_shape[1:3])
        self.flat = height * width * self.channels[-1]
        self.score.build((None, self.flat))
        self.built = True

    def call(self, image, training=False) -> dict:
        features = self.trunk(image, training=training)
        flat = ops.reshape(ops.cast(features[-1], "float32"), (-1, self.flat))
        return {"score": self.score(flat, training=training), "features": features}


@keras.saving.register_keras_serializable(package="tessera")
class HoleCritic(settings.OwnPolicy, keras.layers.Layer):
    """One score of a hole of any shape: the mean over the hole of the scores of patches.

        D = conv5/2 1 of strided convolutions;  M = hole, max-pooled as often as D was halved
        score = sum D M / sum M        (0 without a hole)

    Args:
        channels: sequence of int, of each convolution 5/2 but the last.
        spectral_norm: bool, on every convolution, default False.

    Call arguments:
        image: float [B, H, W, C].
        hole: float [B, H, W, 1], 1 = painted.
        training: bool.

    Returns:
        dict of "score": float32 [B, 1], and "features": list of the activations of each
        convolution but the last.
    """

    def __init__(self, channels, *, spectral_norm=False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.channels = tuple(channels)
        self.spectral_norm = spectral_norm
        self.trunk = StridedConvolutions(self.channels, spectral_norm=spectral_norm, name="trunk")
        self.last = residual.convolution(1, 5, spectral_norm=spectral_norm, strides=2, name="last")

    def build(self, image_shape, hole_shape=None) -> None:
        self.trunk.build(image_shape)
        self.last.build((None, None, None, self.channels[-1]))
        self.built = True

    def call(self, image, hole, training=False) -> dict:
        features = self.trunk(image, training=training)
        scores = self.last(features[-1], training=training)
        pooled = tf.cast(hole, tf.float32)
        for _ in range(len(self.channels) + 1):
            pooled = tf.nn.max_pool2d(pooled, 2, 2, "SAME")
        total = ops.sum(ops.cast(scores, "float32") * pooled, axis=(1, 2))
        return {"score": total / ops.maximum(ops.sum(pooled, axis=(1, 2)), 1.0),
                "features": features}  # fmt: skip
