"""Multi-scale patch discriminator conditioned on a label map."""

import keras
import numpy as np
from keras import ops

from models.layers import residual, settings, spectral_normalization, statistics


@keras.saving.register_keras_serializable(package="tessera")
class PatchCritic(settings.OwnPolicy, keras.layers.Layer):
    """Scores overlapping patches of one image size.

        conv4/2 width -> [SN conv4/2, instance norm] * (depth - 2) -> [SN conv4/1, instance norm]
        -> conv4/1 1, zero padding 2 on every side, leaky ReLU 0.2 between

    Args:
        width: int, channels of the first convolution, doubled by each up to `max_width`.
        depth: int >= 2, convolutions before the last one.
        max_width: int, most channels.

    Call arguments:
        inputs: float [B, H, W, C].
        training: bool.

    Returns:
        (logits, features): [B, H', W', 1] in the compute dtype, and a list of `depth` tensors, the
        activations after each convolution but the last.
    """

    def __init__(self, width, depth, max_width, **kwargs) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.depth = depth
        self.max_width = max_width
        filters = [min(width * 2**index, max_width) for index in range(depth)]
        # Padding is an op of its own: a convolution that pads its input by 2 has bfloat16 gradients
        # fifty times slower on CPUs.
        self.pad = keras.layers.ZeroPadding2D(2)
        self.first = keras.layers.Conv2D(filters[0], 4, strides=2, name="first")
        self.middle = [
            # No bias: the normalisation that follows would remove it.
            spectral_normalization.SpectralConv2D(
                filters[index],
                4,
                strides=1 if index == depth - 1 else 2,
                use_bias=False,
                name=f"middle_{index}",
            )
            for index in range(1, depth)
        ]
        self.norms = [statistics.InstanceStatistics() for _ in self.middle]
        self.last = keras.layers.Conv2D(1, 4, name="last")

    def build(self, input_shape) -> None:
        residual.build_chain((self.first, *self.middle, self.last), input_shape[-1])
        for layer, norm in zip(self.middle, self.norms, strict=True):
            norm.build((None, None, None, layer.filters))
        self.built = True

    def call(self, inputs, training=False) -> tuple:
        x = ops.leaky_relu(self.first(self.pad(inputs)), 0.2)
        features = [x]
        for convolution, norm in zip(self.middle, self.norms, strict=True):
            x = norm(convolution(self.pad(x), training=training))
            x = ops.leaky_relu(x, 0.2)
            features.append(x)
        return self.last(self.pad(x)), features


@keras.saving.register_keras_serializable(package="tessera")
class MultiScalePatchDiscriminator(settings.FromSettings, keras.Model):
    """Scores whether patches of an image are real and fit the label map, at several sizes.

    Critics of the same layout look at label map and image together, the first at full size and each
    further one at half the size of the one before (average pooling 3/2, padding not counted).

    Args:
        width: int, channels of the first convolution, default 64.
        depth: int >= 2, convolutions before the one that gives the logits, default 4.
        scales: int >= 1, number of critics, default 2.
        max_width: int, most channels of a convolution, default 512.
        color_gain: float above 0, factor on the difference of each colour from their mean before
            the critics look. In photographs these differences are small (a third of the spread of
            brightness on facades), and young critics overlook wrong ones. Default 1: the image as
            it is.

    Call arguments:
        inputs: dict of "mask" float [B, H, W, K] and "image" float [B, H, W, 3] in [-1, 1].
        training: bool.

    Returns:
        dict of "logits": list of float32 [B, h, w, 1], one per scale, and "features": list of lists
        of `depth` tensors in the compute dtype, the activations before the logits.

    Raises:
        ValueError: depth below 2, no scale, or a color_gain that is not above 0.

    Source: arXiv 1903.07291, appendix A; NVlabs/SPADE, models/networks/discriminator.py.
    """

    configurable = True

    input_keys = ("mask", "image")

    def __init__(
        self, width=64, *, depth=4, scales=2, max_width=512, color_gain=1.0, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        if depth < 2 or scales < 1:
            raise ValueError(
                f"Expected depth >= 2 and scales >= 1. Received: depth={depth}, scales={scales}. "
                "The reference uses depth 4 and 2 scales."
            )
        if color_gain <= 0:
            raise ValueError(
                "Expected color_gain above 0, 1 for images as they are. Received: "
                f"color_gain={color_gain}. 3 or 4 brings colours to the spread of brightness."
            )
        self.width = width
        self.depth = depth
        self.scales = scales
        self.max_width = max_width
        self.color_gain = color_gain
        self.critics = [
            PatchCritic(width, depth, max_width, name=f"critic_{index}") for index in range(scales)
        ]

    def build(self, input_shape) -> None:
        channels = input_shape["mask"][-1] + input_shape["image"][-1]
        for critic in self.critics:
            critic.build((None, None, None, channels))
        self.built = True

    def call(self, inputs, training=False) -> dict:
        image = inputs["image"]
        if self.color_gain != 1.0:
            grey = ops.mean(image, axis=-1, keepdims=True)
            image = grey + self.color_gain * (image - grey)
        x = ops.concatenate([inputs["mask"], image], axis=-1)
        logits, features = [], []
        for index, critic in enumerate(self.critics):
            if index:
                x = halve(x)
            scores, activations = critic(x, training=training)
            logits.append(ops.cast(scores, "float32"))
            features.append(activations)
        return {"logits": logits, "features": features}


def halve(images) -> keras.KerasTensor:
    """Average pooling 3/2 with padding 1 on every side, the padding not counted in the average."""
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    mean = ops.average_pool(padded, 3, strides=2, padding="valid")
    inside = [_counted(size) for size in images.shape[1:3]]
    correction = 9.0 / (inside[0][:, None] * inside[1][None, :])
    return mean * ops.cast(correction[None, :, :, None], mean.dtype)


def _counted(size) -> np.ndarray:
    """Number of real rows under each window of 3 with stride 2 and padding 1."""
    first = 2 * np.arange((size - 1) // 2 + 1) - 1
    return (np.minimum(first + 3, size) - np.maximum(first, 0)).astype("float32")
