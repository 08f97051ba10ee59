"""The pre-activation residual block shared by the generators, with an injected normaliser."""

import keras

from models.layers import spectral_normalization


def fresh_copy(layer):
    """Returns an unbuilt layer with the settings of `layer` and a name and weights of its own."""
    config = layer.get_config()
    config.pop("name", None)
    return type(layer).from_config(config)


def keep_template(owner, name, layer):
    """Stores `layer` as a setting of `owner`: to be copied, never built or tracked itself."""
    object.__setattr__(owner, name, layer)  # Keras' own setattr would make it a sub-layer


def convolution(filters, kernel_size, *, spectral_norm, **kwargs):
    """Returns an unbuilt zero-padded convolution, spectrally normalised or plain."""
    kind = spectral_normalization.SpectralConv2D if spectral_norm else keras.layers.Conv2D
    return kind(filters, kernel_size, padding="same", **kwargs)


@keras.saving.register_keras_serializable(package="tessera")
class ResidualBlock(keras.layers.Layer):
    """Residual block whose normalisation is handed in.

        main: norm -> activation -> conv3 middle -> norm -> activation -> conv3 filters
        skip: x itself where the channels agree, else norm -> conv1 filters, no bias, no activation
        out = main + skip,  middle = min(channels of x, filters)

    Args:
        filters: int, channels of the result.
        normalizer: layer with `build(x_shape, condition_shape)` and
            `call(x, condition, training)`; a template: each normalisation is a fresh copy of it.
        activation: str, name of a Keras activation, default "leaky_relu" (slope 0.2).
        spectral_norm: bool, spectral normalisation of all convolutions, default True.

    Call arguments:
        x: float [B, H, W, C].
        condition: whatever `normalizer` takes.
        training: bool.

    Returns:
        float [B, H, W, filters] in the compute dtype.

    Source: arXiv 1903.07291, appendix A; NVlabs/SPADE, models/networks/architecture.py.
    """

    def __init__(
        self, filters, normalizer, *, activation="leaky_relu", spectral_norm=True, **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = filters
        keep_template(self, "normalizer", normalizer)
        self.activation = activation
        self.spectral_norm = spectral_norm
        self.norm_1 = fresh_copy(normalizer)
        self.norm_2 = fresh_copy(normalizer)

    def build(self, x_shape, condition_shape):
        channels, grid = x_shape[-1], tuple(x_shape[:-1])
        middle = min(channels, self.filters)
        self.conv_1 = self._convolution(middle, 3, "conv_1")
        self.conv_2 = self._convolution(self.filters, 3, "conv_2")
        self.norm_1.build(x_shape, condition_shape)
        self.conv_1.build(x_shape)
        self.norm_2.build((*grid, middle), condition_shape)
        self.conv_2.build((*grid, middle))
        self.learned_skip = channels != self.filters
        if self.learned_skip:
            self.norm_skip = fresh_copy(self.normalizer)
            self.conv_skip = self._convolution(self.filters, 1, "conv_skip", use_bias=False)
            self.norm_skip.build(x_shape, condition_shape)
            self.conv_skip.build(x_shape)
        self.built = True

    def _convolution(self, filters, kernel_size, name, **kwargs):
        return convolution(
            filters, kernel_size, spectral_norm=self.spectral_norm, name=name, **kwargs
        )

    def call(self, x, condition, training=False):
        y = self._activate(self.norm_1(x, condition, training=training))
        y = self._convolve(self.conv_1, y, training)
        y = self._activate(self.norm_2(y, condition, training=training))
        y = self._convolve(self.conv_2, y, training)
        return y + self._skip(x, condition, training)

    def _skip(self, x, condition, training):
        if not self.learned_skip:
            return x
        normalized = self.norm_skip(x, condition, training=training)
        return self._convolve(self.conv_skip, normalized, training)

    def _activate(self, x):
        return keras.activations.get(self.activation)(x)

    def _convolve(self, layer, x, training):
        return layer(x, training=training) if self.spectral_norm else layer(x)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "normalizer": keras.saving.serialize_keras_object(self.normalizer),
            "activation": self.activation,
            "spectral_norm": self.spectral_norm,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["normalizer"] = keras.saving.deserialize_keras_object(config["normalizer"])
        return cls(**config)
