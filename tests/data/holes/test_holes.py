"""Rectangles, unions and the promises of every hole maker, against arithmetic in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from data import order
from data.holes import makers, strokes

MAKERS = {
    "rectangle": makers.RandomRectangle(),
    "center": makers.CenterRectangle(),
    "strokes": strokes.BrushStrokes(),
    "freeform": strokes.FreeForm(),
    "union": makers.Union({"a": strokes.FreeForm(), "b": makers.RandomRectangle()}),
}


def drawn(maker, count, height, width, seed=0):
    """uint8 [count, height, width], one hole for each of the first examples."""

    def draw(index):
        return maker(order.hole_seed(seed, tf.constant(0, tf.int64), index), height, width)

    dataset = tf.data.Dataset.range(count).map(draw)
    assert dataset.element_spec.shape == (height, width, 1)
    assert dataset.element_spec.dtype == tf.uint8
    return np.concatenate(list(dataset.batch(100).as_numpy_iterator()))[..., 0]


def bounds(hole):
    """(top, bottom, left, right) of a hole that is one full rectangle."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    assert hole[top:bottom, left:right].all() and hole.sum() == (bottom - top) * (right - left)
    return top, bottom, left, right


def test_random_rectangles_have_the_published_bounds():
    found = np.array([bounds(h) for h in drawn(makers.RandomRectangle(), 1500, 48, 64)])
    for first, last, length in ((0, 1, 48), (2, 3, 64)):
        side, cut = length // 2, length // 16
        sizes = found[:, last] - found[:, first]
        cuts = (side - sizes) // 2
        assert set(side - sizes) == set(range(0, 2 * cut + 1, 2))  # 0..cut on both sides
        starts = found[:, first] - cuts
        assert set(starts) == set(range(length - side + 1))  # every place, rim included
        assert abs(starts.mean() - (length - side) / 2) < 0.02 * length
    heights, widths = found[:, 1] - found[:, 0], found[:, 3] - found[:, 2]
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.1


def test_rectangles_in_pixels_and_of_two_lengths():
    (found,) = {bounds(h)[1] - bounds(h)[0] for h in
                drawn(makers.RandomRectangle([10, 0.25], shrink=0), 20, 40, 32)}  # fmt: skip
    assert found == 10
    assert {h.sum() for h in drawn(makers.RandomRectangle([10, 0.25], shrink=0), 20, 40, 32)} == {
        80
    }
    cut = drawn(makers.RandomRectangle(10, shrink=[0, 2]), 50, 40, 32)
    assert {h.any(1).sum() for h in cut} == {10} and {h.any(0).sum() for h in cut} == {6, 8, 10}


@pytest.mark.parametrize(
    "size, height, width, expected",
    [(0.5, 256, 256, (64, 192, 64, 192)), (0.5, 9, 6, (2, 6, 1, 4)), (3, 8, 8, (2, 5, 2, 5))],
)
def test_the_central_rectangle(size, height, width, expected):
    maker = makers.CenterRectangle(size)
    (first, second) = drawn(maker, 2, height, width)
    assert bounds(first) == expected
    np.testing.assert_array_equal(first, second)


def test_a_union_is_the_maximum_of_its_makers():
    class Fixed(makers.HoleMaker):
        def __init__(self, column):
            self.column = column

        def draw(self, seed, height, width):
            return makers.rectangle(0, height, self.column, self.column + 1, height, width)

    maker = makers.Union({"a": Fixed(1), "b": Fixed(3)})
    expected = np.tile(np.array([0, 1, 0, 1, 0], np.uint8), (4, 1))
    np.testing.assert_array_equal(drawn(maker, 1, 4, 5)[0], expected)
    fixed = maker.fixed(tf.constant(0, tf.int64), 4, 5)
    np.testing.assert_array_equal(fixed[..., 0], expected)
    both = makers.Union({"a": makers.RandomRectangle(0.5), "b": makers.RandomRectangle(0.5)})
    areas = drawn(both, 50, 32, 32).mean((1, 2))
    assert areas.max() > 0.3  # the two have seeds of their own
    fixed = [both.fixed(tf.constant(i, tf.int64), 32, 32).numpy().mean() for i in range(50)]
    assert max(fixed) > 0.3


