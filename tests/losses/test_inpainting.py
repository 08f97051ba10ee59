"""Reconstruction terms and the masked gradient penalty against closed forms and NumPy loops."""

import numpy as np
import pytest
import tensorflow as tf

from losses import gradient_penalty, reconstruction
from losses import term as terms
from tests.helpers import term_step

RNG = np.random.default_rng(7)
IMAGE = RNG.uniform(-1, 1, (3, 8, 10, 3)).astype("float32")
PAINTED = RNG.uniform(-1, 1, (3, 8, 10, 3)).astype("float32")
HOLE = np.zeros((3, 8, 10, 1), "float32")
HOLE[0, 2:7, 3:9], HOLE[1, :3, :2], HOLE[1, 7, 9] = 1, 1, 1  # none in the third image


def term(*args, **kwargs):
    batch, generated = {"image": IMAGE, "hole": HOLE}, {"refined": PAINTED, "coarse": -PAINTED}
    return reconstruction.Reconstruction(*args, **kwargs)(terms.Step(batch, generated))


@pytest.mark.parametrize("output", ["coarse", "refined"])
@pytest.mark.parametrize("region", ["hole", "valid", "all"])
def test_reconstruction_is_the_mean_error_of_the_region(output, region):
    painted = PAINTED if output == "refined" else -PAINTED
    means = []
    for index in range(3):
        errors = []
        for i, j in np.ndindex(8, 10):
            missing = HOLE[index, i, j, 0] == 1
            if region == "all" or missing == (region == "hole"):
                errors += list(np.abs(IMAGE[index, i, j] - painted[index, i, j]).astype(float))
        means.append(np.mean(errors) if errors else 0.0)
    value = term(output, region=region)
    assert value.dtype == tf.float32 and value.shape == ()
    np.testing.assert_allclose(value, np.mean(means), rtol=1e-5)


def test_equal_holes_give_the_published_quotients():
    hole = np.repeat(HOLE[:1], 3, axis=0)
    batch, generated = {"image": IMAGE, "hole": hole}, {"refined": PAINTED}
    error = np.abs(IMAGE - PAINTED).astype("float64")
    crop = error[:, 2:7, 3:9].mean()
    valid = (error * (1 - hole)).mean() / (1 - hole).mean()
    for region, expected in (("hole", crop), ("valid", valid)):
        value = reconstruction.Reconstruction(region=region)(terms.Step(batch, generated))
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_images_without_known_pixels_and_half_precision_stay_finite():
    batch = {"image": IMAGE, "hole": np.ones_like(HOLE)}
    generated = {"refined": tf.cast(PAINTED, tf.float16)}
    for region in ("hole", "valid", "all"):
        value = reconstruction.Reconstruction(region=region)(terms.Step(batch, generated))
        assert value.dtype == tf.float32 and np.isfinite(value)
    discounted = reconstruction.Reconstruction(discount=0.9)(terms.Step(batch, generated))
    assert np.isfinite(discounted)


def test_distance_is_the_chessboard_distance():
    hole = (RNG.uniform(size=(4, 9, 7, 1)) < 0.85).astype("float32")
    hole[3] = 0
    distance = reconstruction.distance_to_known(tf.constant(hole)).numpy()
    for index, i, j in np.ndindex(4, 9, 7):
        known = np.argwhere(hole[index, :, :, 0] == 0)
        expected = np.abs(known - (i, j)).max(axis=1).min()
        assert distance[index, i, j, 0] == expected
    everything = reconstruction.distance_to_known(tf.ones((1, 5, 7, 1)))
    np.testing.assert_array_equal(everything, np.full((1, 5, 7, 1), 7.0))


@pytest.mark.parametrize(("height", "width"), [(5, 8), (6, 6), (1, 4)])
def test_discount_in_a_rectangle_is_the_papers(height, width):
    gamma = 0.9

    def published(rows, columns):
        return [
            [max(gamma ** min(i, rows - i), gamma ** min(j, columns - j)) for j in range(columns)]
            for i in range(rows)
        ]

    def discount(rows, columns):
        hole = np.zeros((1, rows + 4, columns + 5, 1), "float32")
        hole[0, 2 : rows + 2, 3 : columns + 3] = 1
        weights = reconstruction.spatial_discount(tf.constant(hole), gamma).numpy()
        np.testing.assert_array_equal(weights[hole == 0], 0)
        return weights[0, 2 : rows + 2, 3 : columns + 3, 0]

    # The published hole goes on for a row and a column that its weights leave out.
    larger = discount(height + 1, width + 1)[:height, :width]
    np.testing.assert_allclose(larger, published(height, width), rtol=1e-6)
    symmetric = [
        [max(gamma ** min(i, height - 1 - i), gamma ** min(j, width - 1 - j)) for j in range(width)]
        for i in range(height)
    ]
    np.testing.assert_allclose(discount(height, width), symmetric, rtol=1e-6)


