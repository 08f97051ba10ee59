"""Runs that are not finite at a batch go back and pass over it, or give up and say so."""

import contextlib
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import distribution, tiny_gan
from tests.training.loop import test_trainer
from tests.training.loop.test_trainer import FiveLineTask, fit, lines, total
from training.loop import failures, trainer
from training.runs import checkpoint, run_folder
from training.tasks import averaging
from training.watch import summaries


class Poisoned(FiveLineTask):
    """Loss and state are not finite after a batch that holds one of these numbers."""

    def __init__(self, *bad, batches_per_step=1, shows=True):
        super().__init__()
        self.bad, self.batches_per_step, self.shows = bad, batches_per_step, shows

    def train_step(self, batches, seed, due=()):
        seen = tf.concat([batch["x"] for batch in batches], 0)
        wrong = tf.reduce_any([tf.reduce_any(seen == number) for number in self.bad])
        metrics = super().train_step(batches, seed, due)
        self.variables[0].assign(tf.where(wrong, np.nan, self.variables[0]))
        value = tf.where(wrong & self.shows, np.nan, metrics["g/total"])
        return {"g/total": value}


def expected_total(steps, batches_per_step, skipped):
    """By a plain loop over the batches that are left."""
    places = [place for place in range(steps + len(skipped)) if place not in skipped]
    size, running = test_trainer.BATCH_SIZE * batches_per_step, np.float32(0)
    for step, place in enumerate(places[:steps]):
        noise = tf.random.stateless_uniform([], tf.constant([3, step])).numpy()
        running += np.float32(np.sum(np.arange(place * size, (place + 1) * size)) * noise)
    return running


@pytest.mark.parametrize("batches_per_step", [1, 2])
@pytest.mark.parametrize("steps_per_call", [1, 3])
def test_a_run_passes_over_the_batches_of_bad_steps(
    tmp_path, caplog, steps_per_call, batches_per_step
):
    size = test_trainer.BATCH_SIZE * batches_per_step
    bad = (7 * size, 8 * size, 1 * size)  # before the first checkpoint, and two in a row
    task = Poisoned(*bad, batches_per_step=batches_per_step)
    settings = {"on_nonfinite": "rollback", "steps_per_call": steps_per_call}
    store, run, stopped = fit(tmp_path / "run", task, **settings)
    assert stopped == 0 and store.steps() == [0, 5, 10, 12]
    found = task.variables[0].numpy()
    np.testing.assert_allclose(found, expected_total(12, batches_per_step, {1, 7, 8}), rtol=1e-5)
    assert [line["step"] for line in lines(run)] == [4, 8, 12]
    records = json.loads(run.rollbacks.read_text())
    assert [(r["step"], r["restored"], r["skipped"]) for r in records] == [
        (2, 0, 1), (7, 5, 7), (7, 5, 8),
    ]  # fmt: skip
    assert f"photo_{7 * batches_per_step}_0" in records[1]["reason"]
    assert f"photo_{8 * batches_per_step}_0" in records[2]["reason"]
    assert "Back at step 5; the batches of step 7" in caplog.text


def test_a_resumed_run_passes_over_the_same_batches(tmp_path):
    whole, first, second = (Poisoned(2.0, 14.0, 20.0) for _ in range(3))
    fit(tmp_path / "whole", whole, on_nonfinite="rollback")
    fit(tmp_path / "parts", first, steps=9, on_nonfinite="rollback")
    checkpoint.CheckpointStore(tmp_path / "parts" / "checkpoints").drop(9)  # as if it was killed
    store, run, _ = fit(tmp_path / "parts", second, on_nonfinite="rollback")
    assert total(second) == total(whole)
    whole_run = run_folder.RunFolder(tmp_path / "whole")
    assert json.loads(run.rollbacks.read_text()) == json.loads(whole_run.rollbacks.read_text())


