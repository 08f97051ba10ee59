"""Filled capsules, segments with round ends, exact to the pixel and in tf ops."""

import math

import tensorflow as tf


def fill(starts, ends, radii, height, width) -> tf.Tensor:
    """All pixels whose centre is within a radius of its segment.

    A capsule is convex, so it meets each row of pixels in one interval, which is computed in
    closed form; intervals are counted up by their ends. That takes memory for segments x rows
    instead of segments x pixels.

    Args:
        starts, ends: float32 [..., 2], (row, column); centres of pixels have whole numbers.
        radii: float32 [...]; a negative radius draws nothing.
        height, width: int.

    Returns:
        uint8 [height, width, 1]: 1 inside, 0 outside.
    """
    starts, ends = tf.reshape(starts, [-1, 2]), tf.reshape(ends, [-1, 2])
    left, right = _row_intervals(starts, ends, tf.reshape(radii, [-1, 1]), height)
    first = tf.cast(tf.clip_by_value(tf.math.ceil(left), 0, width), tf.int32)
    after = tf.cast(tf.clip_by_value(tf.floor(right) + 1, 0, width), tf.int32)
    after = tf.maximum(first, after)
    rows = (width + 1) * tf.range(height)
    places = tf.reshape(tf.stack([rows + first, rows + after]), [-1])
    signs = tf.reshape(tf.stack([tf.ones_like(first), -tf.ones_like(after)]), [-1])
    ends_met = tf.math.unsorted_segment_sum(signs, places, height * (width + 1))
    depth = tf.cumsum(tf.reshape(ends_met, [height, width + 1]), axis=1)
    return tf.cast(depth[:, :width, tf.newaxis] > 0, tf.uint8)


def _row_intervals(starts, ends, radii, height) -> tuple[tf.Tensor, tf.Tensor]:
    """(left, right), float32 [segments, height]: where each capsule meets each row.

    The interval spans those of two discs and of the rectangle between them; left > right where
    there is none.
    """
    rows = tf.range(height, dtype=tf.float32)
    start_row, start_column = starts[:, :1], starts[:, 1:]
    length = tf.norm(ends - starts, axis=1, keepdims=True)
    along = tf.where(length > 0, tf.math.divide_no_nan(ends - starts, length), [[0.0, 1.0]])
    along = tf.where(tf.abs(along) < 1e-6, 1e-6, along)  # it is divided by
    row_step, column_step = along[:, :1], along[:, 1:]
    down = rows - start_row
    # Relative to the start: the distance along is in 0..length, that across in -radius..radius.
    bounds = [
        (-down * row_step / column_step, (length - down * row_step) / column_step),
        ((down * column_step - radii) / row_step, (down * column_step + radii) / row_step),
    ]
    low = tf.maximum(*(tf.minimum(*pair) for pair in bounds))
    high = tf.minimum(*(tf.maximum(*pair) for pair in bounds))
    pieces = [(low + start_column, high + start_column, (low <= high) & (radii >= 0))]
    for centre in (starts, ends):
        distance = rows - centre[:, :1]
        half = tf.sqrt(tf.maximum(radii**2 - distance**2, 0.0))
        pieces.append((centre[:, 1:] - half, centre[:, 1:] + half, tf.abs(distance) <= radii))
    left = tf.reduce_min(tf.stack([tf.where(met, lo, math.inf) for lo, _, met in pieces]), 0)
    right = tf.reduce_max(tf.stack([tf.where(met, hi, -math.inf) for _, hi, met in pieces]), 0)
    return left, right
