"""Gated convolution: every position and channel decides how much of its feature passes."""

import keras
from keras import ops

from models.layers import settings


@keras.saving.register_keras_serializable(package="tessera")
class GatedConvolution(settings.OwnPolicy, keras.layers.Layer):
    """Convolution whose output is multiplied by a learned soft mask.

        a, b = the halves of conv(x), which has 2 * filters channels
        out = activation(a) * sigmoid(b)

    Kernels start with twice the deviation that keeps the variance, because gates start near 1/2.
    (With Glorot's, 17 such layers in a row start with gradients a million times smaller.)

    Args:
        filters: int, channels of the result. Papers that count the channels of the convolution
            give twice this number (48 there is 24 here).
        kernel_size: int, default 3.
        strides: int, default 1; padding is always "same".
        dilation_rate: int, default 1.
        activation: str, Keras activation of the features, or None for none; default "elu".

    Call arguments:
        x: float [B, H, W, C].

    Returns:
        float [B, ceil(H / strides), ceil(W / strides), filters] in the compute dtype.

    Source: Yu et al., ICCV 2019, arXiv 1806.03589, section 3.1; JiahuiYu/generative_inpainting,
    inpaint_ops.py.
    """

    def __init__(
        self, filters, kernel_size=3, *, strides=1, dilation_rate=1, activation="elu", **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.dilation_rate = dilation_rate
        self.activation = activation
        self.convolution = keras.layers.Conv2D(
            2 * filters,
            kernel_size,
            strides=strides,
            dilation_rate=dilation_rate,
            padding="same",
            kernel_initializer=keras.initializers.VarianceScaling(4.0, "fan_in", "uniform"),
            name="convolution",
        )

    def build(self, x_shape) -> None:
        self.convolution.build(x_shape)
        self.built = True

    def call(self, x) -> keras.KerasTensor:
        features, gate = ops.split(self.convolution(x), 2, axis=-1)
        return keras.activations.get(self.activation)(features) * ops.sigmoid(gate)
