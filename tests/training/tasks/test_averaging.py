"""The averaged generator: its formula, its batch statistics, its settings."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import tiny_gan
from training.tasks import averaging


def test_the_average_follows_the_stated_formula():
    task = tiny_gan.make_task(averaging=averaging.WeightAveraging(0.5, start_step=2))
    expected = tiny_gan.snapshot(task.generator)
    for step in range(1, 6):
        task.train_step([tiny_gan.make_batch(step)], tf.constant([0, step]))
        task.after_step({})
        since = step - 2
        decay = min(0.5, (1 + since) / (10 + since)) if since > 0 else 0.0
        expected = [
            decay * e + (1 - decay) * w
            for e, w in zip(expected, tiny_gan.snapshot(task.generator), strict=True)
        ]
    averaged = task.state()["averaged_generator"]
    for a, e in zip(averaged.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), e, atol=1e-6)


def test_a_half_life_in_images_grows_with_the_images_seen():
    """As StyleGAN2-ADA: ema_beta = 0.5 ** (batch / min(half-life, 0.05 * images seen))."""
    task = tiny_gan.make_task(
        averaging=averaging.WeightAveraging(half_life_images=0.5, start_step=1), accumulate_steps=2
    )
    expected = tiny_gan.snapshot(task.generator)
    for step in range(1, 6):
        batches = [tiny_gan.make_batch(2 * step), tiny_gan.make_batch(2 * step + 1)]
        task.train_step(batches, tf.constant([0, step]))
        task.after_step({})
        images = 2 * len(batches[0]["image"])
        half_life = min(0.5, 0.05 * images * (step - 1))
        decay = 0.5 ** (images / half_life) if step > 1 else 0.0
        expected = [
            decay * e + (1 - decay) * w
            for e, w in zip(expected, tiny_gan.snapshot(task.generator), strict=True)
        ]
    averaged = task.state()["averaged_generator"].trainable_variables
    for a, e in zip(averaged, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), e, atol=1e-6)
    # Over many steps the average reaches back by the half-life, whatever the batch size.
    for images in (4, 40):
        long, since = averaging.WeightAveraging(half_life_images=1000), 10_000
        decays = [
            float(long._decay(tf.constant(float(since - i)), images)) for i in range(1000 // images)
        ]
        assert np.prod(decays) == pytest.approx(0.5, rel=1e-3)


def test_calibration_gives_the_weighted_mean_of_batch_statistics():
    """Against NumPy; and it depends on weights and batches alone."""
    task = tiny_gan.make_task(averaging=averaging.WeightAveraging(calibration_batches=3))
    network = task.state()["averaged_generator"]
    batches = [tiny_gan.make_batch(i) for i in range(5)]
    task.prepare_generation(batches)
    first = network.normalize.moving_mean.numpy(), network.normalize.moving_variance.numpy()
    task.prepare_generation(batches)
    np.testing.assert_array_equal(first[0], network.normalize.moving_mean.numpy())

    means, variances = [], []
    for number, batch in enumerate(batches[:3], start=1):
        fold = tf.random.experimental.stateless_fold_in
        noise = tf.random.stateless_normal([4, 5], fold(fold(tf.constant([0, number]), 0), 0))
        hidden = (
            batch["mask"].numpy() @ network.project.kernel.numpy()
            + (noise.numpy() @ network.style.kernel.numpy())[:, None, None]
        )
        means.append(hidden.mean((0, 1, 2)))
        variances.append(hidden.var((0, 1, 2)))
    weights = np.array([0.1 * 0.9**2, 0.1 * 0.9, 0.1]) / (1 - 0.9**3)
    np.testing.assert_allclose(first[0], weights @ np.array(means), atol=1e-5)
    np.testing.assert_allclose(first[1], weights @ np.array(variances), atol=1e-5)


def test_batches_that_break_leave_the_statistics_as_they_were():
    task = tiny_gan.make_task(averaging=averaging.WeightAveraging(calibration_batches=3))
    network = task.state()["averaged_generator"]
    task.prepare_generation([tiny_gan.make_batch(0)] * 3)
    before = network.normalize.moving_mean.numpy(), network.normalize.moving_variance.numpy()

    def breaking():
        yield tiny_gan.make_batch(1)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        task.prepare_generation(breaking())
    np.testing.assert_array_equal(network.normalize.moving_mean.numpy(), before[0])
    np.testing.assert_array_equal(network.normalize.moving_variance.numpy(), before[1])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"decay": 1.0}, r"decay must be in \[0, 1\).*decay=1.0"),
        ({"start_step": -1}, "start_step must be >= 0.*start_step=-1"),
        ({"calibration_batches": 0}, "calibration_batches=0"),
        ({"half_life_images": 0}, "positive number of images.*half_life_images=0"),
        ({"half_life_images": float("nan")}, "half_life_images=nan"),
    ],
)
def test_averaging_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        averaging.WeightAveraging(**settings)