@pytest.mark.parametrize("name", MAKERS)
def test_holes_are_a_function_of_the_seed_and_differ_between_images(name):
    maker = MAKERS[name]
    found = drawn(maker, 12, 40, 24)
    np.testing.assert_array_equal(found, drawn(maker, 12, 40, 24))
    assert set(np.unique(found)) == {0, 1}
    if name != "center":
        assert len({hole.tobytes() for hole in found}) == 12
        others = drawn(maker, 12, 40, 24, seed=1)
        assert all((a != b).any() for a, b in zip(found, others, strict=True))
    eager = maker(order.hole_seed(0, tf.constant(0, tf.int64), tf.constant(3, tf.int64)), 40, 24)
    np.testing.assert_array_equal(eager[..., 0], found[3])
    small = maker(tf.constant([1, 2], tf.int32), 40, 24)  # seeds of 32 bits serve as well
    assert small.shape == (40, 24, 1) and small.dtype == tf.uint8


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [(4, 4), (8, 3), (33, 50)])
def test_holes_of_any_size_cover_something_and_not_all(name, size):
    if name == "center" and size == (8, 3):
        size = (8, 4)
    areas = drawn(MAKERS[name], 60, *size).mean((1, 2))
    assert (areas > 0).all() and (areas < 1).all()


@pytest.mark.parametrize("value", [0, 1])
def test_a_hole_of_nothing_or_all_is_replaced_by_the_centre(value):
    class Whole(makers.HoleMaker):
        def draw(self, seed, height, width):
            return tf.fill([height, width, 1], tf.constant(value, tf.uint8))

    assert bounds(drawn(Whole(), 1, 8, 12)[0]) == (2, 6, 3, 9)
    for size in ((1, 2), (2, 1), (2, 2)):
        assert 0 < drawn(Whole(), 1, *size).mean() < 1
    union = makers.Union({"whole": Whole()}).fixed(tf.constant(0, tf.int64), 8, 12)
    assert bounds(union.numpy()[..., 0]) == (2, 6, 3, 9)
    with pytest.raises(ValueError, match="Received: an image of 1x1"):
        Whole()(tf.constant([0, 0]), 1, 1)
    with pytest.raises(NotImplementedError):
        makers.HoleMaker()(tf.constant([0, 0]), 2, 2)


def test_evaluation_holes_are_a_function_of_the_index_alone():
    for name, maker in MAKERS.items():
        first, second, again = (
            maker.fixed(tf.constant(index, tf.int64), 32, 32).numpy() for index in (0, 1, 0)
        )
        np.testing.assert_array_equal(first, again)
        assert name == "center" or (first != second).any()


@pytest.mark.parametrize(
    "name, low, high",  # means of 2,000 holes at 256 px: 0.191, 0.25, 0.373, 0.155, 0.315
    [("rectangle", 0.18, 0.21), ("center", 0.25, 0.25), ("strokes", 0.34, 0.41),
     ("freeform", 0.12, 0.19), ("union", 0.28, 0.35)],
)  # fmt: skip
def test_mean_areas_do_not_depend_on_the_size(name, low, high):
    for size in ((48, 48), (96, 64)):
        assert low <= drawn(MAKERS[name], 300, *size).mean() <= high


def test_settings_that_cannot_be_are_refused():
    for size in (0, 1.0, -0.5, "half", [1, 2, 3], True):
        with pytest.raises(ValueError, match=r"`size` must be a share.*Received: size="):
            makers.RandomRectangle(size)
    with pytest.raises(ValueError, match="`shrink` must be a share.*Received: shrink=-1"):
        makers.RandomRectangle(shrink=-1)
    with pytest.raises(ValueError, match="`size`.*Received: size=2.0"):
        makers.CenterRectangle(2.0)
    with pytest.raises(ValueError, match="Received: size=128, 128x128 pixels in an image of 64x64"):
        drawn(makers.RandomRectangle(128, shrink=0), 1, 64, 64)
    with pytest.raises(ValueError, match="leave something of it"):
        drawn(makers.CenterRectangle(64), 1, 64, 64)
    with pytest.raises(ValueError, match=r"shrink=0.25, \[16, 16\] pixels of a rectangle of"):
        drawn(makers.RandomRectangle(0.5, shrink=0.25), 1, 64, 64)
    with pytest.raises(ValueError, match="at least one hole maker. Received: makers={}"):
        makers.Union({})
