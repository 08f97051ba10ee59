"""Pixel normalisation, for generators."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tessera")
class PixelNormalization(keras.layers.Layer):
    """Gives the feature vector of every position a mean square of 1 (a length of sqrt(C)).

        out = x / sqrt(mean over channels of x^2 + epsilon)

    No variables, and the same in training and inference. The mean is float32 at any precision.

    Args:
        epsilon: float, added to the mean square, default 1e-8.

    Call arguments:
        x: float [B, H, W, C].
        condition: ignored; there so that residual blocks can take this layer as normaliser.
        training: bool, ignored.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Source: Karras, Aila, Laine, Lehtinen, arXiv 1710.10196, section 4.2.
    """

    configurable = True

    conditional = False

    def __init__(self, epsilon=1e-8, **kwargs) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, x_shape, condition_shape=None) -> None:
        self.built = True

    def call(self, x, condition=None, training=False) -> keras.KerasTensor:
        exact = ops.cast(x, "float32")
        mean_square = ops.mean(ops.square(exact), axis=-1, keepdims=True)
        return ops.cast(exact * ops.rsqrt(mean_square + self.epsilon), self.compute_dtype)
