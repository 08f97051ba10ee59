"""Sliced Wasserstein distance: against a direct computation, and what it is sensitive to."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from metrics import image_quality
from metrics.distances import sliced_wasserstein

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256.0


def convolved(images, kernel=KERNEL):
    """With the image mirrored beyond its border, whose pixels are not repeated."""
    padded = tf.pad(images.astype(np.float32), [[0, 0], [2, 2], [2, 2], [0, 0]], "REFLECT")
    of_channels = np.repeat(kernel[..., None, None], 3, axis=2).astype(np.float32)
    return tf.nn.depthwise_conv2d(padded, of_channels, [1, 1, 1, 1], "VALID").numpy()


def photographs(count, seed, shape=(64, 48)):
    """Smooth random images, each of its own colours."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=[count, *shape, 3])
    smooth = 3.0 * functools.reduce(lambda x, _: convolved(x), range(6), noise)
    return np.clip(smooth + random.normal(0, 0.3, [count, 1, 1, 3]), -1, 1).astype(np.float32)


def distance(real, made, *, step=None, **settings):
    metric = sliced_wasserstein.SlicedWasserstein(**settings)
    for first in range(0, len(real), step or len(real)):
        part = slice(first, first + (step or len(real)))
        metric.update_state({"image": real[part]}, {"image": made[part]})
    return metric.result()


def test_levels_are_those_of_plain_convolutions_and_add_up_to_the_image():
    image = photographs(1, 0)
    whole, half = sliced_wasserstein.pyramid(image)[0], sliced_wasserstein.pyramid(image)[-1]
    expected = convolved(image)[:, ::2, ::2]
    np.testing.assert_allclose(half, expected, atol=1e-5)
    spread = np.zeros_like(image)
    spread[:, ::2, ::2] = half
    larger = convolved(spread, 4 * KERNEL)
    np.testing.assert_allclose(whole + larger, image, atol=1e-5)


def test_the_distance_of_one_level_by_hand():
    """On images of one patch, every place is the same."""
    random = np.random.default_rng(1)
    real, made = (random.integers(0, 256, [5, 7, 7, 3]).astype(np.uint8) for _ in range(2))
    found = distance(real, made, patches=1, directions=3)
    directions = np.random.default_rng(0).normal(size=[147, 3])
    directions /= np.linalg.norm(directions, axis=0)
    sides = []
    for images in (real, made):
        x = images.astype(np.float64)
        x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
        sides.append(np.sort(x.transpose(0, 3, 1, 2).reshape(5, 147) @ directions, axis=0))
    expected = 1000 * np.mean(np.abs(sides[0] - sides[1]))
    assert found == pytest.approx(
        {"sliced_wasserstein": expected, "sliced_wasserstein/7": expected}, rel=1e-5
    )


def test_zero_of_equal_images_and_repeatable_in_any_batches():
    real, made = photographs(6, 0), photographs(6, 1)
    assert set(distance(real, real).values()) == {0.0}
    assert distance(real, made, step=6) == distance(real, made, step=4)
    assert distance(real, made, seed=1) != distance(real, made)
    saved = image_quality.as_saved(made).astype(np.uint8)
    assert distance(real, saved) == distance(real, made)


def test_a_grid_shows_at_the_level_of_its_size():
    real, other = photographs(64, 0), photographs(64, 1)
    grid = other.copy()
    grid[:, ::4, ::4] += 0.25
    plain, with_grid = distance(real, other), distance(real, np.clip(grid, -1, 1))
    assert with_grid["sliced_wasserstein/48"] > 3 * plain["sliced_wasserstein/48"]
    coarse = "sliced_wasserstein/24"
    assert with_grid[coarse] == pytest.approx(plain[coarse], rel=0.02)
    assert with_grid["sliced_wasserstein"] > 1.5 * plain["sliced_wasserstein"]


def test_its_names_are_known_before_and_nothing_is_no_number():
    metric = sliced_wasserstein.SlicedWasserstein()
    spec = {"image": np.zeros([2, 64, 48, 3])}
    real = photographs(2, 0)
    assert metric.names(spec, 2) == list(distance(real, real))
    assert np.isnan(metric.result()["sliced_wasserstein"])


@pytest.mark.parametrize("settings", [{"patches": 0}, {"directions": 0}])
def test_wrong_settings(settings):
    with pytest.raises(ValueError, match=f"at least 1. Received: .*{list(settings)[0]}=0"):
        sliced_wasserstein.SlicedWasserstein(**settings)


def test_images_smaller_than_a_patch():
    small = np.zeros([1, 6, 40, 3], np.float32)
    with pytest.raises(ValueError, match=r"at least 7x7 .*\(1, 6, 40, 3\)"):
        distance(small, small)
