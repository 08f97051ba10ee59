"""Holes to be painted, one per image: rectangles, unions, and what every hole maker shares.

A hole is 1 (white) where pixels are missing and 0 (black) where they are known. Makers consist of
TensorFlow ops and run inside the input pipeline; what they draw is a function of the seed.
"""

from collections.abc import Iterator

import tensorflow as tf

from data import order


class HoleMaker:
    """Draws a hole that covers some pixels and not all.

    A maker defines `draw(seed, height, width)`; where that covers nothing or everything, the
    central rectangle of half the height and width takes its place.

    Call args:
        seed: int32 or int64 [2].
        height, width: int, of the image.

    Returns:
        uint8 [height, width, 1]: 1 = missing, 0 = known.

    Raises:
        ValueError: an image of a single pixel.
    """

    def __call__(self, seed, height, width) -> tf.Tensor:
        return neither_empty_nor_full(self.draw(seed, height, width), height, width)

    def fixed(self, index, height, width, *, seed=None) -> tf.Tensor:
        """The hole of evaluation item `index` (int64 scalar), the same in every run.

        `seed` is a function of the index. Default: order.fixed_hole_seed(index).
        """
        seed = order.fixed_hole_seed(index) if seed is None else seed
        return self(seed, height, width)

    def draw(self, seed, height, width) -> tf.Tensor:
        raise NotImplementedError


class RandomRectangle(HoleMaker):
    """A rectangle placed uniformly inside the image, then cut by a random amount at its sides.

    Both vertical sides move inwards by one number drawn from 0..shrink, both horizontal sides by
    another.

    Args:
        size: float in 0..1, share of the image's height and width, or int, pixels; or two of
            them, [height, width]. Default 0.5: 128 of 256 pixels.
        shrink: the same for the largest cut at each side. Default 0.0625: 16 of 256 pixels.

    Raises:
        ValueError: a size that cannot be; when called, one that does not fit into the image.

    Source: Yu et al. 2018 (arXiv 1801.07892), JiahuiYu/generative_inpainting random_bbox and
        bbox2mask: 128 x 128 in 256 x 256 with max_delta 32.
    """

    configurable = True

    def __init__(self, size=0.5, *, shrink=0.0625) -> None:
        self.size = size
        self.shrink = shrink
        _checked_lengths("size", size, lowest=1)
        _checked_lengths("shrink", shrink, lowest=0)

    def draw(self, seed, height, width) -> tf.Tensor:
        sides = _rectangle_sides(self.size, height, width)
        cuts = _pixels(self.shrink, height, width)
        if any(2 * cut >= side for cut, side in zip(cuts, sides, strict=True)):
            raise ValueError(
                f"The cuts at two sides must leave something of the rectangle. Received: "
                f"shrink={self.shrink}, {list(cuts)} pixels of a rectangle of {list(sides)}. "
                f"Lower data.holes.shrink"
            )
        seeds = tf.unstack(tf.random.split(seed, 4))
        bounds: list = []
        for axis, (length, side, cut) in enumerate(zip((height, width), sides, cuts, strict=True)):
            start = _integer(seeds[2 * axis], length - side)
            inwards = _integer(seeds[2 * axis + 1], cut)
            bounds += [start + inwards, start + side - inwards]
        top, bottom, left, right = bounds
        return rectangle(top, bottom, left, right, height, width)


class CenterRectangle(HoleMaker):
    """The same rectangle in the middle of every image: the usual hole of tables in papers.

    Args:
        size: as RandomRectangle. Default 0.5: 128 of 256 pixels.

    Raises:
        ValueError: as RandomRectangle.
    """

    configurable = True

    def __init__(self, size=0.5) -> None:
        self.size = size
        _checked_lengths("size", size, lowest=1)

    def draw(self, seed, height, width) -> tf.Tensor:
        return _centre(_rectangle_sides(self.size, height, width), height, width)


