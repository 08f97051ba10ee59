"""Conditional normalisation: normalise without parameters, then modulate by a condition."""

import keras
import numpy as np
from keras import ops

from models.layers import settings
from models.layers import statistics as statistics_layers


def modulate(normalized, gamma, beta) -> keras.KerasTensor:
    """Returns normalized * (1 + gamma) + beta: with gamma = beta = 0 nothing changes."""
    return normalized * (1.0 + gamma) + beta


def resize_nearest(images, height, width) -> keras.KerasTensor:
    """Resizes [B, H, W, C] to (height, width) by copying source row floor(row * H / height).

    This is the rule of PyTorch `interpolate(mode="nearest")`. `tf.image.resize` samples at pixel
    centres instead and picks other pixels when shrinking.
    """
    old_height, old_width = images.shape[1:3]
    if (old_height, old_width) == (height, width):
        return images
    if old_height % height == 0 and old_width % width == 0:
        return images[:, :: old_height // height, :: old_width // width]
    rows, columns = _source_index(old_height, height), _source_index(old_width, width)
    return ops.take(ops.take(images, rows, axis=1), columns, axis=2)


def _source_index(old, new) -> np.ndarray:
    # float32 on purpose: the reference rounds so, which decides ties such as 3 * (7 / 21).
    scale = np.float32(old) / np.float32(new)
    index = np.floor(np.arange(new, dtype=np.float32) * scale).astype("int32")
    return np.minimum(index, old - 1)


def normalization(statistics) -> keras.layers.Layer:
    """Returns the parameter-free layer that takes the named statistics, "batch" or "instance"."""
    if statistics == "batch":
        return statistics_layers.BatchStatistics(name="normalization")
    if statistics == "instance":
        return statistics_layers.InstanceStatistics(name="normalization")
    raise ValueError(
        'Expected statistics "batch" (over the batch, moving averages at inference) or "instance" '
        f"(over each image). Received: statistics={statistics!r}. Choose one of the two."
    )


@keras.saving.register_keras_serializable(package="tessera")
class SPADE(settings.OwnPolicy, keras.layers.Layer):
    """Spatially-adaptive normalisation: a label map sets scale and shift of every position.

        a = relu(conv(condition)),  gamma = conv(a),  beta = conv(a)
        out = normalise(x) * (1 + gamma) + beta

    Args:
        hidden: int, channels of a, default 128.
        kernel_size: int, odd, of the three convolutions (zero padding), default 3.
        statistics: "batch" (synchronised, moving averages; default) or "instance".

    Call arguments:
        x: float [B, H, W, C].
        condition: float [B, H', W', K], resized to (H, W) by nearest neighbour where it differs;
            a caller with several layers at one resolution should resize once and pass the result.
        training: bool.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Raises:
        ValueError: unknown `statistics`; even `kernel_size`.

    Source: Park, Liu, Wang, Zhu, arXiv 1903.07291, equations 1-3; (1 + gamma) instead of gamma as
    in NVlabs/SPADE, models/networks/normalization.py.
    """

    configurable = True

    def __init__(self, hidden=128, kernel_size=3, *, statistics="batch", **kwargs) -> None:
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(
                f"Expected an odd kernel size. Received: kernel_size={kernel_size}. Use 1, 3 or 5: "
                "an even kernel shifts the label map against the image."
            )
        self.hidden = hidden
        self.kernel_size = kernel_size
        self.statistics = statistics
        self.normalization = normalization(statistics)
        self.shared = self._convolution(hidden, "shared", activation="relu")

    def _convolution(self, filters, name, **kwargs) -> keras.layers.Layer:
        return keras.layers.Conv2D(filters, self.kernel_size, padding="same", name=name, **kwargs)

    def build(self, x_shape, condition_shape) -> None:
        channels, grid = x_shape[-1], tuple(x_shape[:-1])
        self.gamma = self._convolution(channels, "gamma")
        self.beta = self._convolution(channels, "beta")
        self.normalization.build(x_shape)
        self.shared.build((*grid, condition_shape[-1]))
        self.gamma.build((*grid, self.hidden))
        self.beta.build((*grid, self.hidden))
        self.built = True

    def call(self, x, condition, training=False) -> keras.KerasTensor:
        normalized = self.normalization(x, training=training)
        shared = self.shared(resize_nearest(condition, x.shape[1], x.shape[2]))
        return modulate(normalized, self.gamma(shared), self.beta(shared))
