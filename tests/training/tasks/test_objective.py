"""What a GAN minimises: losses and ratios, regularization, augmentation, what terms declare."""

import numpy as np
import pytest
import tensorflow as tf

from losses import differentiable_augmentation, gradient_penalty, term
from tests.helpers import class_gan, tiny_gan
from training.tasks import objective


@pytest.mark.parametrize(
    ("penalty", "ratio", "order"),
    [
        (None, 1, "g_then_d"),
        pytest.param(None, 5, "d_then_g", marks=pytest.mark.slow),
        (gradient_penalty.GradientPenalty(), 1, "d_then_g"),
        pytest.param(gradient_penalty.GradientPenalty(), 5, "g_then_d", marks=pytest.mark.slow),
    ],
)
def test_both_losses_and_ratios_move_every_kernel(penalty, ratio, order):
    task = class_gan.make_task(penalty=penalty, discriminator_steps=ratio, update_order=order)
    networks = (task.generator, task.discriminator)
    before = [v.numpy() for network in networks for v in network.trainable_variables]
    step = tf.function(task.train_step)
    metrics = step([class_gan.make_batch(i) for i in range(ratio)], class_gan.SEED)
    assert all(np.isfinite(value) for value in metrics.values())
    after = [v for network in networks for v in network.trainable_variables]
    for old, new in zip(before, after, strict=True):
        assert old.ndim < 2 or not np.array_equal(old, new.numpy()), new.path


def test_the_orthogonal_loss_is_part_of_its_owners_total():
    task = class_gan.make_task()
    metrics = task.train_step([class_gan.make_batch()], class_gan.SEED)
    for owner in "gd":
        regularization = metrics[f"{owner}/regularization"]
        assert regularization > 0
        np.testing.assert_allclose(
            metrics[f"{owner}/total"], metrics[f"{owner}/adversarial"] + regularization, rtol=1e-6
        )
        np.testing.assert_allclose(
            regularization, 1e-3 * metrics[f"{owner}/orthogonality"], rtol=0.2
        )
    assert "g/regularization" not in class_gan.make_task(block=None).train_step(
        [class_gan.make_batch()], class_gan.SEED
    )


def test_the_discriminator_sees_augmented_images_only():
    class Shift(term.Augmentation):
        def __call__(self, inputs, seed):
            offset = tf.random.stateless_uniform([], seed, 5.0, 6.0)
            return inputs | {"image": inputs["image"] + offset}

    task, seen = class_gan.make_task(augment=Shift()), []
    class_gan.watch(task.discriminator, seen)
    batch = class_gan.make_batch()
    task.train_step([batch], class_gan.SEED)
    assert len(seen) == 2
    assert all((inputs["image"].numpy() > 3.9).all() for inputs in seen)
    assert float(tf.reduce_max(batch["image"])) <= 1.0


def test_the_generator_learns_through_the_augmentation():
    augment = differentiable_augmentation.DifferentiableAugmentation()
    task = class_gan.make_task(augment=augment)
    before = [variable.numpy() for variable in task.generator.trainable_variables]
    task.train_step([class_gan.make_batch()], class_gan.SEED)
    for old, new in zip(before, task.generator.trainable_variables, strict=True):
        assert old.ndim < 2 or not np.array_equal(old, new.numpy())


# The weight of the adversarial loss, and its late start.


class Distance(term.Term):
    """A term that reads nothing of the discriminator."""

    weight = 3.0
    needs = ("batch", "generated")

    def __call__(self, step):
        return tf.reduce_mean(tf.abs(step.batch["image"] - step.generated["image"]))


def late_task(**settings):
    return tiny_gan.make_task(
        objective=objective.Objective(
            tiny_gan.Saturating(),
            generator_terms={"l1": Distance(), "features": tiny_gan.FeatureDistance()},
            **settings,
        )
    )


def test_the_adversarial_loss_counts_with_its_weight():
    task = late_task(adversarial_weight=0.25)
    metrics = task.train_step([tiny_gan.make_batch()], tiny_gan.SEED)
    expected = 0.25 * metrics["g/adversarial"] + 3.0 * metrics["g/l1"] + 2.0 * metrics["g/features"]
    np.testing.assert_allclose(metrics["g/total"], expected, rtol=1e-6)


def test_before_its_start_the_generator_alone_moves_on_its_own_terms():
    task = late_task(adversarial_start_step=2)
    assert sorted(task.phases) == [0, 2]
    generator, discriminator = (tiny_gan.snapshot(n) for n in (task.generator, task.discriminator))
    metrics = task.phases[0]([tiny_gan.make_batch(i) for i in range(3)], tiny_gan.SEED)
    assert set(metrics) == {
        "g/l1", "g/total", "learning_rate/generator", "gradient_norm/generator",
    }  # fmt: skip
    np.testing.assert_allclose(metrics["g/total"], 3.0 * metrics["g/l1"], rtol=1e-6)
    assert any(tiny_gan.changed(generator, task.generator))
    assert not any(tiny_gan.changed(discriminator, task.discriminator))
    assert task.state()["step"].variables[0].numpy() == 1
    metrics = task.phases[2]([tiny_gan.make_batch()], tiny_gan.SEED)
    assert "g/adversarial" in metrics
    assert any(tiny_gan.changed(discriminator, task.discriminator))


def test_without_a_late_start_there_is_one_phase():
    task = tiny_gan.make_task()
    assert task.phases == {0: task.train_step}


@pytest.mark.parametrize(
    "settings",
    [
        {"adversarial_start_step": -1, "generator_terms": {"l1": Distance()}},
        {"adversarial_start_step": 5},
        {"adversarial_start_step": 5, "generator_terms": {"f": tiny_gan.FeatureDistance()}},
    ],
)
def test_a_late_start_needs_something_to_train_on_before(settings):
    with pytest.raises(ValueError, match="reads nothing of the discriminator"):
        objective.Objective(tiny_gan.Saturating(), **settings)


def test_a_term_may_log_more_than_its_loss():
    class Both(term.Term):
        weight = 2.0

        def __call__(self, step):
            return {"loss": tf.constant(1.5), "gradient_norm": tf.constant(7.0)}

    task = tiny_gan.make_task(
        objective=objective.Objective(tiny_gan.Saturating(), discriminator_terms={"both": Both()})
    )
    metrics = task.train_step([tiny_gan.make_batch()], tiny_gan.SEED)
    assert (metrics["d/both"], metrics["d/gradient_norm"]) == (1.5, 7.0)
    np.testing.assert_allclose(metrics["d/total"], metrics["d/adversarial"] + 3.0, rtol=1e-6)


def test_an_augmentation_is_something_to_call():
    with pytest.raises(ValueError, match="Received: augment=True. For instance"):
        class_gan.make_task(augment=True)
