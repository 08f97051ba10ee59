"""Statistics of soft regions and the random positions that attract them: pure functions."""

import tensorflow as tf

TINY = 1e-12  # keeps the mean of a region that has died at 0 / TINY instead of 0 / 0


def regional_normalization(features, masks, scale=None, shift=None, *, epsilon=1e-5) -> tf.Tensor:
    """Normalises features by the statistics of soft regions.

        mu_i = sum_p S_pi v_p / sum_p S_pi,  var_i = sum_p S_pi (v_p - mu_i)^2 / sum_p S_pi
        out_p = sum_i S_pi ((v_p - mu_i) / sqrt(var_i + epsilon) * scale_i + shift_i)

    Computed with four matrix products and nothing larger than [B, P, C]. The mean over positions
    is taken off first, without which var = E[v^2] - mu^2 cancels as soon as |mean| >> deviation.

    Args:
        features: float32 or float64 [B, P, C], v.
        masks: the same dtype [B, P, n], S, sums to 1 over the last axis.
        scale, shift: [n, C], or None for 1 and 0.
        epsilon: added to the variance.

    Returns:
        [B, P, C].
    """
    centred = features - tf.reduce_mean(features, axis=1, keepdims=True)
    size = tf.reduce_sum(masks, axis=1)[:, :, None] + TINY
    mean = tf.matmul(masks, centred, transpose_a=True) / size
    mean_square = tf.matmul(masks, tf.square(centred), transpose_a=True) / size
    factor = tf.math.rsqrt(tf.nn.relu(mean_square - tf.square(mean)) + epsilon)
    if scale is not None:
        factor = scale * factor
    offset = -mean * factor if shift is None else shift - mean * factor
    return centred * tf.matmul(masks, factor) + tf.matmul(masks, offset)


def sample_positions(seeds, count, positions) -> tf.Tensor:
    """Draws `count` of the positions 0..positions-1 for each image, all different.

    An image's draw depends on its own seed alone, not on its batch-mates or on its place in the
    batch. With fewer positions than `count` they repeat.

    Args:
        seeds: int32 [B, 2], any values.
        count: int.
        positions: int.

    Returns:
        int32 [B, count].
    """
    if positions < count:
        uniform = _uniform(seeds, count)
        return tf.cast(uniform * positions, tf.int32)
    # Sorted: without it the order, and so which entity gets which position, depends on the device.
    return tf.math.top_k(_uniform(seeds, positions), count, sorted=True).indices


def _uniform(seeds, count) -> tf.Tensor:
    """float32 [B, count] in [0, 1), a hash of (seed, index): `tf.random` takes one seed a call."""
    keys = tf.bitcast(seeds, tf.uint32)
    index = tf.cast(tf.range(count), tf.uint32)[None, :]
    bits = _mix(_mix(index * 0x9E3779B9 + keys[:, :1]) ^ keys[:, 1:])
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def _mix(bits) -> tf.Tensor:
    """The finaliser of MurmurHash3: every input bit flips every output bit half of the time."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, None)):
        bits = tf.bitwise.bitwise_xor(
            bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32))
        )
        bits = bits if factor is None else bits * tf.constant(factor, tf.uint32)
    return bits


def orthogonality(entities) -> tf.Tensor:
    """||W W^T - I||_F^2 of W [n, C]; a scalar, 0 where the rows are orthonormal."""
    entities = tf.convert_to_tensor(entities)
    gram = tf.matmul(entities, entities, transpose_b=True)
    return tf.reduce_sum(tf.square(gram - tf.eye(entities.shape[0], dtype=entities.dtype)))
