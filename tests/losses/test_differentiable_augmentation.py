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


def after_moves(images, **settings):
    moves = differentiable_augmentation.draw_moves(images, SEED, **settings)
    return moves.apply(tf.constant(images)).numpy()


def test_translation_moves_each_image_by_whole_pixels():
    out = after_moves(IMAGES, translation=0.25)
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
    out = after_moves(np.tile(IMAGES[:1], [500, 1, 1, 1]), translation=0.125)
    expected = {moved(IMAGES[0], d, r).tobytes() for d in (-1, 0, 1) for r in (-2, -1, 0, 1, 2)}
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


# --- Moves of image and maps ------------------------------------------------------------------

CLASSES = RNG.integers(0, 4, (6, 8, 12)).astype("uint8")
PAIR = {
    "image": IMAGES,
    "label_map": CLASSES,
    "mask": np.eye(4, dtype="float32")[CLASSES],
    "hole": (CLASSES[..., None] > 1).astype("float32"),
    "label": np.arange(6, dtype="int32"),
}
GEOMETRY = {"translation": 0.25, "flip": True, "scale": 0.3, "rotation": 40.0}
MOVES = [{name: value} for name, value in GEOMETRY.items()] + [GEOMETRY]


def geometric(**settings):
    return differentiable_augmentation.DifferentiableAugmentation(
        False, **{"translation": 0.0, "cutout": 0.0} | settings
    )


def sampled(image, rows, columns, smooth):
    """NumPy, pixel by pixel: the image at places, zero outside."""
    height, width = image.shape[:2]
    padded = np.pad(image.astype("f8"), ((height, height + 1), (width, width + 1), (0, 0)))
    out = np.zeros(image.shape)
    for index in np.ndindex(height, width):
        row, column = rows[index] + height, columns[index] + width
        if not (0 <= row < 3 * height - 1 and 0 <= column < 3 * width - 1):
            continue
        if not smooth:
            out[index] = padded[int(row + 0.5), int(column + 0.5)]
            continue
        top, left = int(row), int(column)
        for r, share in ((top, top + 1 - row), (top + 1, row - top)):
            out[index] += share * (left + 1 - column) * padded[r, left]
            out[index] += share * (column - left) * padded[r, left + 1]
    return out


@pytest.mark.parametrize("settings", MOVES, ids=lambda settings: "_".join(settings))
def test_maps_move_with_their_image(settings):
    given = {key: tf.constant(value) for key, value in PAIR.items()}
    out = {key: value.numpy() for key, value in geometric(**settings)(given, SEED).items()}
    places = differentiable_augmentation._split(SEED, 4)[1]
    asked = {"translation": 0.0, **settings}
    moves = differentiable_augmentation.draw_moves(given["image"], places, **asked)
    for b in range(6):
        rows, columns = moves.rows[b].numpy().astype("f8"), moves.columns[b].numpy().astype("f8")
        for key in ("image", "mask", "hole"):
            expected = sampled(PAIR[key][b], rows, columns, key == "image")
            np.testing.assert_allclose(out[key][b], expected, atol=2e-5, err_msg=key)
    lost = out["label_map"] == 255
    np.testing.assert_array_equal(out["mask"].sum(-1) == 0, lost)
    np.testing.assert_array_equal(out["mask"].argmax(-1)[~lost], out["label_map"][~lost])
    assert not np.array_equal(out["image"], IMAGES)
    np.testing.assert_array_equal(out["label"], PAIR["label"])
    assert all(out[key].dtype == PAIR[key].dtype for key in PAIR)


