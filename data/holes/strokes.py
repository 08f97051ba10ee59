"""Holes drawn with a brush: random strokes with round joints."""

import math

import tensorflow as tf

from data.holes import capsules, makers

REFERENCE_DIAGONAL = 256 * math.sqrt(2)  # the published lengths are for 256 x 256 pixels
SMALLEST_RADIUS = 0.75  # any point of an image is within 0.7072 of a pixel's centre


class BrushStrokes(makers.HoleMaker):
    """Many thin strokes: each a chain of segments in random directions, clamped to the image.

    Lengths and widths are in pixels of a 256 x 256 image and scale with the diagonal.

    Args:
        strokes: int, how many. Default 8.
        max_segments: int; each stroke has 1..max_segments. Default 16.
        max_length: float; each segment is up to this long. Default 80.
        min_width: float; each segment has a width of its own. Default 10.
        max_width: float. Default 20.

    Raises:
        ValueError: a count or a length that cannot be.

    Source: the hole maker of Wang et al. 2020 (arXiv 2004.03828) and Wang et al. 2018 (GMCNN,
        arXiv 1810.08771). There directions of every other segment are mirrored, which changes
        nothing about a uniform direction, and a stroke may have no segment.
    """

    configurable = True

    def __init__(self, strokes=8, max_segments=16, *, max_length=80.0, min_width=10.0,
                 max_width=20.0) -> None:  # fmt: skip
        self.strokes = strokes
        self.max_segments = max_segments
        self.max_length = max_length
        self.min_width = min_width
        self.max_width = max_width
        _checked_counts(strokes=(strokes, 1), max_segments=(max_segments, 1))
        _checked_range("width", min_width, max_width)
        _checked_range("length", 0, max_length)

    def draw(self, seed, height, width) -> tf.Tensor:
        shape = [self.max_segments, self.strokes]
        seeds = tf.unstack(tf.random.split(seed, 5))
        angles = tf.random.stateless_uniform(shape, seeds[0], 0.0, 2 * math.pi)
        lengths = tf.random.stateless_uniform(shape, seeds[1]) * self.max_length
        widths = tf.random.stateless_uniform(shape, seeds[2], self.min_width, self.max_width)
        counts = tf.random.stateless_uniform(
            [self.strokes], seeds[3], 1, self.max_segments + 1, tf.int32
        )
        steps = _steps(angles, _scale(height, width) * lengths)
        return _painted(seeds[4], steps, counts, widths, height, width)


class FreeForm(makers.HoleMaker):
    """A few broad zigzag strokes, as a person would wipe something out.

    Steps are normally distributed around an eighth of the image's diagonal, between none and
    twice that, and their direction goes to and fro: -angle, +angle, -angle ... with angles around
    72 degrees. Each stroke is mirrored left to right and top to bottom at random. Widths are in
    pixels of a 256 x 256 image and scale with the diagonal.

    Args:
        max_strokes: int; there are 1..max_strokes. Default 3.
        min_segments: int; each stroke has min_segments..max_segments. Default 4.
        max_segments: int. Default 11.
        min_width: float; each stroke has one width. Default 12.
        max_width: float. Default 40.

    Raises:
        ValueError: a count or a width that cannot be.

    Source: Yu et al. 2019 (arXiv 1806.03589), JiahuiYu/generative_inpainting brush_stroke_mask,
        whose mirroring has no effect because its result is dropped; here it has.
    """

    configurable = True

    mean_angle = 2 * math.pi / 5
    angle_range = 2 * math.pi / 15

    def __init__(self, max_strokes=3, min_segments=4, *, max_segments=11, min_width=12.0,
                 max_width=40.0) -> None:  # fmt: skip
        self.max_strokes = max_strokes
        self.min_segments = min_segments
        self.max_segments = max_segments
        self.min_width = min_width
        self.max_width = max_width
        _checked_counts(
            max_strokes=(max_strokes, 1),
            min_segments=(min_segments, 1),
            max_segments=(max_segments, min_segments),
        )
        _checked_range("width", min_width, max_width)

    def draw(self, seed, height, width) -> tf.Tensor:
        strokes, segments = self.max_strokes, self.max_segments
        seeds = tf.unstack(tf.random.split(seed, 8))
        spread = tf.random.stateless_uniform([2, strokes], seeds[0]) * self.angle_range
        low, high = self.mean_angle - spread[0], self.mean_angle + spread[1]
        angles = low + (high - low) * tf.random.stateless_uniform([segments, strokes], seeds[1])
        angles *= tf.where(tf.range(segments) % 2 == 0, -1.0, 1.0)[:, tf.newaxis]
        mean = math.hypot(height, width) / 8
        lengths = tf.random.stateless_normal([segments, strokes], seeds[2], mean, mean / 2)
        steps = _steps(angles, tf.clip_by_value(lengths, 0.0, 2 * mean))
        mirrored = tf.random.stateless_uniform([strokes, 2], seeds[3]) < 0.5
        steps *= tf.where(mirrored, -1.0, 1.0)
        widths = tf.random.stateless_uniform([strokes], seeds[5], self.min_width, self.max_width)
        counts = tf.random.stateless_uniform(
            [strokes], seeds[6], self.min_segments, segments + 1, tf.int32
        )
        number = tf.random.stateless_uniform([], seeds[7], 1, strokes + 1, tf.int32)
        counts = tf.where(tf.range(strokes) < number, counts, 0)
        return _painted(seeds[4], steps, counts, widths, height, width)


def _painted(seed, steps, counts, widths, height, width) -> tf.Tensor:
    """Strokes of segments one after the other from random points on, clamped to the image.

    Args:
        seed: of the points.
        steps: float32 [segments, strokes, 2], pixels.
        counts: int32 [strokes], segments that are drawn.
        widths: float32 [strokes] or [segments, strokes], pixels of a 256 x 256 image.
    """
    segments, strokes, _ = steps.shape
    last = tf.constant([height - 1.0, width - 1.0])
    points = [tf.random.stateless_uniform([strokes, 2], seed) * last]
    for step in tf.unstack(steps):
        points.append(tf.clip_by_value(points[-1] + step, 0.0, last))
    chain = tf.stack(points)
    radii = tf.maximum(_scale(height, width) * widths / 2, SMALLEST_RADIUS)
    drawn = tf.range(segments)[:, tf.newaxis] < counts
    return capsules.fill(chain[:-1], chain[1:], tf.where(drawn, radii, -1.0), height, width)


def _steps(angles, lengths) -> tf.Tensor:
    return tf.stack([lengths * tf.sin(angles), lengths * tf.cos(angles)], axis=-1)


def _scale(height, width) -> float:
    return math.hypot(height, width) / REFERENCE_DIAGONAL


def _checked_counts(**counts) -> None:
    for name, (count, lowest) in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < lowest:
            raise ValueError(
                f"`{name}` must be a whole number from {lowest} on. Received: {name}={count!r}"
            )


def _checked_range(what, low, high) -> None:
    if not 0 <= low <= high or high == 0:
        raise ValueError(
            f"`max_{what}` must be positive and not below `min_{what}`. Received: "
            f"min_{what}={low}, max_{what}={high}"
        )
