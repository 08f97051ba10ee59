"""The pre-activation residual block shared by the generators, with an injected normaliser."""

import functools

import keras
from keras import ops

from models.layers import settings, spectral_normalization


def convolution(filters, kernel_size, *, spectral_norm, gain=1.0, **kwargs) -> keras.layers.Layer:
    """Returns an unbuilt zero-padded convolution, spectrally normalised or plain.

    Both are called (x, training=...): Keras keeps from a layer what its call does not take. Kernels
    start with Glorot's uniform distribution, its standard deviation times `gain`.
    """
    kind = spectral_normalization.SpectralConv2D if spectral_norm else keras.layers.Conv2D
    start = keras.initializers.VarianceScaling(gain**2, mode="fan_avg", distribution="uniform")
    return kind(filters, kernel_size, padding="same", kernel_initializer=start, **kwargs)


def build_chain(layers, channels) -> int:
    """Builds layers that follow each other, for maps of any size; returns their last channels."""
    for layer in layers:
        layer.build((None, None, None, channels))
        channels = getattr(layer, "filters", channels)
    return channels


def double(x) -> keras.KerasTensor:
    """Nearest x2 up-sampling of [B, H, W, C]."""
    return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)


@keras.saving.register_keras_serializable(package="tessera")
class ResidualBlock(settings.FromSettings, keras.layers.Layer):
    """Residual block whose normalisation is handed in.

        main: norm -> activation -> (x2) -> conv3 middle -> norm -> activation -> conv3 filters
        skip: x itself where channels and size agree, else (norm ->) conv1 filters (-> x2), no bias,
            no activation
        out = main + skip

    The defaults are SPADE's block. The class-conditional block is relu, x2 inside, no
    normalisation of the skip, and as many channels in the middle as at the end.

    Args:
        filters: int, channels of the result.
        normalizer: layer with `build(x_shape, condition_shape)` and
            `call(x, condition, training)`; a template: each normalisation is a fresh copy of it.
        activation: str, name of a Keras activation, default "leaky_relu" (slope 0.2).
        spectral_norm: bool, spectral normalisation of the block's own convolutions, default True;
            those of `normalizer` have none.
        upsample: bool, nearest x2 inside the block, default False.
        middle: int, channels between the convolutions; None (default) is
            min(channels of x, filters).
        normalize_skip: bool, whether a learned skip starts with a normalisation, default True.
        initial_gain: float, factor on the initial (Glorot) deviation of the 3x3 kernels, default 1.

    Call arguments:
        x: float [B, H, W, C].
        condition: whatever `normalizer` takes.
        training: bool.

    Returns:
        float [B, H, W, filters] in the compute dtype; 2H and 2W when up-sampling.

    Source: arXiv 1903.07291, appendix A; NVlabs/SPADE, models/networks/architecture.py. With the
    class-conditional settings: pfnet-research/sngan_projection, gen_models/resblocks.py.
    """

    def __init__(
        self,
        filters,
        normalizer,
        *,
        activation="leaky_relu",
        spectral_norm=True,
        upsample=False,
        middle=None,
        normalize_skip=True,
        initial_gain=1.0,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        settings.keep_template(self, "normalizer", normalizer)
        self.activation = activation
        self.spectral_norm = spectral_norm
        self.upsample = upsample
        self.middle = middle
        self.normalize_skip = normalize_skip
        self.initial_gain = initial_gain
        self.norm_1 = settings.fresh_copy(normalizer)
        self.norm_2 = settings.fresh_copy(normalizer)

    def build(self, x_shape, condition_shape) -> None:
        channels, grid = x_shape[-1], tuple(x_shape[:-1])
        if self.upsample:
            grid = (grid[0], *(size and 2 * size for size in grid[1:]))
        middle = self.middle or min(channels, self.filters)
        new = functools.partial(convolution, spectral_norm=self.spectral_norm)
        self.conv_1 = new(middle, 3, gain=self.initial_gain, name="conv_1")
        self.conv_2 = new(self.filters, 3, gain=self.initial_gain, name="conv_2")
        self.norm_1.build(x_shape, condition_shape)
        self.conv_1.build((*grid, channels))
        self.norm_2.build((*grid, middle), condition_shape)
        self.conv_2.build((*grid, middle))
        self.learned_skip = channels != self.filters or self.upsample
        if self.learned_skip:
            if self.normalize_skip:
                self.norm_skip = settings.fresh_copy(self.normalizer)
            # Its bias would double that of conv_2.
            self.conv_skip = new(self.filters, 1, use_bias=False, name="conv_skip")
            if self.normalize_skip:
                self.norm_skip.build(x_shape, condition_shape)
            self.conv_skip.build(x_shape)
        self.built = True

    def call(self, x, condition, training=False) -> keras.KerasTensor:
        y = self._activate(self.norm_1(x, condition, training=training))
        y = self.conv_1(double(y) if self.upsample else y, training=training)
        y = self._activate(self.norm_2(y, condition, training=training))
        y = self.conv_2(y, training=training)
        return y + self._skip(x, condition, training)

    def _skip(self, x, condition, training) -> keras.KerasTensor:
        if not self.learned_skip:
            return x
        if self.normalize_skip:
            x = self.norm_skip(x, condition, training=training)
        # A 1x1 convolution commutes with copying pixels: a quarter of the work in this order.
        x = self.conv_skip(x, training=training)
        return double(x) if self.upsample else x

    def _activate(self, x) -> keras.KerasTensor:
        return keras.activations.get(self.activation)(x)
