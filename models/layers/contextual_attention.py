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
    Scores are float32. Memory grows with P^2, P = H W / rate^2: training holds about 75 MiB
    an image at 64 x 64 x 128 and rate 2, where attentive normalisation holds 30.

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

    configurable = True

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
    ) -> None:
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

    def build(self, x_shape, hole_shape=None) -> None:
        self.built = True

    def call(self, x, hole) -> tf.Tensor:
        x = ops.relu(x) if self.rectify else x
        grid = self._grid(x.shape, hole.shape)
        known = self._known_patches(hole, *grid)
        scores = self._scores(tf.cast(x[:, :: self.rate, :: self.rate], tf.float32), grid)
        weights = tf.nn.softmax(self.softmax_scale * scores + (1.0 - known) * EXCLUDED) * known
        return _paste(x, weights, grid, self.rate)

    def _scores(self, sampled, grid) -> tf.Tensor:
        """float32 [B, P, P]; patches are compared by the products of their positions."""
        flat = tf.reshape(sampled, (-1, grid[0] * grid[1], sampled.shape[-1]))
        first = -((self.patch_size - 1) // 2)
        scores = tf.matmul(flat, flat, transpose_b=True)
        scores = _diagonal_sums(scores, grid, range(first, first + self.patch_size))
        # 1 / |patch|, with a finite gradient where a patch is all zero.
        inverse = tf.math.rsqrt(tf.maximum(tf.linalg.diag_part(scores), 1e-8))
        scores *= inverse[:, None, :]
        if self.normalize_queries:
            scores *= inverse[:, :, None]
        return _diagonal_sums(scores, grid, (-1, 0, 1)) if self.fuse else scores

    def _grid(self, x_shape, hole_shape) -> list[int]:
        grid = [size // self.rate for size in x_shape[1:3]]
        divides = all(size % self.rate == 0 for size in x_shape[1:3])
        if not divides or any(h % g for h, g in zip(hole_shape[1:3], grid, strict=True)):
            raise ValueError(
                f"Expected sides of x that are multiples of {self.rate}, the rate, and of the hole "
                "that are multiples of those of x divided by the rate. Received: x of "
                f"{tuple(x_shape[1:3])}, hole of {tuple(hole_shape[1:3])}."
            )
        return grid

    def _known_patches(self, hole, rows, columns) -> tf.Tensor:
        """float32 [B, 1, P]: 1 where no pixel under the patch is missing."""
        factors = (hole.shape[1] // rows, hole.shape[2] // columns)
        missing = tf.nn.max_pool2d(tf.cast(hole, tf.float32), factors, factors, "VALID")
        touched = tf.nn.max_pool2d(missing, self.patch_size, 1, "SAME")
        return 1.0 - tf.reshape(touched, (-1, 1, rows * columns))


def _diagonal_sums(scores, grid, steps) -> tf.Tensor:
    """Sums score(p + d, q + d) over the displacements d of steps x steps; 0 beyond the border.

    Such a displacement is a shift of the scores as one row of P^2 numbers; slices of a
    [B, H, W, H, W] tensor do the same more slowly.

    Args:
        scores: float32 [B, P, P], positions of the grid row by row.
        grid: (rows, columns).
        steps: ints.
    """
    positions = grid[0] * grid[1]
    index = np.arange(positions)
    for stride, place, size in (
        (1, index % grid[1], grid[1]),
        (grid[1], index // grid[1], grid[0]),
    ):
        shifted = []
        for step in steps:
            # Zero what would come in from another row, or has no place to go to.
            stays = ((place >= step) & (place < size + step)).astype("float32")
            kept = scores if step == 0 else scores * (stays[:, None] * tf.constant(stays)[None, :])
            flat = tf.reshape(kept, (-1, positions**2))
            by = step * stride * (positions + 1)
            by = max(-(positions**2), min(by, positions**2))  # a row of one position
            if by > 0:
                flat = tf.pad(flat[:, by:], ((0, 0), (0, by)))
            elif by < 0:
                flat = tf.pad(flat[:, :by], ((0, 0), (-by, 0)))
            shifted.append(flat)
        scores = tf.reshape(tf.add_n(shifted), (-1, positions, positions))
    return scores


def _paste(x, weights, grid, rate) -> tf.Tensor:
    """The mean of overlapping patches of side 2 * rate, each mixed by its weights; as x.

    A patch consists of 2 x 2 cells, so mixing patches and laying them over each other is mixing
    cells, by the sum of the weights of the patches that share two cells: a quarter of the work.
    """
    rows, columns = grid[0] + 1, grid[1] + 1
    padding = ((rate // 2, rate - rate // 2),) * 2
    cells = tf.pad(x, ((0, 0), *padding, (0, 0)))
    cells = tf.reshape(cells, (-1, rows, rate, columns, rate, x.shape[-1]))
    cells = tf.transpose(cells, (0, 1, 3, 2, 4, 5))
    cells = tf.reshape(cells, (-1, rows * columns, rate**2 * x.shape[-1]))
    weights = tf.reshape(weights, (-1, *grid, *grid))
    weights = tf.pad(weights, ((0, 0), *((0, 1),) * 4))
    weights = tf.reshape(weights, (-1, rows * columns, rows * columns))
    weights = _diagonal_sums(weights, (rows, columns), (-1, 0))
    mixed = tf.matmul(tf.cast(weights, x.dtype), cells)
    mixed = tf.reshape(mixed, (-1, rows, columns, rate, rate, x.shape[-1]))
    mixed = tf.transpose(mixed, (0, 1, 3, 2, 4, 5))
    mixed = tf.reshape(mixed, (-1, rows * rate, columns * rate, x.shape[-1]))
    start = rate // 2
    mixed = mixed[:, start : start + x.shape[1], start : start + x.shape[2]]
    counts = [_patches_over(size, rate) for size in x.shape[1:3]]
    return mixed / tf.constant(counts[0][:, None, None] * counts[1][:, None], x.dtype)


def _patches_over(size, rate) -> np.ndarray:
    """How many patches of side 2 * rate lie over each of `size` rows."""
    canvas = np.full(size + rate, 2.0)
    canvas[:rate] = canvas[-rate:] = 1.0
    return canvas[rate // 2 : rate // 2 + size]
