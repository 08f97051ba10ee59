"""Self-attention over positions, the baseline that attentive normalisation is compared with."""

import keras
from keras import ops

from models.layers import spectral_normalization


@keras.saving.register_keras_serializable(package="tessera")
class SelfAttention(keras.layers.Layer):
    """Adds to every position a mixture of features from all positions.

        theta, phi = conv1 C/8 of x,  g = conv1 C/2 of x;  phi and g max-pooled 2 x 2
        out = x + s * conv1_C(softmax(theta phi^T) g)

    s is learned and starts at 0, so that the layer starts as the identity. All convolutions are
    spectrally normalised and have no bias. The softmax is float32 at any precision. Memory grows
    with (H W)^2 / 4.

    Args:
        spectral_norm: bool, default True.

    Call arguments:
        x: float [B, H, W, C].
        training: bool.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Source: Zhang, Goodfellow, Metaxas, Odena, arXiv 1805.08318, section 3;
    brain-research/self-attention-gan, non_local.py.
    """

    def __init__(self, spectral_norm=True, **kwargs) -> None:
        super().__init__(**kwargs)
        self.spectral_norm = spectral_norm

    def build(self, x_shape) -> None:
        channels, grid = x_shape[-1], tuple(x_shape[:-1])
        self.narrow, self.value_width = max(channels // 8, 1), max(channels // 2, 1)
        self.theta = self._convolution(self.narrow, "theta")
        self.phi = self._convolution(self.narrow, "phi")
        self.g = self._convolution(self.value_width, "g")
        self.out = self._convolution(channels, "out")
        for layer in (self.theta, self.phi, self.g):
            layer.build(x_shape)
        self.out.build((*grid, self.value_width))
        self.gate = self.add_weight(shape=(), initializer="zeros", name="gate")
        self.built = True

    def _convolution(self, filters, name) -> keras.layers.Layer:
        kind = spectral_normalization.SpectralConv2D if self.spectral_norm else keras.layers.Conv2D
        return kind(filters, 1, use_bias=False, name=name)

    def call(self, x, training=False) -> keras.KerasTensor:
        height, width, channels = x.shape[1:]
        theta = ops.reshape(self._apply(self.theta, x, training), (-1, height * width, self.narrow))
        phi, g = (
            self._pooled(self.phi, x, self.narrow, training),
            self._pooled(self.g, x, self.value_width, training),
        )
        scores = ops.matmul(theta, ops.transpose(phi, (0, 2, 1)))
        weights = ops.softmax(ops.cast(scores, "float32"), axis=-1)
        mixed = ops.matmul(ops.cast(weights, self.compute_dtype), g)
        mixed = ops.reshape(mixed, (-1, height, width, self.value_width))
        return x + self.gate * self._apply(self.out, mixed, training)

    def _pooled(self, layer, x, width, training) -> keras.KerasTensor:
        y = ops.max_pool(self._apply(layer, x, training), 2, strides=2, padding="same")
        return ops.reshape(y, (-1, y.shape[1] * y.shape[2], width))

    def _apply(self, layer, x, training) -> keras.KerasTensor:
        return layer(x, training=training) if self.spectral_norm else layer(x)

    def monitored(self) -> dict:
        """Scalars worth a curve: {"attention_gate": s}."""
        return {"attention_gate": ops.convert_to_tensor(self.gate)}
