"""Lazy terms: when they are due, what they add up to, and what becomes of the optimizer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import gradient_penalty, lecam, term
from tests.helpers import tiny_gan
from training.loop import schedules
from training.tasks import objective, updates


class Nothing(term.AdversarialLoss):
    """An adversarial loss whose gradients are zero, so that what is left is that of a term."""

    def discriminator(self, step):
        return 0.0 * tf.reduce_sum(step.real.outputs["logits"][0])

    def generator(self, step):
        return 0.0 * tf.reduce_sum(step.fake.outputs["logits"][0])


def penalised(every, **settings):
    terms = {"r1": gradient_penalty.R1(2.0, every=every)}
    chosen = objective.Objective(Nothing(), discriminator_terms=terms)
    return tiny_gan.make_task(objective=chosen, **settings)


def train(task, steps, first=0):
    """Steps as the loop makes them; returns the metrics of each."""
    history = []
    for number in range(first, first + steps):
        due = tuple(every for every in task.intervals if number % every == 0)
        batches = [tiny_gan.make_batch(number)] * task.batches_per_step
        history.append(task.train_step(batches, tf.constant([0, number]), due))
        task.after_step(history[-1])
    return history


def test_over_an_interval_the_gradient_is_that_of_the_penalty_in_each_step():
    """Plain gradient descent so slow that the penalty is the same throughout."""
    moved = []
    for every in (1, 4):
        task = penalised(every, learning_rate=1e-4)
        before = tiny_gan.snapshot(task.discriminator)
        # The same images in each step: the expectation over batches is then this one batch.
        for number in range(4):
            due = (4,) if every == 4 and number == 0 else ()
            task.train_step([tiny_gan.make_batch(0)], tiny_gan.SEED, due)
        after = tiny_gan.snapshot(task.discriminator)
        moved.append([new - old for old, new in zip(before, after, strict=True)])
    assert max(np.abs(part).max() for part in moved[0]) > 1e-5
    for plain, lazy in zip(*moved, strict=True):
        np.testing.assert_allclose(lazy, plain, rtol=2e-2, atol=1e-7)


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_lazy_term_is_an_update_of_its_own_in_the_steps_that_its_interval_divides(ratio):
    task = penalised(3, discriminator_steps=ratio)
    assert task.intervals == (3,)
    history = train(task, 7)
    assert [number for number, metrics in enumerate(history) if "d/r1" in metrics] == [0, 3, 6]
    assert all("d/adversarial" in metrics for metrics in history)
    assert int(task.optimizers["discriminator"].iterations) == (7 + 3) * ratio
    assert int(task.optimizers["generator"].iterations) == 7
    assert int(task.state()["step"].variables[0]) == 7


def test_terms_of_the_same_interval_share_an_update_and_intervals_add_up():
    terms = {
        "first": gradient_penalty.R1(1.0, every=2),
        "second": gradient_penalty.R1(3.0, every=2),
        "third": gradient_penalty.R1(1.0, every=4),
    }
    chosen = objective.Objective(tiny_gan.Saturating(), discriminator_terms=terms)
    task = tiny_gan.make_task(objective=chosen)
    assert task.intervals == (2, 4)
    history = train(task, 5)
    assert int(task.optimizers["discriminator"].iterations) == 5 + 3 + 2
    lazy = [{n for n in ("first", "second", "third") if f"d/{n}" in m} for m in history]
    both, all_three = {"first", "second"}, {"first", "second", "third"}
    assert lazy == [all_three, set(), both, set(), all_three]
    np.testing.assert_allclose(history[0]["d/first"], history[0]["d/second"])


def test_nothing_is_made_for_a_lazy_penalty():
    """R1 reads the real image alone: no fakes, no pass of both sides."""
    task = penalised(2, update_order="g_then_d")
    calls = {"generator": 0, "discriminator": []}
    make, judge = task._updates.make, task.discriminator.call

    def made(batch, seed, generate=True):
        calls["generator"] += bool(generate)
        return make(batch, seed, generate)

    def judged(inputs, training=False):
        calls["discriminator"].append(len(inputs["image"]))
        return judge(inputs, training=training)

    task._updates.make, task.discriminator.call = made, judged
    train(task, 1)
    assert calls == {"generator": 2, "discriminator": [4, 8, 4]}


# --- The optimizer ----------------------------------------------------------------------------


def test_adam_is_corrected_as_published():
    plain = keras.optimizers.Adam(0.002, beta_1=0.5, beta_2=0.99, epsilon=1e-8)
    lazy = updates.with_lazy_updates(plain, (16,))
    c = 16 / 17
    np.testing.assert_allclose(float(lazy.learning_rate), 0.002 * c, rtol=1e-6)
    np.testing.assert_allclose((lazy.beta_1, lazy.beta_2), (0.5**c, 0.99**c), rtol=1e-12)
    assert type(lazy) is keras.optimizers.Adam and lazy.epsilon == 1e-8
    assert updates.with_lazy_updates(keras.optimizers.Adam(beta_1=0.0), (4,)).beta_1 == 0.0
    two = updates.with_lazy_updates(plain, (4, 8))
    np.testing.assert_allclose(two.beta_2, 0.99 ** (1 / (1 + 1 / 4 + 1 / 8)))
    assert updates.with_lazy_updates(plain, ()) is plain
    descent = keras.optimizers.SGD(0.1)
    assert updates.with_lazy_updates(descent, (16,)) is descent


def test_a_schedule_ends_at_the_same_step_of_training():
    """Of 20 steps with a lazy update in every 4th, 25 updates; it reaches zero at their end."""
    line = schedules.ConstantThenLinear(0.01, end_step=20)
    lazy = updates.with_lazy_updates(keras.optimizers.Adam(line), (4,))
    rates = []
    for done in (0, 5, 15, 25):  # updates; 0, 4, 12, 20 steps
        lazy.iterations.assign(done)
        rates.append(float(lazy.learning_rate))
    expected = [0.8 * float(line(steps)) for steps in (0, 4, 12, 20)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-9)
    again = keras.optimizers.Adam.from_config(lazy.get_config())
    again.iterations.assign(15)
    np.testing.assert_allclose(float(again.learning_rate), rates[2], rtol=1e-6)


def test_the_task_corrects_the_optimizer_of_the_network_with_the_term():
    task = penalised(
        16, optimizers={name: keras.optimizers.Adam(1e-3) for name in objective.PREFIXES}
    )
    c = 16 / 17
    np.testing.assert_allclose(float(task.optimizers["discriminator"].learning_rate), 1e-3 * c)
    np.testing.assert_allclose(float(task.optimizers["generator"].learning_rate), 1e-3)


def test_an_interval_is_at_least_one_step():
    with pytest.raises(ValueError, match="at least 1, a step. Received: every=0"):
        gradient_penalty.R1(every=0)


# --- State ------------------------------------------------------------------------------------


def test_averages_move_once_a_step_and_are_part_of_the_state():
    chosen = objective.Objective(
        tiny_gan.Saturating(), discriminator_terms={"lecam": lecam.LeCam(decay=0.5, start_step=1)}
    )
    task = tiny_gan.make_task(objective=chosen, discriminator_steps=2)
    owner = task.state()["objective.discriminator_terms.lecam"]
    history = train(task, 3)
    averages, count = owner.variables
    assert int(count) == 3
    mean = 0.0
    for number, metrics in enumerate(history):
        score = float(metrics["d/logit_real_0"])
        mean = score if number == 0 else 0.5 * mean + 0.5 * score
    np.testing.assert_allclose(averages[0, 0], mean, rtol=1e-6)
    assert float(history[0]["d/lecam"]) == 0.0 < float(history[2]["d/lecam"])


def test_a_schedule_of_the_task_counts_training_steps_for_both_networks():
    line = schedules.ConstantThenLinear(1.0, end_step=8, constant_share=0.0)
    task = penalised(1, learning_rate=0.1, discriminator_steps=2, schedule=line)
    history = train(task, 8)
    for owner in ("generator", "discriminator"):
        rates = [float(metrics[f"learning_rate/{owner}"]) for metrics in history]
        np.testing.assert_allclose(rates, 0.1 * (1 - np.arange(1, 9) / 8), atol=1e-7)


def test_a_schedule_and_lazy_updates_of_adam_end_together():
    line = schedules.ConstantThenLinear(1.0, end_step=20, constant_share=0.0)
    adam = updates.with_schedule(keras.optimizers.Adam(0.1, beta_1=0.0), line, 2)
    assert adam.beta_1 == 0.0
    lazy = updates.with_lazy_updates(adam, (4,))
    for done, share in ((0, 1.0), (25, 0.5), (50, 0.0)):  # updates: 2 and a half in each step
        lazy.iterations.assign(done)
        np.testing.assert_allclose(float(lazy.learning_rate), 0.1 * 0.8 * share, atol=1e-8)
    assert updates.with_schedule(adam, None, 2) is adam
    with pytest.raises(ValueError, match="number as the learning rate.*Received: .*Rescaled"):
        updates.with_schedule(adam, line, 1)