def test_a_state_that_cannot_be_saved_is_rolled_back_too(tmp_path):
    task = Poisoned(9 * 2.0, shows=False)
    store, run, _ = fit(tmp_path / "run", task, on_nonfinite="rollback")
    assert store.steps() == [0, 5, 10, 12]
    np.testing.assert_allclose(task.variables[0].numpy(), expected_total(12, 1, {9}), rtol=1e-5)
    (record,) = json.loads(run.rollbacks.read_text())
    assert record["restored"] == 5 and "task variable" in record["reason"]


def test_a_run_that_is_never_finite_gives_up(tmp_path, caplog):
    with pytest.raises(failures.NonFiniteMetricError, match="at step 8"):
        fit(tmp_path / "run", FiveLineTask(fail_at=7), on_nonfinite="rollback")
    run = run_folder.RunFolder(tmp_path / "run")
    records = json.loads(run.rollbacks.read_text())
    assert [(r["step"], r["restored"], r["skipped"]) for r in records] == [
        (8, 5, 7), (8, 5, 8), (8, 5, 9),
    ]  # fmt: skip
    assert "steps [8, 8, 8] were passed over" in caplog.text
    assert checkpoint.CheckpointStore(run.checkpoints).steps() == [0, 5]


def test_a_damaged_record_is_refused(tmp_path):
    fit(tmp_path / "run", Poisoned(2.0), steps=5, on_nonfinite="rollback")
    run = run_folder.RunFolder(tmp_path / "run")
    for text in ("[{", '[{"step": 2}]', "{}x"):
        run.rollbacks.write_text(text)
        with pytest.raises(ValueError, match=r"Received: .*rollbacks\.json"):
            fit(tmp_path / "run", Poisoned(2.0), steps=6)


def test_stopping_is_the_default_and_other_words_are_refused(tmp_path):
    with pytest.raises(failures.NonFiniteMetricError, match="on_nonfinite=rollback passes over"):
        fit(tmp_path / "run", Poisoned(14.0))
    with pytest.raises(ValueError, match="stop or rollback. Received: on_nonfinite=resume"):
        trainer.Trainer(steps=1, batch_size=1, on_nonfinite="resume")


def gan_dataset(first_batch, context):
    """Batches of a GAN whose fifth batch holds an infinite photograph."""
    size = context.get_per_replica_batch_size(4)
    per_batch = 4 // size

    def element(number):
        seed = tf.stack([tf.cast(number, tf.int32), 0])
        mask = tf.one_hot(tf.random.stateless_uniform([size, 4, 4], seed, 0, 2, tf.int32), 2)
        image = tf.random.stateless_uniform([size, 4, 4, 3], seed, -1.0, 1.0)
        return {"mask": mask, "image": tf.where(number // per_batch == 5, np.inf, image)}

    return tf.data.Dataset.range(first_batch * per_batch, 10_000).map(element)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_gan_goes_back_on_every_replica_and_with_micro_batches(tmp_path, replicas):
    strategy = distribution.two_replicas() if replicas == 2 else None
    with strategy.scope() if strategy else contextlib.nullcontext():
        task = tiny_gan.make_task(
            accumulate_steps=2, learning_rate=0.01,
            averaging=averaging.WeightAveraging(0.9, calibration_batches=1),
        )  # fmt: skip
        run = run_folder.RunFolder(tmp_path)
        store = checkpoint.CheckpointStore(run.checkpoints)
        settings = {"steps_per_call": 2, "log_every_steps": 2, "checkpoint_every_steps": 2}
        loop = trainer.Trainer(steps=5, batch_size=4, on_nonfinite="rollback", **settings)
        assert loop.fit(task, gan_dataset, store=store, summary=summaries.Summaries(run)) == 0
    (record,) = json.loads(run.rollbacks.read_text())
    assert (record["step"], record["restored"], record["skipped"]) == (3, 2, 2)
    assert store.steps()[-1] == 5 and int(task.state()["step"].variables[0].numpy()) == 5
    for line in lines(run):
        assert line["gradient_norm/generator"] > 0 and line["update_ratio/discriminator"] > 0
