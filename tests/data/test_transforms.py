"""Resize, crop and flip: one geometry for photograph and label map, against NumPy."""

import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import transforms

SEED = tf.constant([3, 5], tf.int64)


def linked(height, width):
    """A photograph whose red channel is the label map, so that shared geometry can be seen."""
    ids = np.arange(height * width, dtype=np.int64).reshape(height, width) % 251
    ids = ids.astype(np.uint8)
    image = np.stack([ids, ids // 2, 255 - ids], axis=-1)
    return {"image": tf.constant(image), "label_map": tf.constant(ids)}


def assert_linked(example):
    np.testing.assert_array_equal(example["image"][..., 0], example["label_map"])


@pytest.mark.parametrize("size", [(6, 9), (5, 4), (20, 33), (10, 15)])
def test_nearest_takes_the_pixel_under_the_centre(size):
    ids = linked(10, 15)["label_map"].numpy()
    expected = np.empty(size, np.uint8)
    for y in range(size[0]):
        for x in range(size[1]):
            source_y = int(np.floor((y + 0.5) * 10 / size[0]))
            source_x = int(np.floor((x + 0.5) * 15 / size[1]))
            expected[y, x] = ids[source_y, source_x]
    np.testing.assert_array_equal(transforms.Resize().label_map(tf.constant(ids), size), expected)


@pytest.mark.parametrize("photo_filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(16, 20), (60, 90), (10, 120)])
def test_photographs_are_resized_as_pillow_does(photo_filter, size):
    """Pillow's filters are antialiased and use the same pixel centres."""
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    photo = np.asarray(Image.fromarray(smooth).resize((64, 48), Image.Resampling.BICUBIC))
    kind = getattr(Image.Resampling, photo_filter.upper())
    expected = np.asarray(Image.fromarray(photo).resize(size[::-1], kind)).astype(int)
    resize = transforms.Resize(photo_filter=photo_filter)
    found = resize.photo(tf.constant(photo), size).numpy().astype(int)
    assert np.abs(found - expected).max() <= 2 and np.abs(found - expected).mean() < 0.4
    assert found.shape == (*size, 3)


def test_unchanged_size_leaves_every_byte():
    example = linked(12, 10)
    np.testing.assert_array_equal(
        transforms.Resize().photo(example["image"], (12, 10)), example["image"]
    )


@pytest.mark.parametrize(
    ("found", "wanted", "cut"),
    [((10, 20), (5, 5), (0, 5, 10, 10)), ((20, 10), (4, 8), (7, 0, 5, 10)),
     ((10, 20), (10, 20), (0, 0, 10, 20)), ((9, 12), (3, 4), (0, 0, 9, 12))],
)  # fmt: skip
def test_aspect_ratio_is_kept_by_cutting_the_ends(found, wanted, cut):
    example = linked(*found)
    top, left, height, width = cut
    resize = transforms.Resize(keep_aspect_ratio=True)
    window = example["label_map"][top : top + height, left : left + width]
    np.testing.assert_array_equal(
        resize.label_map(example["label_map"], wanted),
        transforms.Resize().label_map(window, wanted),
    )
    window = example["image"][top : top + height, left : left + width]
    np.testing.assert_array_equal(
        resize.photo(example["image"], wanted), transforms.Resize().photo(window, wanted)
    )


def test_crop_is_shared_inside_and_reaches_every_corner():
    augment = transforms.RandomCrop([3, 5])
    corners = set()
    for i in range(200):
        example = linked(5, 7)
        cut = augment(example, tf.constant([0, i], tf.int64))
        assert cut["image"].shape == (3, 5, 3)
        assert_linked(cut)
        top, left = divmod(int(cut["label_map"][0, 0]), 7)
        np.testing.assert_array_equal(
            cut["label_map"], example["label_map"][top : top + 3, left : left + 5]
        )
        corners.add((top, left))
    assert corners == {(y, x) for y in range(3) for x in range(3)}


def test_crop_of_the_whole_is_the_whole_and_too_large_is_refused():
    example = linked(5, 7)
    assert transforms.RandomCrop([5, 7])(example, SEED) is example
    with pytest.raises(ValueError, match=r"must fit into the loaded image \(5x7\).*size=\[6, 7\]"):
        transforms.RandomCrop([6, 7])(example, SEED)
    with pytest.raises(ValueError, match=r"zoom=\(0.5, 1.5\)"):
        transforms.RandomCrop([5, 5], zoom=[0.5, 1.5])(example, SEED)


def windows(ids, found):
    """(top, left, height, width) of each window of `ids` that `found` is, by the nearest pixel."""
    for top, left, height, width in np.ndindex(7, 8, 7, 10):
        part = ids[top : top + height, left : left + width]
        if part.shape == (height, width) and part.size:
            rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int)
                             for n, m in zip(found.shape, part.shape, strict=True))  # fmt: skip
            if np.array_equal(part[np.ix_(rows, columns)], found):
                yield top, left, height, width


def test_zoomed_crops_are_shared_windows_of_other_sizes():
    augment, heights = transforms.RandomCrop([4, 6], zoom=[0.5, 1.5]), set()
    example = linked(8, 10)
    example |= {"hole": example["label_map"][..., None], "label": tf.constant(3)}
    image, ids = (example[key].numpy() for key in ("image", "label_map"))
    for number in range(25):
        out = augment(example, SEED + number)
        shapes = {"image": (4, 6, 3), "label_map": (4, 6), "hole": (4, 6, 1), "label": ()}
        assert {key: value.shape for key, value in out.items()} == shapes
        assert {key: v.dtype for key, v in out.items()} == {k: v.dtype for k, v in example.items()}
        ((top, left, height, width),) = windows(ids, out["label_map"].numpy())
        expected = tf.image.resize(image[top : top + height, left : left + width], [4, 6])
        assert np.abs(expected - tf.cast(out["image"], tf.float32)).max() <= 0.5
        np.testing.assert_array_equal(out["hole"][..., 0], out["label_map"])
        heights.add(height)
    assert heights == {2, 3, 4, 5, 6}
    whole = transforms.RandomCrop([8, 10], zoom=[1.0, 1.0])(example, SEED)
    np.testing.assert_array_equal(whole["image"], image)


@pytest.mark.parametrize("zoom", [[0.0, 1.0], [1.2, 0.8], [1.0]])
def test_a_zoom_is_a_range(zoom):
    with pytest.raises(ValueError, match=re.escape(f"Received: zoom={zoom}")):
        transforms.RandomCrop([4, 4], zoom)


def test_flip_is_shared_and_as_frequent_as_asked():
    augment = transforms.RandomFlip(0.25)
    example = linked(4, 6) | {"label": tf.constant(3)}
    flipped = 0
    for i in range(400):
        result = augment(example, tf.constant([1, i], tf.int64))
        assert_linked(result)
        assert int(result["label"]) == 3
        mirrored = np.array_equal(result["label_map"], example["label_map"].numpy()[:, ::-1])
        assert mirrored or np.array_equal(result["label_map"], example["label_map"])
        flipped += mirrored
    assert abs(flipped - 100) < 3 * np.sqrt(400 * 0.25 * 0.75)
    for probability, expected in ((0, example["image"]), (1, example["image"][:, ::-1])):
        always = transforms.RandomFlip(probability)(example, SEED)
        np.testing.assert_array_equal(always["image"], expected)


def test_brightness_and_contrast_change_the_photograph_alone():
    example = linked(6, 6)
    result = transforms.RandomBrightnessContrast(0.2, 0.3)(example, SEED)
    np.testing.assert_array_equal(result["label_map"], example["label_map"])
    contrast, brightness = tf.random.stateless_uniform([2], SEED, -1.0, 1.0).numpy()
    image = example["image"].numpy().astype(float)
    expected = (image - 127.5) * (1 + 0.3 * contrast) + 127.5 + 255 * 0.2 * brightness
    expected = np.clip(np.round(expected), 0, 255)
    assert np.abs(result["image"].numpy() - expected).max() <= 1
    same = transforms.RandomBrightnessContrast(0, 0)(example, SEED)
    np.testing.assert_array_equal(same["image"], example["image"])


def test_augmentations_repeat_with_their_seed():
    for augment in (transforms.RandomCrop([3, 3]), transforms.RandomFlip(),
                    transforms.RandomBrightnessContrast()):  # fmt: skip
        first, second = augment(linked(5, 5), SEED), augment(linked(5, 5), SEED)
        np.testing.assert_array_equal(first["image"], second["image"])


def test_center_crop():
    example = linked(6, 9)
    cut = transforms.center_crop(example, (3, 4))
    np.testing.assert_array_equal(cut["label_map"], example["label_map"][1:4, 2:6])
    assert_linked(cut)
    assert transforms.center_crop(example, (6, 9)) is example


def test_scaling():
    levels = np.arange(256, dtype=np.uint8)
    scaled = transforms.to_unit_range(tf.constant(levels)).numpy()
    np.testing.assert_allclose(scaled, levels / 127.5 - 1, atol=2e-7)
    assert scaled[0] == -1 and scaled[-1] == 1


@pytest.mark.parametrize("size", [[0, 4], [4], [4, 4, 4], 4, [4.0, 4], None, [4, -1]])
def test_sizes_are_two_positive_integers(size):
    with pytest.raises(ValueError, match=r"`size` must be \[height, width\]"):
        transforms.checked_size("size", size)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`photo_filter` must be one of"):
        transforms.Resize(photo_filter="nearest")
    with pytest.raises(ValueError, match="data.resize.evaluate='middle'"):
        transforms.Resize(evaluate="middle")
    with pytest.raises(ValueError, match="`probability` must lie in 0..1"):
        transforms.RandomFlip(1.5)
    with pytest.raises(ValueError, match="`brightness` and `contrast` must lie in 0..1"):
        transforms.RandomBrightnessContrast(2.0)