def test_the_affine_map_is_a_shift_after_a_turn_after_a_flip():
    """Distances in the moved image over those before are the drawn size; angles within reach."""
    images = np.zeros((400, 9, 9, 1), "float32")
    moves = differentiable_augmentation.draw_moves(
        images, SEED, translation=0.2, flip=True, scale=0.2, rotation=30.0
    )
    rows, columns = moves.rows.numpy(), moves.columns.numpy()
    along = np.stack([rows[:, 4, 5] - rows[:, 4, 4], columns[:, 4, 5] - columns[:, 4, 4]])
    down = np.stack([rows[:, 5, 4] - rows[:, 4, 4], columns[:, 5, 4] - columns[:, 4, 4]])
    sizes = -np.log2(np.hypot(*along))
    np.testing.assert_allclose(np.hypot(*down), np.hypot(*along), rtol=1e-4)
    assert abs(sizes.std() - 0.2) < 0.03 and abs(sizes.mean()) < 0.04
    mirrored = down[0] * along[1] - down[1] * along[0] < 0
    assert 0.4 < mirrored.mean() < 0.6
    angles = np.degrees(np.arctan2(down[1], down[0]))
    angles = np.where(np.abs(angles) > 90, np.abs(angles) - 180, angles)
    assert 25 < np.abs(angles).max() <= 30.01 and np.abs(angles.mean()) < 3
    # The middle of the image goes where whole pixels of a shift bring it.
    back = np.stack([rows, columns]).reshape(2, 400, -1)
    nearest = np.abs(back - 4).sum(0).argmin(1)
    shifts = np.stack(np.unravel_index(nearest, (9, 9))) - 4
    np.testing.assert_allclose(np.abs(back[:, np.arange(400), nearest] - 4).max(), 0, atol=1e-4)
    assert set(np.unique(shifts)) == {-2, -1, 0, 1, 2}


def test_real_and_fake_images_move_alike():
    augment = differentiable_augmentation.DifferentiableAugmentation(**GEOMETRY, probability=0.5)
    given = {key: tf.constant(value) for key, value in PAIR.items()}
    real = augment(given, SEED)
    fake = augment(given | {"image": -given["image"] * 0.5}, SEED)
    for key in ("mask", "label_map", "hole"):
        np.testing.assert_array_equal(real[key], fake[key])
    still = np.array([np.array_equal(a, b) for a, b in zip(real["image"], IMAGES, strict=True)])
    np.testing.assert_array_equal(
        still, [np.array_equal(a, -b / 2) for a, b in zip(fake["image"], IMAGES, strict=True)]
    )
    assert 0 < still.sum() < 6
    for index in np.nonzero(still)[0]:  # the coin is the image's, not the entry's
        np.testing.assert_array_equal(real["mask"][index], PAIR["mask"][index])


def test_the_probability_is_the_share_of_changed_images():
    images = np.tile(IMAGES[:1], [800, 1, 1, 1])
    augment = differentiable_augmentation.DifferentiableAugmentation(probability=0.3)
    out = changed(augment, tf.constant(images)).numpy()
    share = np.mean([not np.array_equal(image, IMAGES[0]) for image in out])
    assert abs(share - 0.3) < 4 * np.sqrt(0.21 / 800)


@pytest.mark.parametrize("settings", [GEOMETRY, {}], ids=["geometric", "default"])
def test_gradients_pass_twice(settings):
    """The gradient of the squared gradient, as R1 has it, against finite differences."""
    augment = differentiable_augmentation.DifferentiableAugmentation(**settings)
    direction = tf.constant(RNG.normal(size=IMAGES.shape), tf.float64)

    def penalty(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.reduce_sum(changed(augment, images) ** 3)
        return tf.reduce_sum(tape.gradient(score, images) ** 2)

    images = tf.constant(IMAGES, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = penalty(images)
    slope = tf.reduce_sum(tape.gradient(value, images) * direction)
    step = 1e-5
    ahead, behind = penalty(images + step * direction), penalty(images - step * direction)
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-5)


def test_everything_off_changes_nothing():
    augment = differentiable_augmentation.DifferentiableAugmentation(
        False, translation=0.0, cutout=0.0
    )
    np.testing.assert_array_equal(changed(augment, tf.constant(IMAGES)), IMAGES)
    assert augment.moves == ()
    assert differentiable_augmentation.DifferentiableAugmentation(translation=0.0).moves == ()
    for settings in MOVES:
        assert geometric(**settings).moves == differentiable_augmentation.MAPS


@pytest.mark.parametrize(
    "settings",
    [{"translation": -0.1}, {"cutout": 1.5}, {"probability": 2.0}, {"scale": -1}, {"rotation": -1}],
)
def test_settings_are_checked(settings):
    (name, value), *_ = settings.items()
    with pytest.raises(ValueError, match=f"shares of the side.*{name}={value}"):
        differentiable_augmentation.DifferentiableAugmentation(**settings)
