"""SPADE generator: an image from a label map."""

import math
from collections.abc import Iterator

import keras
from keras import ops

from models.layers import block_attention, modulation, residual, settings


@keras.saving.register_keras_serializable(package="tessera")
class SpadeGenerator(settings.FromSettings, keras.Model):
    """Generates an image that follows a label map (GauGAN).

    A start grid of H / stride x W / stride passes through residual blocks, with nearest x2
    up-sampling before some of them; the map enters through every normalisation. The start is a
    convolution of the down-sampled map or, in noise mode, a dense image of the noise.

    Args:
        width: int, unit of channel counts, default 64.
        multipliers: sequence of numbers, channels of each block in units of `width`; the start
            grid has as many as the first block. Default (16, 16, 16, 8, 4, 2, 1).
        upsample: sequence of bool, as long as `multipliers`: whether x2 precedes the block; the
            stride is 2 ** (number of True). Default (F, T, F, T, T, T, T), stride 32, "normal" in
            the reference code. "more": T in the third place, stride 64. "most": also one more
            block (multiplier 0.5, T), stride 128.
        normalizer: layer, template of every normalisation; default `SPADE()`.
        noise_dim: int, length of the noise vector, or None (default) for no noise.
        spectral_norm: bool, on the convolutions of the blocks, default True; not on those of
            `normalizer`, on the first and on the last, as in the reference code.
        attentive_norm_block: int from 1, block whose sum attentive normalisation follows, or None
            (default).
        self_attention_block: int from 1, the same for self-attention.
        attentive_norm: AttentiveNormalization, a template with its settings; None is the default.

    Call arguments:
        inputs: dict of "mask" float [B, H, W, K] and, in noise mode, "noise" float [B, noise_dim];
            with attentive normalisation, in training, "seed" int32 [B, 2].
            H and W are multiples of the stride, independent of each other.
        training: bool.

    Returns:
        dict of "image": float32 [B, H, W, 3] in (-1, 1); with attentive normalisation also
        "layout": float32 [B, h, w, entities].

    Raises:
        ValueError: H or W not divisible by the stride, or in noise mode not those of `build`;
            `multipliers` and `upsample` of different lengths; a channel count that is not a
            positive integer; an attention block that does not exist.

    Source: arXiv 1903.07291, appendix A; NVlabs/SPADE, models/networks/generator.py.
    """

    configurable = True

    def __init__(
        self,
        width=64,
        multipliers=(16, 16, 16, 8, 4, 2, 1),
        *,
        upsample=(False, True, False, True, True, True, True),
        normalizer=None,
        noise_dim=None,
        spectral_norm=True,
        attentive_norm_block=None,
        self_attention_block=None,
        attentive_norm=None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.multipliers = tuple(multipliers)
        self.upsample = tuple(bool(flag) for flag in upsample)
        settings.keep_template(self, "normalizer", normalizer or modulation.SPADE())
        self.noise_dim = noise_dim
        self.spectral_norm = spectral_norm
        channels = _block_channels(width, self.multipliers, self.upsample)
        self.blocks = [
            residual.ResidualBlock(
                filters, self.normalizer, spectral_norm=spectral_norm, name=f"block_{index}"
            )
            for index, filters in enumerate(channels)
        ]
        block_attention.attach(self, attentive_norm_block, self_attention_block, attentive_norm)
        self.to_image = keras.layers.Conv2D(3, 3, padding="same", name="to_image")

    @property
    def input_keys(self) -> tuple[str, ...]:
        noise = () if self.noise_dim is None else ("noise",)
        return ("mask", *noise, *block_attention.input_keys(self.attentive_norm_block))

    @property
    def stride(self) -> int:
        """Side of the image over side of the start grid."""
        return 2 ** sum(self.upsample)

    def build(self, input_shape) -> None:
        mask_shape = tuple(input_shape["mask"])
        height, width = _start_grid(mask_shape, self.stride)
        channels = self.blocks[0].filters
        self.mask_size = mask_shape[1:3]
        if self.noise_dim is None:
            self.start = keras.layers.Conv2D(channels, 3, padding="same", name="start")
            self.start.build((None, height, width, mask_shape[-1]))
        else:
            self.start = keras.layers.Dense(height * width * channels, name="start")
            self.start.build((None, self.noise_dim))
        for block, after, upsample in self._stages():
            if upsample:
                height, width = 2 * height, 2 * width
            condition_shape = (None, height, width, mask_shape[-1])
            block.build((None, height, width, channels), condition_shape)
            channels = block.filters
            if after is not None:
                after.build((None, height, width, channels))
        self.to_image.build((None, height, width, channels))
        self.built = True

    def _stages(self) -> Iterator[tuple]:
        return zip(self.blocks, self.attention, self.upsample, strict=True)

    def call(self, inputs, training=False) -> dict:
        mask, extras = inputs["mask"], {}
        height, width = _start_grid(mask.shape, self.stride)
        condition = modulation.resize_nearest(mask, height, width)
        if self.noise_dim is None:
            x = self.start(condition)
        else:
            self._check_size(mask.shape)
            x = self.start(inputs["noise"])
            x = ops.reshape(x, (-1, height, width, self.blocks[0].filters))
        for block, after, upsample in self._stages():
            if upsample:
                x = residual.double(x)
                # Once per resolution, not once per normalisation.
                condition = modulation.resize_nearest(mask, x.shape[1], x.shape[2])
            x = block(x, condition, training=training)
            x, of_block = block_attention.attend(after, x, inputs, training)
            extras |= of_block
        image = self.to_image(ops.leaky_relu(x, 0.2))
        return {"image": ops.tanh(ops.cast(image, "float32")), **extras}

    def _check_size(self, mask_shape) -> None:
        if tuple(mask_shape[1:3]) != tuple(self.mask_size):
            raise ValueError(
                "Expected a label map of the size that the dense start was built for, "
                f"{tuple(self.mask_size)}. Received: (H, W)={tuple(mask_shape[1:3])}. Resize the "
                "map, or build the generator without noise_dim: it then takes any size."
            )


def _block_channels(width, multipliers, upsample) -> list[int]:
    if len(multipliers) != len(upsample) or not multipliers:
        raise ValueError(
            "Expected one upsample flag per block. Received: "
            f"{len(multipliers)} multipliers={multipliers}, {len(upsample)} upsample={upsample}. "
            "Give both lists the same length."
        )
    channels = [width * multiplier for multiplier in multipliers]
    if any(count < 1 or count != int(count) for count in channels):
        raise ValueError(
            "Expected width * multiplier to be a positive integer in every block. "
            f"Received: width={width}, multipliers={multipliers}. Change one of them."
        )
    return [int(count) for count in channels]


def _start_grid(mask_shape, stride) -> tuple[int, int]:
    height, width = mask_shape[1:3]
    if height % stride or width % stride:
        raise ValueError(
            f"Expected a height and width divisible by the generator's stride {stride}. "
            f"Received: (H, W)=({height}, {width}). Nearest legal sizes: height "
            f"{_nearest_multiples(height, stride)}, width {_nearest_multiples(width, stride)}."
        )
    return height // stride, width // stride


def _nearest_multiples(size, stride) -> str:
    below, above = stride * (size // stride), stride * math.ceil(size / stride)
    return f"{below} or {above}" if 0 < below < above else f"{above}"