def test_discounted_reconstruction_weighs_the_errors():
    weights = reconstruction.spatial_discount(tf.constant(HOLE), 0.8).numpy().astype("float64")
    error = np.abs(IMAGE - PAINTED).astype("float64")
    pixels = np.maximum(HOLE.sum((1, 2, 3)), 1)
    expected = ((error * weights).sum((1, 2, 3)) / (3 * pixels)).mean()
    np.testing.assert_allclose(term(discount=0.8), expected, rtol=1e-5)
    np.testing.assert_allclose(term(discount=1.0), term(), rtol=1e-6)


def test_reconstruction_in_a_graph_moves_the_output_alone():
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 10, 3))])
    def gradient(painted):
        with tf.GradientTape() as tape:
            tape.watch(painted)
            loss = reconstruction.Reconstruction(discount=0.9)(
                terms.Step({"image": IMAGE, "hole": HOLE}, {"refined": painted})
            )
        return tape.gradient(loss, painted)

    weights = reconstruction.spatial_discount(tf.constant(HOLE), 0.9).numpy()
    pixels = np.maximum(HOLE.sum((1, 2, 3), keepdims=True), 1)
    expected = np.sign(PAINTED - IMAGE) * weights / (3 * pixels) / 3
    np.testing.assert_allclose(gradient(tf.constant(PAINTED)), expected, atol=1e-7)


def test_impossible_terms_are_refused():
    with pytest.raises(ValueError, match="one of the regions.*Received: region=rim"):
        reconstruction.Reconstruction(region="rim")
    for settings in ({"discount": 0.0}, {"discount": 1.1}, {"discount": 0.9, "region": "all"}):
        with pytest.raises(ValueError, match="for the hole alone. Received: discount="):
            reconstruction.Reconstruction(**settings)
    with pytest.raises(ValueError, match='returns "coarse" .*Received: outputs=.*refined'):
        reconstruction.Reconstruction("coarse")(
            terms.Step({"image": IMAGE, "hole": HOLE}, {"refined": PAINTED})
        )
    with pytest.raises(ValueError, match='a batch with "hole", .*Received: .*batch=.*image'):
        reconstruction.Reconstruction()(terms.Step({"image": IMAGE}, {"refined": PAINTED}))


def penalty(critic, **kwargs):
    fake = np.where(HOLE == 1, PAINTED, IMAGE)
    step = term_step.with_images(critic, IMAGE, fake, seed=(3, 4), **kwargs)
    return gradient_penalty.MaskedGradientPenalty()(step)


def test_masked_penalty_of_linear_critics():
    """D_k(x) = <w_k, x> has the gradient w_k everywhere, at any point between real and fake."""
    first, second = RNG.normal(0, 0.1, (2, 8, 10, 3))
    constants = [tf.constant(weights, tf.float32) for weights in (first, second)]

    def critic(image):
        scores = [tf.reduce_sum(image * weights, axis=[1, 2, 3]) for weights in constants]
        return {"logits": [scores[0][:, None], scores[1]]}

    norms = [
        np.sqrt((weights**2 * hole).sum() + 1e-12) for weights in (first, second) for hole in HOLE
    ]
    value = penalty(critic, hole=HOLE)
    assert set(value) == {"loss", "gradient_norm"}
    np.testing.assert_allclose(value["loss"], np.mean((np.array(norms) - 1) ** 2), rtol=1e-5)
    np.testing.assert_allclose(value["gradient_norm"], np.mean(norms), rtol=1e-5)


def test_masked_penalty_moves_the_weights_as_its_derivative_says():
    weights = tf.constant(RNG.normal(0, 0.1, (8, 10, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(weights)

        def critic(image):
            return {"logits": [tf.reduce_sum(image * weights, axis=[1, 2, 3], keepdims=True)]}

        loss = penalty(critic, hole=HOLE)["loss"]
    expected = np.zeros((8, 10, 3))
    for hole in HOLE.astype("float64"):
        masked = weights.numpy() * hole
        norm = np.sqrt((masked**2).sum() + 1e-12)
        expected += 2 * (norm - 1) * masked / norm / 3
    np.testing.assert_allclose(tape.gradient(loss, weights), expected, atol=1e-6)


def test_masked_penalty_of_a_patch_map_takes_its_mean():
    """D = c x mean over 80 positions and 3 channels: each pixel's gradient is c / 240."""
    value = penalty(lambda image: {"logits": [24.0 * image]}, hole=HOLE)
    norms = [np.sqrt(3 * hole.sum() * 0.1**2 + 1e-12) for hole in HOLE]
    np.testing.assert_allclose(value["gradient_norm"], np.mean(norms), rtol=1e-5)


def test_masked_penalty_needs_a_hole():
    with pytest.raises(ValueError, match="Received: hole=None"):
        penalty(lambda image: {"logits": [image]})
