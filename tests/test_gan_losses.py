"""What a GAN minimises: both losses and ratios, regularization, augmentation."""

import numpy as np
import pytest
import tensorflow as tf

from losses import differentiable_augmentation, gradient_penalty
from tests import class_gan


@pytest.mark.parametrize(
    ("penalty", "ratio", "order"),
    [
        (None, 1, "g_then_d"),
        (None, 5, "d_then_g"),
        (gradient_penalty.GradientPenalty(), 1, "d_then_g"),
        (gradient_penalty.GradientPenalty(), 5, "g_then_d"),
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
    def shift(images, seed):
        offset = tf.random.stateless_uniform([], seed, 5.0, 6.0)
        return images + offset

    task, seen = class_gan.make_task(augment=shift), []
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


def test_an_augmentation_is_something_to_call():
    with pytest.raises(ValueError, match="Received: augment=True. For instance"):
        class_gan.make_task(augment=True)
