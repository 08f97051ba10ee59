"""Style encoder: an image to mean and log-variance of a style vector."""

import keras
from keras import ops

from models.layers import settings, spectral_normalization, statistics


@keras.saving.register_keras_serializable(package="tessera")
class StyleEncoder(settings.FromSettings, keras.Model):
    """Reads the style of an image as a Gaussian over noise vectors.

    The image is resized to a square, passes through convolutions 3/2 (spectral norm, instance norm,
    leaky ReLU 0.2), and two dense layers read the flattened result.

    Args:
        noise_dim: int, length of the style vector, default 256.
        width: int, channels of the first convolution, default 64.
        multipliers: sequence of int, channels of each convolution in units of `width`; each halves
            the side. Default (1, 2, 4, 8, 8, 8).
        resize_to: int, side of the square in pixels, default 256; its last grid, 4 x 4 by default,
            must be at least 2 x 2.

    Call arguments:
        inputs: dict of "image": float [B, H, W, 3] in [-1, 1].
        training: bool.

    Returns:
        dict of "mean" and "log_variance": float32 [B, noise_dim].

    Raises:
        ValueError: too many convolutions for `resize_to`.

    Source: arXiv 1903.07291, appendix A; NVlabs/SPADE, models/networks/encoder.py. That code drops
    the sixth convolution for small crops but still resizes to 256; here all six stay.
    """

    configurable = True

    input_keys = ("image",)

    def __init__(
        self, noise_dim=256, width=64, *, multipliers=(1, 2, 4, 8, 8, 8), resize_to=256, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.noise_dim = noise_dim
        self.width = width
        self.multipliers = tuple(multipliers)
        self.resize_to = resize_to
        sides = [resize_to]
        for _ in self.multipliers:
            sides.append((sides[-1] + 1) // 2)
        if sides[-1] < 2:
            raise ValueError(
                "Expected a last grid of at least 2 x 2: instance normalisation turns a single "
                f"position into zeros. Received: resize_to={resize_to}, {len(self.multipliers)} "
                f"multipliers={self.multipliers}. Enlarge resize_to or drop a multiplier."
            )
        self.last_side = sides[-1]
        # Explicit padding 1 by an op of its own: "same" would pad 0 before and 1 after at stride 2.
        self.pad = keras.layers.ZeroPadding2D(1)
        self.convolutions = [
            # No bias: the normalisation that follows would remove it.
            spectral_normalization.SpectralConv2D(
                width * multiplier, 3, strides=2, use_bias=False, name=f"conv_{index}"
            )
            for index, multiplier in enumerate(self.multipliers)
        ]
        self.norms = [statistics.InstanceStatistics() for _ in self.multipliers]
        self.mean = keras.layers.Dense(noise_dim, name="mean")
        self.log_variance = keras.layers.Dense(noise_dim, name="log_variance")

    def build(self, input_shape) -> None:
        channels = input_shape["image"][-1]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            convolution.build((None, None, None, channels))
            norm.build((None, None, None, convolution.filters))
            channels = convolution.filters
        features = self.last_side**2 * channels
        self.mean.build((None, features))
        self.log_variance.build((None, features))
        self.built = True

    def call(self, inputs, training=False) -> dict:
        size = (self.resize_to, self.resize_to)
        x = inputs["image"]
        if tuple(x.shape[1:3]) != size:
            x = ops.image.resize(x, size, interpolation="bilinear", antialias=False)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(convolution(self.pad(x), training=training))
            x = ops.leaky_relu(x, 0.2)
        x = ops.reshape(x, (-1, self.last_side**2 * x.shape[-1]))
        return {
            "mean": ops.cast(self.mean(x), "float32"),
            "log_variance": ops.cast(self.log_variance(x), "float32"),
        }
