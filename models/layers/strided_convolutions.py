"""The trunk of inpainting critics: strided convolutions and nothing else."""

import keras
from keras import ops

from models.layers import residual


@keras.saving.register_keras_serializable(package="tessera")
class StridedConvolutions(keras.layers.Layer):
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

    def __init__(self, channels, *, spectral_norm=False, **kwargs):
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

    def build(self, x_shape):
        count, (height, width) = len(self.channels), x_shape[1:3]
        if min(height, width) < 2**count:
            raise ValueError(
                f"Expected maps of at least {2**count} px, which {count} strided convolutions "
                f"halve. Received: (H, W)=({height}, {width}). Give fewer channels."
            )
        size = x_shape[-1]
        for layer in self.convolutions:
            layer.build((None, None, None, size))
            size = layer.filters
        self.built = True

    def call(self, x, training=False):
        features = []
        for layer in self.convolutions:
            y = layer(x, training=training) if self.spectral_norm else layer(x)
            x = ops.leaky_relu(y, 0.2)
            features.append(x)
        return features

    def get_config(self):
        return {
            **super().get_config(),
            "channels": list(self.channels),
            "spectral_norm": self.spectral_norm,
        }
