"""GANTask: who moves when, equal orders of computation, settings, noise."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import tiny_gan
from training.tasks import averaging, gan_checks


@pytest.mark.parametrize("order", gan_checks.UPDATE_ORDERS)
def test_each_network_moves_in_every_variable(order):
    task = tiny_gan.make_task(update_order=order)
    before = tiny_gan.snapshot(task.generator), tiny_gan.snapshot(task.discriminator)
    metrics = task.train_step([tiny_gan.make_batch()], tiny_gan.SEED)
    assert all(tiny_gan.changed(before[0], task.generator)) and all(
        tiny_gan.changed(before[1], task.discriminator)
    )
    assert set(metrics) == {
        "d/adversarial", "d/mean", "d/total",
        "g/adversarial", "g/distance", "g/total",
        "learning_rate/generator", "learning_rate/discriminator",
        "gradient_norm/generator", "gradient_norm/discriminator",
    }  # fmt: skip
    assert metrics["g/total"] == metrics["g/adversarial"] + 2.0 * metrics["g/distance"]
    assert metrics["d/total"] == metrics["d/adversarial"] + 0.5 * metrics["d/mean"]


def test_the_discriminator_step_moves_the_discriminator_alone():
    task = tiny_gan.make_task()
    before = tiny_gan.snapshot(task.generator), tiny_gan.snapshot(task.discriminator)
    batch = tiny_gan.make_batch()
    task._updates.update_discriminator([(batch, tiny_gan.SEED)], ())
    assert not any(tiny_gan.changed(before[0], task.generator))
    assert all(tiny_gan.changed(before[1], task.discriminator))


def test_the_generator_step_moves_the_generator_alone():
    task = tiny_gan.make_task()
    before = tiny_gan.snapshot(task.generator), tiny_gan.snapshot(task.discriminator)
    task._updates.update_generator([(tiny_gan.make_batch(), tiny_gan.SEED)], ())
    assert all(tiny_gan.changed(before[0], task.generator))
    assert not any(tiny_gan.changed(before[1], task.discriminator))


def test_the_shared_forward_equals_two_separate_passes():
    """d_then_g against the textbook order: a D step on G(z), then a G step on a new G(z)."""
    shared, separate = tiny_gan.make_task(), tiny_gan.make_task()
    batch = tiny_gan.make_batch()
    shared.train_step([batch], tiny_gan.SEED)
    inner = tf.random.experimental.stateless_fold_in(tiny_gan.SEED, 0)
    separate._updates.update_discriminator([(batch, inner)], ())
    separate._updates.update_generator([(batch, inner)], ())
    for network in ("generator", "discriminator"):
        for a, b in zip(
            tiny_gan.snapshot(getattr(shared, network)),
            tiny_gan.snapshot(getattr(separate, network)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_two_orders_differ():
    tasks = [tiny_gan.make_task(update_order=order) for order in gan_checks.UPDATE_ORDERS]
    for task in tasks:
        task.train_step([tiny_gan.make_batch()], tiny_gan.SEED)
    assert not np.allclose(*(tiny_gan.snapshot(t.generator)[0] for t in tasks))


@pytest.mark.parametrize("order", gan_checks.UPDATE_ORDERS)
def test_discriminator_steps_take_a_batch_each(order):
    task = tiny_gan.make_task(discriminator_steps=3, update_order=order)
    assert task.batches_per_step == 3
    task.train_step([tiny_gan.make_batch(i) for i in range(3)], tiny_gan.SEED)
    assert int(task.optimizers["discriminator"].iterations) == 3
    assert int(task.optimizers["generator"].iterations) == 1


def test_terms_can_be_left_out():
    task = tiny_gan.make_task(terms=False)
    assert task.objective.generator_terms == task.objective.discriminator_terms == {}
    assert "g/distance" not in task.train_step([tiny_gan.make_batch()], tiny_gan.SEED)


def test_a_step_is_a_function_of_its_seed():
    results = []
    for seed in (7, 7, 8):
        task = tiny_gan.make_task()
        task.train_step([tiny_gan.make_batch()], tf.constant([0, seed]))
        results.append(tiny_gan.snapshot(task.generator)[0])
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_missing_batch_entries_are_named():
    with pytest.raises(KeyError, match="TinyDiscriminator reads.*without \\['image'\\]"):
        tiny_gan.make_task(spec={"mask": tiny_gan.SPEC["mask"]})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"update_order": "both"}, "update_order must be one of.*'both'"),
        ({"discriminator_steps": 0}, "must be at least 1. Received: {'discriminator_steps': 0}"),
        ({"accumulate_steps": 0}, "must be at least 1. Received: {'accumulate_steps': 0}"),
        ({"optimizers": {"critic": None}}, r"an optimizer for each of .*of \['critic'\]"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_gan.make_task(**settings)


def test_a_variable_without_a_gradient_is_an_error():
    class Idle(tiny_gan.TinyGenerator):
        def call(self, inputs, training=False):
            return {"image": tf.tanh(self.project(inputs["mask"]))}

    task = tiny_gan.make_task(generator=Idle)
    with pytest.raises(ValueError, match="must receive a gradient.*none for"):
        task.train_step([tiny_gan.make_batch()], tiny_gan.SEED)


def test_seeded_noise_belongs_to_its_item():
    task = tiny_gan.make_task(averaging=averaging.WeightAveraging())
    batch = tiny_gan.make_batch(size=3)
    together = task.generate(batch, tf.constant([4, 5, 6]))["image"]
    alone = task.generate({k: v[1:2] for k, v in batch.items()}, tf.constant([5]))["image"]
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)
    assert set(task.previews(batch, tf.zeros([3], tf.int32))) == {"generated", "averaged"}
    assert set(tiny_gan.make_task().previews(batch, tf.zeros([3], tf.int32))) == {"generated"}


def test_the_discriminator_judges_each_item_and_nothing_moves():
    task, batch = tiny_gan.make_task(), tiny_gan.make_batch()
    before = [variable.numpy() for owner in task.state().values() for variable in owner.variables]
    judged = tf.function(task.judge)(batch, tf.range(4))
    made = task.generate(batch, tf.range(4))
    for name, image in (("logit_real", batch["image"]), ("logit_fake", made["image"])):
        logits = task.discriminator({"mask": batch["mask"], "image": image})["logits"][0]
        np.testing.assert_allclose(judged[name], np.mean(logits, (1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(judged["image"], made["image"], rtol=1e-5)
    after = [variable.numpy() for owner in task.state().values() for variable in owner.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert set(task.judge({"mask": batch["mask"]}, tf.range(4))) == set(made)
