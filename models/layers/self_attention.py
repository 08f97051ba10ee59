"""Self-attention over positions, the baseline that attentive normalisation is compared with."""

import functools

import keras
from keras import ops

from models.layers import residual, settings


@keras.saving.register_keras_serializable(package="tessera")
class SelfAttention(settings.OwnPolicy, keras.layers.Layer):
    """Adds to every position a mixture of features from all positions.

        theta, phi = conv1 C/8 of x,  g = conv1 C/2 of x;  phi and g max-pooled 2 x 2
        out = x + s * conv1_C(softmax(theta phi^T) g)

    s is learned and starts at 0, so that the layer starts as the identity. The convolutions have no
    bias. The softmax is float32 at any precision. Memory grows
    with (H W)^2 / 4.

    Args:
        spectral_norm: bool, on all four convolutions, default True.

    Call arguments:
        x: float [B, H, W, C].
        training: bool.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Source: Zhang, Goodfellow, Metaxas, Odena, arXiv 1805.08318, section 3;
    brain-research/self-attention-gan, non_local.py.
    """

    configurable = True

    def __init__(self, spectral_norm=True, **kwargs) -> None:
        super().__init__(**kwargs)
        self.spectral_norm = spectral_norm

    def build(self, x_shape) -> None:
        channels, grid = x_shape[-1], tuple(x_shape[:-1])
        self.narrow, self.value_width = max(channels // 8, 1), max(channels // 2, 1)
        new = functools.partial(
            residual.convolution, kernel_size=1, spectral_norm=self.spectral_norm, use_bias=False
        )
        self.theta = new(self.narrow, name="theta")
        self.phi = new(self.narrow, name="phi")
        self.g = new(self.value_width, name="g")
        self.out = new(channels, name="out")
        for layer in (self.theta, self.phi, self.g):
            layer.build(x_shape)
        self.out.build((*grid, self.value_width))
        self.gate = self.add_weight(shape=(), initializer="zeros", name="gate")
        self.built = True

    def call(self, x, training=False) -> keras.KerasTensor:
        height, width, channels = x.shape[1:]
        theta = ops.reshape(self.theta(x, training=training), (-1, height * width, self.narrow))
        phi, g = (self._pooled(layer, x, training) for layer in (self.phi, self.g))
        scores = ops.matmul(theta, ops.transpose(phi, (0, 2, 1)))
        weights = ops.softmax(ops.cast(scores, "float32"), axis=-1)
        mixed = ops.matmul(ops.cast(weights, self.compute_dtype), g)
        mixed = ops.reshape(mixed, (-1, height, width, self.value_width))
        gate = ops.cast(self.gate, self.compute_dtype)
        return x + gate * self.out(mixed, training=training)

    def _pooled(self, layer, x, training) -> keras.KerasTensor:
        y = ops.max_pool(layer(x, training=training), 2, strides=2, padding="same")
        return ops.reshape(y, (-1, y.shape[1] * y.shape[2], layer.filters))

    def monitored(self) -> dict:
        """Scalars worth a curve: {"attention_gate": s}."""
        return {"attention_gate": ops.convert_to_tensor(self.gate)}
