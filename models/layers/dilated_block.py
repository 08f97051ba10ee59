"""The residual block of encoders that keep their resolution: dilated instead of strided."""

import keras
from keras import ops

from models.layers import batch_normalization, settings


def convolution(filters, kernel_size, **kwargs) -> keras.layers.Layer:
    """Returns an unbuilt zero-padded convolution without a bias: a normalisation follows."""
    fixed = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    return keras.layers.Conv2D(filters, kernel_size, **fixed, **kwargs)


@keras.saving.register_keras_serializable(package="tessera")
class DilatedBlock(settings.OwnPolicy, keras.layers.Layer):
    """Pre-activation residual block with batch normalisation and dilated convolutions.

        h = relu(norm(x)), (pooled)
        out = conv3(relu(norm(conv3(h)))) + (x where channels and size agree, else conv1(h))

    No convolution has a bias: a normalisation follows. Averages of 2 x 2 halve the size in the
    place of strides, so that features stay centred on what they describe.

    Args:
        filters: int, channels of the result.
        downsample: bool, average pooling 2 x 2 / 2 in front, default False.
        dilation_rate: int, distance of the taps of both 3x3 convolutions, default 1.
        momentum: float, weight of the old value in the moving averages, default 0.9.

    Call arguments:
        x: float [B, H, W, C].
        training: bool.

    Returns:
        float [B, H, W, filters] in the compute dtype; H/2 and W/2 when down-sampling.

    Source: He et al., arXiv 1603.05027 (pre-activation); Yu, Koltun, Funkhouser, arXiv 1705.09914
    (dilation instead of strides).
    """

    def __init__(
        self, filters, downsample=False, *, dilation_rate=1, momentum=0.9, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.downsample = downsample
        self.dilation_rate = dilation_rate
        self.momentum = momentum
        self.norm_1 = batch_normalization.PlainBatchNormalization(momentum, name="norm_1")
        self.norm_2 = batch_normalization.PlainBatchNormalization(momentum, name="norm_2")
        self.conv_1 = convolution(filters, 3, dilation_rate=dilation_rate, name="conv_1")
        self.conv_2 = convolution(filters, 3, dilation_rate=dilation_rate, name="conv_2")

    def build(self, x_shape) -> None:
        inner = (None, None, None, self.filters)
        self.norm_1.build(x_shape)
        self.conv_1.build((None, None, None, x_shape[-1]))
        self.norm_2.build(inner)
        self.conv_2.build(inner)
        self.learned_skip = self.downsample or x_shape[-1] != self.filters
        if self.learned_skip:
            self.conv_skip = convolution(self.filters, 1, name="conv_skip")
            self.conv_skip.build((None, None, None, x_shape[-1]))
        self.built = True

    def call(self, x, training=False) -> keras.KerasTensor:
        h = ops.relu(self.norm_1(x, training=training))
        if self.downsample:
            h = ops.average_pool(h, 2, strides=2)
        y = ops.relu(self.norm_2(self.conv_1(h), training=training))
        return self.conv_2(y) + (self.conv_skip(h) if self.learned_skip else x)
