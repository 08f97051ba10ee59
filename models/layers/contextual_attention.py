"""Contextual attention: fills a map with patches of its known part."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

EXCLUDED = -1e9  # added to a logit: exp() of it is 0, and without any known patch nothing is NaN


@keras.saving.register_keras_serializable(package="tessera")
class ContextualAttention(keras.layers.Layer):
    """Rebuilds every position from the known patches that look like its surroundings.

        x = relu(x);  z = every `rate`-th row and column of x, a grid of P positions
        s_pq = <patch_p(z), patch_q(z) / |patch_q(z)|>         (fused: summed with the scores of
                                                               the neighbours of p and q)
        w_p = softmax of softmax_scale * s_p over the q whose patch touches no hole
        out = the patches of x of side 2 * rate, mixed by w and laid over each other, averaged

    Without variables; each image has its own hole. With no known patch left the output is 0.
    Scores are float32. The largest tensors hold P^2 numbers per image, P = H W / rate^2: at
    64 x 64 and rate 2 about five of 4 MiB when training.

    Args:
        patch_size: int, side of the patches that are compared, default 3.
        rate: int, spacing of the grid, default 2.
        softmax_scale: float, default 10.
        fuse: bool, add the scores of neighbouring pairs, which favours coherent copies (first left
            and right, then above and below; nothing beyond the border). Default True.
        rectify: bool, apply ReLU to x first, default True. An ELU after the layer then changes
            nothing, as in the published network.
        normalize_queries: bool, True for the cosine of the paper; False (default) as released: a
            large feature has a sharp choice.

    Call arguments:
        x: float [B, H, W, C], H and W multiples of `rate`.
        hole: float [B, m H / rate, n W / rate, 1] with whole m, n (the image's own hole will do); 1
            = missing, 0 = known. A position of the grid is known if all of its pixels are.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Raises:
        ValueError: settings below 1; sizes that do not divide.

    Source: Yu et al., CVPR 2018, arXiv 1801.07892, section 4.1; JiahuiYu/generative_inpainting,
    inpaint_ops.py. Departures from that code: one hole per image instead of one per batch; thin
    holes are not lost between sampled pixels; excluded patches have no part in the softmax (there
    they enter with logit 0 and are dropped afterwards); fusion does not run from the end of a row
    into the next; borders, where fewer patches overlap, are not darkened.
    """

    def __init__(
        self,
        patch_size=3,
        *,
        rate=2,
        softmax_scale=10.0,
        fuse=True,
        rectify=True,
        normalize_queries=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if patch_size < 1 or rate < 1:
            raise ValueError(
                "Expected patches and a rate of at least 1. Received: "
                f"patch_size={patch_size}, rate={rate}. The paper uses 3 and 2."
            )
        self.patch_size = patch_size
        self.rate = rate
        self.softmax_scale = softmax_scale
        self.fuse = fuse
        self.rectify = rectify
        self.normalize_queries = normalize_queries

    def build(self, x_shape, hole_shape=None):
        self.built = True

    def call(self, x, hole):
        x = ops.relu(x) if self.rectify else x
        rows, columns = self._grid(x.shape, hole.shape)
        sampled = x[:, :: self.rate, :: self.rate]
        patches = _unfold(sampled, self.patch_size, 1, (self.patch_size - 1) // 2)
        keys = patches * _inverse_norm(patches)
        scores = tf.matmul(keys if self.normalize_queries else patches, keys, transpose_b=True)
        scores = tf.cast(scores, tf.float32)
        if self.fuse:
            scores = _fuse(scores, rows, columns)
        known = self._known_patches(hole, rows, columns)
        weights = tf.nn.softmax(self.softmax_scale * scores + (1.0 - known) * EXCLUDED) * known
        pieces = _unfold(x, 2 * self.rate, self.rate, self.rate // 2)
        mixed = tf.matmul(tf.cast(weights, self.compute_dtype), pieces)
        return _overlap_mean(mixed, rows, columns, self.rate)

    def _grid(self, x_shape, hole_shape):
        grid = [size // self.rate for size in x_shape[1:3]]
        divides = all(size % self.rate == 0 for size in x_shape[1:3])
        if not divides or any(h % g for h, g in zip(hole_shape[1:3], grid, strict=True)):
            raise ValueError(
                f"Expected sides of x that are multiples of {self.rate}, the rate, and of the hole "
                "that are multiples of those of x divided by the rate. Received: x of "
                f"{tuple(x_shape[1:3])}, hole of {tuple(hole_shape[1:3])}."
            )
        return grid

    def _known_patches(self, hole, rows, columns):
        """float32 [B, 1, P]: 1 where no pixel under the patch is missing."""
        factors = (hole.shape[1] // rows, hole.shape[2] // columns)
        missing = tf.nn.max_pool2d(tf.cast(hole, tf.float32), factors, factors, "VALID")
        touched = tf.nn.max_pool2d(missing, self.patch_size, 1, "SAME")
        return 1.0 - tf.reshape(touched, (-1, 1, rows * columns))

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "rate": self.rate,
            "softmax_scale": self.softmax_scale,
            "fuse": self.fuse,
            "rectify": self.rectify,
            "normalize_queries": self.normalize_queries,
        }


def _unfold(x, size, stride, before):
    """[B, H, W, C] -> [B, H W / stride^2, size^2 C]: zero-padded patches, row by row.

    Slices, because the gradient of `tf.image.extract_patches` builds a large sparse matrix.
    """
    height, width, channels = x.shape[1:]
    rows, columns = height // stride, width // stride
    padding = (before, size - stride - before)
    padded = tf.pad(x, ((0, 0), padding, padding, (0, 0)))
    parts = [
        padded[:, i : i + stride * rows : stride, j : j + stride * columns : stride][
            :, :rows, :columns
        ]
        for i in range(size)
        for j in range(size)
    ]
    return tf.reshape(tf.concat(parts, axis=-1), (-1, rows * columns, size**2 * channels))


def _inverse_norm(patches):
    """1 / |patch| [B, P, 1], with a finite gradient where a patch is all zero."""
    square = tf.reduce_sum(tf.square(tf.cast(patches, tf.float32)), axis=-1, keepdims=True)
    return tf.cast(tf.math.rsqrt(tf.maximum(square, 1e-8)), patches.dtype)


def _fuse(scores, rows, columns):
    """Sums the scores of (p, q) and of the pairs one step further in the same direction."""
    scores = tf.reshape(scores, (-1, rows, columns, rows, columns))
    for along, size in ((2, columns), (1, rows)):
        padding = [[0, 0]] * 5
        padding[along] = padding[along + 2] = [1, 1]
        padded = tf.pad(scores, padding)
        shifted = []
        for step in range(3):
            index = [slice(None)] * 5
            index[along] = index[along + 2] = slice(step, step + size)
            shifted.append(padded[tuple(index)])
        scores = tf.add_n(shifted)
    return tf.reshape(scores, (-1, rows * columns, rows * columns))


def _overlap_mean(pieces, rows, columns, rate):
    """[B, P, (2 rate)^2 C] -> [B, rate rows, rate columns, C]: mean of the overlapping pieces."""
    channels = pieces.shape[-1] // (2 * rate) ** 2
    height, width = rate * rows, rate * columns
    # A piece is 2 x 2 blocks of side `rate`, and blocks of neighbours at equal place never overlap.
    blocks = tf.reshape(pieces, (-1, rows, columns, 2, rate, 2, rate, channels))
    layers, counts = [], np.zeros((height + rate, width + rate, 1))
    for a in (0, 1):
        for b in (0, 1):
            layer = tf.transpose(blocks[:, :, :, a, :, b], (0, 1, 3, 2, 4, 5))
            layer = tf.reshape(layer, (-1, height, width, channels))
            padding = ((a * rate, (1 - a) * rate), (b * rate, (1 - b) * rate))
            layers.append(tf.pad(layer, ((0, 0), *padding, (0, 0))))
            counts[a * rate : a * rate + height, b * rate : b * rate + width] += 1.0
    crop = (slice(rate // 2, rate // 2 + height), slice(rate // 2, rate // 2 + width))
    return tf.add_n(layers)[(slice(None), *crop)] / tf.constant(counts[crop], pieces.dtype)
