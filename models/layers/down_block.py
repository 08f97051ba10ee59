"""The residual block of critics without a label map."""

import functools

import keras
from keras import ops

from models.layers import residual, settings


def check_halvings(size, count, what="blocks") -> None:
    """Raises ValueError where (height, width) cannot be halved so often."""
    if min(size) < 2**count:
        raise ValueError(
            f"Expected sides of at least {2**count} px, which {count} {what} halve. Received: "
            f"(H, W)=({size[0]}, {size[1]}). Use fewer {what}."
        )


@keras.saving.register_keras_serializable(package="tessera")
class DownBlock(settings.FromSettings, keras.layers.Layer):
    """Residual block of a critic, at its end down-sampling.

        main: (norm ->) (relu ->) conv3 middle -> (norm ->) relu -> conv3 filters -> (pool)
        skip: x itself where channels and size agree, else (pool ->) conv1 filters
        out = main + skip

    Args:
        filters: int, channels of the result.
        downsample: bool, average pooling 2 x 2 / 2 at the end, default False.
        first: bool, True for the block that sees the image: no activation and no normalisation in
            front, and `filters` channels in the middle instead of those of x. Default False.
        spectral_norm: bool, on all convolutions, default True.
        normalizer: layer, template, called (x, training=...); None (default) for none.

    Call arguments:
        x: float [B, H, W, C].
        training: bool.

    Returns:
        float [B, H, W, filters] in the compute dtype; H/2 and W/2 when down-sampling.

    Source: Miyato, Koyama, arXiv 1802.05637; pfnet-research/sngan_projection,
    dis_models/resblocks.py.
    """

    def __init__(
        self,
        filters,
        downsample=False,
        *,
        first=False,
        spectral_norm=True,
        normalizer=None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.downsample = downsample
        self.first = first
        self.spectral_norm = spectral_norm
        settings.keep_template(self, "normalizer", normalizer)
        self.norms = [] if normalizer is None else [
            settings.fresh_copy(normalizer) for _ in range(1 if first else 2)
        ]  # fmt: skip

    def build(self, x_shape) -> None:
        channels, grid = x_shape[-1], tuple(x_shape[:-1])
        middle = self.filters if self.first else channels
        new = functools.partial(residual.convolution, spectral_norm=self.spectral_norm)
        self.conv_1 = new(middle, 3, gain=2**0.5, name="conv_1")
        self.conv_2 = new(self.filters, 3, gain=2**0.5, name="conv_2")
        self.conv_1.build(x_shape)
        self.conv_2.build((*grid, middle))
        for norm, size in zip(reversed(self.norms), (middle, channels), strict=False):
            norm.build((*grid, size))
        self.learned_skip = self.first or self.downsample or channels != self.filters
        if self.learned_skip:
            self.conv_skip = new(self.filters, 1, name="conv_skip")
            self.conv_skip.build(x_shape)
        self.built = True

    def call(self, x, training=False) -> keras.KerasTensor:
        norms = iter(self.norms)
        y = x if self.first else self._activate(x, norms, training)
        y = self.conv_1(y, training=training)
        y = self.conv_2(self._activate(y, norms, training), training=training)
        skip = self._pool(x)
        if self.learned_skip:
            # Pooling commutes with a 1x1 convolution: a quarter of the work in this order.
            skip = self.conv_skip(skip, training=training)
        return self._pool(y) + skip

    def _activate(self, x, norms, training) -> keras.KerasTensor:
        norm = next(norms, None)
        return ops.relu(x if norm is None else norm(x, training=training))

    def _pool(self, x) -> keras.KerasTensor:
        return ops.average_pool(x, 2, strides=2) if self.downsample else x