class Union(HoleMaker):
    """Missing is what at least one of several makers leaves out.

    Args:
        makers: {name: hole maker; None = left out}, each with a seed of its own.

    Raises:
        ValueError: no makers.
    """

    configurable = True

    def __init__(self, makers) -> None:
        self.makers = {name: maker for name, maker in makers.items() if maker is not None}
        if not self.makers:
            raise ValueError(f"A union needs at least one hole maker. Received: makers={makers}")

    def draw(self, seed, height, width) -> tf.Tensor:
        parts = [maker(part, height, width) for maker, part in self._seeded(seed)]
        return tf.reduce_max(tf.stack(parts), axis=0)

    def fixed(self, index, height, width, *, seed=None) -> tf.Tensor:
        seed = order.fixed_hole_seed(index) if seed is None else seed
        parts = [m.fixed(index, height, width, seed=part) for m, part in self._seeded(seed)]
        return neither_empty_nor_full(tf.reduce_max(tf.stack(parts), axis=0), height, width)

    def _seeded(self, seed) -> Iterator[tuple]:
        """(maker, seed of its own) of all makers: two of a kind draw different holes."""
        seeds = tf.unstack(tf.random.split(seed, len(self.makers)))
        return zip(self.makers.values(), seeds, strict=True)


def neither_empty_nor_full(hole, height, width) -> tf.Tensor:
    """The hole; in the place of one that covers nothing or all, the central rectangle."""
    if height * width < 2:
        raise ValueError(
            f"A hole leaves known pixels beside missing ones. Received: an image of "
            f"{height}x{width}"
        )
    missing = tf.math.count_nonzero(hole, dtype=tf.int32)
    centre = _centre((max(1, height // 2), max(1, width // 2)), height, width)
    hole = tf.where((missing > 0) & (missing < height * width), hole, centre)
    return tf.ensure_shape(hole, [height, width, 1])


def rectangle(top, bottom, left, right, height, width) -> tf.Tensor:
    """uint8 [height, width, 1], 1 in rows top..bottom-1 and columns left..right-1."""
    rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return tf.cast(inside[:, :, tf.newaxis], tf.uint8)


def _centre(sides, height, width) -> tf.Tensor:
    top, left = (height - sides[0]) // 2, (width - sides[1]) // 2
    return rectangle(top, top + sides[0], left, left + sides[1], height, width)


def _integer(seed, highest) -> tf.Tensor:
    """Uniform in 0..highest, both included."""
    return tf.random.stateless_uniform([], seed, 0, highest + 1, tf.int32)


def _rectangle_sides(size, height, width) -> tuple[int, int]:
    sides = _pixels(size, height, width)
    if sides[0] > height or sides[1] > width or sides == (height, width):
        raise ValueError(
            f"The rectangle must fit into the image and leave something of it. Received: "
            f"size={size}, {sides[0]}x{sides[1]} pixels in an image of {height}x{width}. "
            f"Lower data.holes.size; a fraction such as 0.5 fits every image"
        )
    return max(1, sides[0]), max(1, sides[1])


def _pixels(lengths, height, width) -> tuple[int, int]:
    """(rows, columns) of one or two lengths that are shares or pixels."""
    rows, columns = (
        length if isinstance(length, int) else round(length * side)
        for length, side in zip(_pair(lengths), (height, width), strict=True)
    )
    return rows, columns


def _pair(lengths) -> tuple:
    return tuple(lengths) if isinstance(lengths, (list, tuple)) else (lengths, lengths)


def _checked_lengths(name, lengths, *, lowest) -> None:
    def possible(length) -> bool:
        if isinstance(length, int):
            return length >= lowest and not isinstance(length, bool)
        return isinstance(length, float) and (0 < length < 1 or length == lowest == 0)

    pair = _pair(lengths)
    if len(pair) != 2 or not all(possible(length) for length in pair):
        raise ValueError(
            f"`{name}` must be a share of the image between 0 and 1, or a whole number of pixels "
            f"from {lowest} on, or two of these, [height, width]. Received: {name}={lengths!r}"
        )
