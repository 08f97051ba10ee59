"""Two-stage generator that paints the holes of an image."""

from typing import NamedTuple

import keras
import tensorflow as tf
from keras import ops

from models.layers import (
    attentive_normalization,
    block_attention,
    gated_convolution,
    residual,
    settings,
)


class Row(NamedTuple):
    """One convolution; `width` in units of the generator's, `double` up-samples in front of it."""

    width: float
    kernel_size: int = 3
    strides: int = 1
    dilation_rate: int = 1
    double: bool = False


def encoder(second, fourth) -> tuple[Row, ...]:
    """Six convolutions to a quarter of the size; the widths of the two strided ones vary."""
    strided = (Row(second, strides=2), Row(2), Row(fourth, strides=2))
    return (Row(1, kernel_size=5), *strided, Row(4), Row(4))


DILATED = tuple(Row(4, dilation_rate=rate) for rate in (2, 4, 8, 16))
AFTER_ATTENTION = (Row(4), Row(4))
DECODER = (Row(4), Row(4), Row(2, double=True), Row(2), Row(1, double=True), Row(0.5))


@keras.saving.register_keras_serializable(package="tessera")
class InpaintingGenerator(settings.FromSettings, keras.Model):
    """Paints what is missing of an image: a coarse proposal, then a refinement of it.

        coarse:   encoder to 1/4 -> dilated convolutions 2, 4, 8, 16 -> decoder
        refined:  the pasted coarse image through two branches, joined, -> decoder
                  branch A: encoder -> the dilated convolutions
                  branch B: encoder -> `attention`, between the last convolution and its
                            activation -> two convolutions
        image = refined * hole + masked_image

    Nearest x2 up-sampling; no normalisation but the attention's. Fully convolutional: any H and W
    that are multiples of 8. hole = 1 = missing, to be painted; 0 = known.

    Args:
        width: int, channels of the first convolution, default 32; others have 1/2 to 4 times that.
        attention: layer, template: AttentiveNormalization (layout at H/4 x W/4),
            ContextualAttention, SelfAttention, or None (default) for plain convolutions.
        gated: bool, gated instead of plain convolutions, twice the parameters; default False.
            DeepFill v2's "48 channels" are width 24.
        activation: str, Keras activation of all convolutions but those of the images, default
            "elu".
        image_activation: "clip" (default) or "tanh", how images come into [-1, 1].
        hole_in_refinement: bool, whether the refinement also sees the two channels 1 and hole,
            default True; DeepFill v2: False.
        narrow_refinement: bool, fewer channels in the refinement's strided convolutions (1 and 2 in
            branch A, 1 in B, as in DeepFill, instead of 2 and 4); default False.

    Call arguments:
        inputs: dict of "masked_image" float [B, H, W, 3] in [-1, 1], 0 in the hole; "hole" float
            [B, H, W, 1] in {0, 1}; with attentive normalisation, in training, "seed" int32 [B, 2].
        training: bool.

    Returns:
        dict of float32 in [-1, 1]: "image" [B, H, W, 3], whose known pixels are those of
        masked_image exactly; "coarse" and "refined" [B, H, W, 3], not pasted; with attentive
        normalisation also "layout" [B, H/4, W/4, entities].

    Raises:
        ValueError: an unknown image_activation; width below 2; in `build` and in the call, sides
            that are not multiples of 8.

    Source: Yu et al., arXiv 1801.07892 and 1806.03589, JiahuiYu/generative_inpainting,
    inpaint_model.py; with attentive normalisation: Wang et al., arXiv 2004.03828,
    shepnerd/AttenNorm, inpaint-attnorm/net/network.py.
    """

    configurable = True

    noise_dim = None

    def __init__(
        self,
        width=32,
        *,
        attention=None,
        gated=False,
        activation="elu",
        image_activation="clip",
        hole_in_refinement=True,
        narrow_refinement=False,
        **kwargs,
    ) -> None:
        # Inputs stay float32 at any precision: known pixels must come out as they came in.
        super().__init__(autocast=False, **kwargs)
        if image_activation not in ("clip", "tanh") or width < 2:
            raise ValueError(
                'Expected image_activation "clip" or "tanh", and a width of at least 2. Received: '
                f"image_activation={image_activation}, width={width}."
            )
        self.width = width
        settings.keep_template(self, "attention", attention)
        self.gated = gated
        self.activation = activation
        self.image_activation = image_activation
        self.hole_in_refinement = hole_in_refinement
        self.narrow_refinement = narrow_refinement
        branch_a, branch_b = ((1, 2), (1, 4)) if narrow_refinement else ((2, 4), (2, 4))
        self.coarse = self._chain("coarse", *encoder(2, 4), *DILATED, *DECODER, image=True)
        self.branch_a = self._chain("branch_a", *encoder(*branch_a), *DILATED)
        self.branch_b = self._chain("branch_b", *encoder(*branch_b), linear_end=True)
        self.attention_layer = (
            None if attention is None else settings.fresh_copy(attention, "attention")
        )
        self.after_attention = self._chain("after_attention", *AFTER_ATTENTION)
        self.decoder = self._chain("decoder", *DECODER, image=True)

    def _chain(self, name, *rows, linear_end=False, image=False) -> list[keras.layers.Layer]:
        """The layers of the rows in order; `image` adds the plain convolution to three channels."""
        layers = []
        for index, row in enumerate(rows):
            if row.double:
                layers.append(keras.layers.UpSampling2D(2, name=f"{name}_{index}_double"))
            linear = linear_end and index == len(rows) - 1
            settings = {
                "filters": int(row.width * self.width),
                "kernel_size": row.kernel_size,
                "strides": row.strides,
                "dilation_rate": row.dilation_rate,
                "activation": None if linear else self.activation,
                "name": f"{name}_{index}",
            }
            if self.gated:
                layers.append(gated_convolution.GatedConvolution(**settings))
            else:
                layers.append(keras.layers.Conv2D(**settings, padding="same"))
        if image:
            layers.append(keras.layers.Conv2D(3, 3, padding="same", name=f"{name}_image"))
        return layers

    @property
    def input_keys(self) -> tuple[str, ...]:
        seeded = isinstance(self.attention, attentive_normalization.AttentiveNormalization)
        return ("masked_image", "hole", *(("seed",) if seeded else ()))

    def build(self, input_shape) -> None:
        _check_size(input_shape["masked_image"][1:3])
        image, extra = input_shape["masked_image"][-1], 1 + input_shape["hole"][-1]
        residual.build_chain(self.coarse, image + extra)
        refined = image + (extra if self.hole_in_refinement else 0)
        joined = residual.build_chain(self.branch_a, refined)
        channels = residual.build_chain(self.branch_b, refined)
        if self.attention_layer is not None:
            self.attention_layer.build((None, None, None, channels))
        joined += residual.build_chain(self.after_attention, channels)
        residual.build_chain(self.decoder, joined)
        self.built = True

    def call(self, inputs, training=False) -> dict:
        known, hole = (tf.cast(inputs[key], tf.float32) for key in ("masked_image", "hole"))
        _check_size(known.shape[1:3])
        extra = [ops.ones_like(hole), hole]
        coarse = self._image(self.coarse, ops.concatenate([known, *extra], axis=-1))
        pasted = coarse * hole + known
        if self.hole_in_refinement:
            pasted = ops.concatenate([pasted, *extra], axis=-1)
        a, b = _run(self.branch_a, pasted), _run(self.branch_b, pasted)
        b, extras = block_attention.attend(self.attention_layer, b, inputs, training)
        b = _run(self.after_attention, keras.activations.get(self.activation)(b))
        refined = self._image(self.decoder, ops.concatenate([a, b], axis=-1))
        image = refined * hole + known
        return {"image": image, "coarse": coarse, "refined": refined, **extras}

    def _image(self, layers, x) -> tf.Tensor:
        x = ops.cast(_run(layers, x), "float32")
        return ops.tanh(x) if self.image_activation == "tanh" else ops.clip(x, -1.0, 1.0)


def _run(layers, x) -> tf.Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _check_size(size) -> None:
    if any(side is not None and side % 8 for side in size):
        raise ValueError(
            f"Expected image sides that are multiples of 8. Received: (H, W)={tuple(size)}. Crop, "
            "pad or resize the images; in training set data.image_size."
        )
