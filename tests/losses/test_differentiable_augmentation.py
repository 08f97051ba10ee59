"""Each change of an image against NumPy, and what all of them share."""

import numpy as np
import pytest
import tensorflow as tf

from losses import differentiable_augmentation

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (6, 8, 12, 3)).astype("float32")
SEED = tf.constant([3, 4])


def changed(augment, images, seed=SEED):
    """The images after an augmentation, which leaves other entries alone."""
    result = augment({"image": images, "label": None}, seed)
    assert set(result) == {"image", "label"}
    return result["image"]


def moved(image, down, right):
    """The image shifted by whole pixels, zeros where nothing was."""
    out = np.zeros_like(image)
    height, width = image.shape[:2]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                out[row, column] = image[row - down, column - right]
    return out


def test_translation_moves_each_image_by_whole_pixels():
    out = differentiable_augmentation.translate(tf.constant(IMAGES), SEED, 0.25).numpy()
    shifts = set()
    for image, result in zip(IMAGES, out, strict=True):
        fits = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.array_equal(moved(image, down, right), result)
        ]
        assert len(fits) == 1
        shifts |= set(fits)
    assert len(shifts) > 1


def test_all_shifts_occur():
    images = tf.tile(tf.constant(IMAGES[:1]), [500, 1, 1, 1])
    out = differentiable_augmentation.translate(images, SEED, 0.125).numpy()
    expected = {moved(IMAGES[0], d, r).tobytes() for d in (-1, 0, 1) for r in (-2, -1, 0, 1, 2)}
    out = out + 0.0  # -0.0, which a mask makes, becomes 0.0
    assert {image.tobytes() for image in out} == expected


@pytest.mark.parametrize("ratio", [0.5, 0.4, 1.0])
def test_cutout_zeroes_one_rectangle(ratio):
    images = tf.ones([400, 8, 12, 3])
    out = differentiable_augmentation.cut_out(images, SEED, ratio).numpy()
    height, width = int(8 * ratio + 0.5), int(12 * ratio + 0.5)
    sizes = set()
    for image in out:
        rows = np.nonzero((image == 0).any((1, 2)))[0]
        columns = np.nonzero((image == 0).any((0, 2)))[0]
        hole = np.zeros((8, 12), bool)
        hole[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        np.testing.assert_array_equal(image == 0, np.repeat(hole[:, :, None], 3, 2))
        sizes.add((len(rows), len(columns)))
    assert max(rows for rows, _ in sizes) == height and max(c for _, c in sizes) == width
    assert min(rows for rows, _ in sizes) == (height + 1) // 2  # half over the border


def test_colors_are_brightness_saturation_contrast():
    out = differentiable_augmentation.jitter_colors(tf.constant(IMAGES), SEED).numpy()
    for image, result in zip(IMAGES.astype("float64"), out, strict=True):
        # Deviations from grey scale by saturation * contrast, grey around its mean by contrast.
        grey, result_grey = image.mean(-1, keepdims=True), result.mean(-1, keepdims=True)
        contrast = (result_grey - result_grey.mean()) / (grey - grey.mean())
        both = (result - result_grey) / (image - grey)
        assert 0.5 < np.median(contrast) < 1.5
        np.testing.assert_allclose(contrast, np.median(contrast), rtol=1e-2)
        assert 0 < np.median(both) / np.median(contrast) < 2
        assert abs(result.mean() - image.mean()) < 0.5
        rebuilt = image.mean() + (result.mean() - image.mean())
        rebuilt = rebuilt + np.median(contrast) * (grey - grey.mean())
        rebuilt = rebuilt + np.median(both) * (image - grey)
        np.testing.assert_allclose(result, rebuilt, atol=1e-4)


def test_reproducible_by_seed_and_different_between_images():
    augment = differentiable_augmentation.DifferentiableAugmentation()
    images = tf.tile(tf.constant(IMAGES[:1]), [6, 1, 1, 1])
    first = changed(augment, images).numpy()
    np.testing.assert_array_equal(changed(augment, images), first)
    assert len({image.tobytes() for image in first}) == 6
    assert np.abs(changed(augment, images, SEED + 1) - first).max() > 0.1


def test_gradients_pass():
    augment = differentiable_augmentation.DifferentiableAugmentation()
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        out = tf.reduce_sum(changed(augment, images) ** 2)
    gradient = tape.gradient(out, images).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max((1, 2, 3)).min() > 0.1


def test_everything_off_changes_nothing():
    augment = differentiable_augmentation.DifferentiableAugmentation(
        False, translation=0.0, cutout=0.0
    )
    np.testing.assert_array_equal(changed(augment, tf.constant(IMAGES)), IMAGES)
    assert augment.moves == ()
    for settings in ({"translation": 0.0}, {"cutout": 0.0}):
        some = differentiable_augmentation.DifferentiableAugmentation(**settings)
        assert some.moves == ("image",)


@pytest.mark.parametrize("settings", [{"translation": -0.1}, {"cutout": 1.5}])
def test_settings_are_checked(settings):
    (name, value), *_ = settings.items()
    with pytest.raises(ValueError, match=f"shares of the side.*{name}={value}"):
        differentiable_augmentation.DifferentiableAugmentation(**settings)
