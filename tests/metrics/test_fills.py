"""Fills without learning: brute force, harmonic functions, and what is refused."""

import numpy as np
import pytest

from metrics import fills

RNG = np.random.default_rng(5)
FILLS = [fills.mean_colour, fills.nearest_known, fills.harmonic]


def random_case(share, shape=(3, 9, 12)):
    """Images of distinct pixels, and holes with that share of missing ones."""
    image = RNG.uniform(-1, 1, (*shape, 3))
    hole = (RNG.uniform(0, 1, (*shape, 1)) < share).astype(np.float32)
    hole[:, 4, 5] = 0.0
    return image, hole


def rectangle(height, width, rows, columns):
    hole = np.zeros([1, height, width, 1])
    hole[0, slice(*rows), slice(*columns)] = 1
    return hole


@pytest.mark.parametrize("fill", FILLS)
def test_the_known_pixels_stay_and_the_hole_is_not_looked_at(fill):
    image, hole = random_case(0.6)
    made = fill(image, hole)
    assert made.dtype == np.float64 and made.shape == image.shape
    known = hole[..., 0] == 0
    np.testing.assert_array_equal(made[known], image[known])
    np.testing.assert_array_equal(fill(image * (1 - hole), hole), made)
    one_by_one = [fill(image[i : i + 1], hole[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(made, one_by_one, atol=1e-4)


@pytest.mark.parametrize("fill", FILLS)
def test_without_a_hole_nothing_is_filled(fill):
    image = RNG.uniform(-1, 1, (2, 4, 5, 3))
    np.testing.assert_array_equal(fill(image, np.zeros([2, 4, 5, 1])), image)


@pytest.mark.parametrize("fill", FILLS)
def test_an_image_without_known_pixels_is_refused(fill):
    hole = np.zeros([2, 4, 5, 1])
    hole[1] = 1.0
    with pytest.raises(ValueError, match="known pixels in every image.*covers all of an image"):
        fill(np.zeros([2, 4, 5, 3]), hole)


def test_the_mean_is_that_of_the_known_pixels():
    image, hole = random_case(0.5)
    made = fills.mean_colour(image, hole)
    for item in range(3):
        known = [image[item, y, x] for y in range(9) for x in range(12) if hole[item, y, x, 0] == 0]
        y, x = np.argwhere(hole[item, ..., 0] == 1)[0]
        np.testing.assert_allclose(made[item, y, x], sum(known) / len(known), rtol=1e-12)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99, 1.0])
def test_no_known_pixel_is_nearer_than_the_one_taken(share):
    """Columns and rows without a known pixel included."""
    image, hole = random_case(share)
    made = fills.nearest_known(image, hole)
    for item in range(3):
        known = np.argwhere(hole[item, ..., 0] == 0)
        for y, x in np.ndindex(9, 12):
            squares = ((known - [y, x]) ** 2).sum(axis=1)
            colours = [tuple(image[item, i, j]) for i, j in known[squares == squares.min()]]
            assert tuple(made[item, y, x]) in colours


def test_a_hole_in_a_ramp_is_filled_with_the_ramp():
    """Linear functions and products of coordinates are harmonic, on the grid too."""
    y, x = np.mgrid[:24, :20]
    ramps = [0.05 * x - 0.03 * y, 0.001 * x * y - 0.2, 0.002 * (x**2 - y**2)]
    image = np.stack(ramps, axis=-1)[None]
    hole = rectangle(24, 20, (5, 17), (4, 15))
    hole[0, 2:4, 8:12] = 1
    made = fills.harmonic(image * (1 - hole), hole)
    np.testing.assert_allclose(made, image, atol=1e-3)


def test_every_filled_pixel_is_the_mean_of_its_neighbours():
    """At the edge of the image, those that there are."""
    image, hole = random_case(0.8)
    hole[0, :5, :5] = hole[1, 6:, :] = 1.0
    made = fills.harmonic(image, hole)
    for item, row, column, _ in np.argwhere(hole):
        places = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        near = [made[item, i, j] for i, j in places if 0 <= i < 9 and 0 <= j < 12]
        np.testing.assert_allclose(made[item, row, column], np.mean(near, axis=0), atol=1e-5)


def test_a_half_without_known_pixels_continues_the_border():
    """Beyond the last known column no value pulls elsewhere: it is carried to the edge."""
    image = RNG.uniform(-1, 1, (1, 1, 8, 3))
    made = fills.harmonic(image, rectangle(1, 8, (0, 1), (5, 8)))
    np.testing.assert_allclose(made[0, 0, 5:], np.repeat(image[0, :, 4], 3, axis=0), atol=1e-4)
