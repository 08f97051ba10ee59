"""An error in the loop leaves a checkpoint of the last whole step, or none where in doubt."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from tests.training.loop.test_trainer import FiveLineTask, fit, make_dataset, total
from training.loop import failures, session
from training.runs import checkpoint


class FailsInside(FiveLineTask):
    """The update of a step changes half of the state and then fails."""

    def train_step(self, batches, seed, due=()):
        with tf.control_dependencies([self.variables[0].assign_add(1.0)]):
            tf.debugging.assert_less(seed[1], 7, "in the midst")
        return super().train_step(batches, seed, due)


class FailsBetween(FiveLineTask):
    """A batch cannot be read, in the midst of the steps of a call."""

    batches_per_step = 2


def steps_saved(folder):
    return checkpoint.CheckpointStore(folder / "run" / "checkpoints").steps()


def test_a_half_applied_update_is_not_saved(tmp_path, caplog):
    with pytest.raises(ValueError, match="step of 7 to 8 failed. Received: .*in the midst"):
        fit(tmp_path / "run", FailsInside(), checkpoint_every_steps=5)
    assert steps_saved(tmp_path) == [5]
    assert "in the midst of an update" in caplog.text


@pytest.mark.parametrize("bad_batch", [9, 14, 15])
def test_an_error_of_the_data_leaves_whole_steps(tmp_path, monkeypatch, bad_batch):
    """Of a step with two batches none or both are used, and the steps before it are whole."""
    task, whole, resumed = FailsBetween(), FailsBetween(), FailsBetween()
    fit(tmp_path / "whole", whole, checkpoint_every_steps=0)

    def broken(first_batch, context):
        def read(batch):
            bad = tf.reduce_any(tf.cast(batch["x"], tf.int32) // 2 == bad_batch)
            with tf.control_dependencies([tf.debugging.Assert(~bad, ["unreadable"])]):
                return {"x": tf.identity(batch["x"])}

        return make_dataset(first_batch, context).map(read)

    with monkeypatch.context() as patched:
        patched.setattr("tests.training.loop.test_trainer.make_dataset", broken)
        message = f"step of {bad_batch // 2 + 1} failed.*unreadable"
        with pytest.raises(ValueError, match=message):
            fit(tmp_path / "run", task, steps_per_call=12, log_every_steps=12,
                preview_every_steps=0, checkpoint_every_steps=0)  # fmt: skip
    assert steps_saved(tmp_path) == [bad_batch // 2]
    fit(tmp_path / "run", resumed, checkpoint_every_steps=0)
    assert total(resumed) == total(whole)


def test_an_error_of_tensorflow_between_the_steps_is_said_in_words(tmp_path):
    def evaluate():
        raise tf.errors.InternalError(None, None, "Graph execution error:\n\n  at\nno network")

    with pytest.raises(ValueError, match="due after step 6 failed. Received: no network"):
        fit(tmp_path / "run", FiveLineTask(), evaluate=evaluate, evaluate_every_steps=6)


@pytest.mark.parametrize("where", ["evaluate", "preview"])
def test_an_error_between_the_steps_saves_first(tmp_path, monkeypatch, where):
    def fail(*_):
        raise RuntimeError("of the evaluation")

    if where == "preview":
        monkeypatch.setattr(session.Session, "preview", fail)
    settings = {"evaluate_every_steps": 6, "checkpoint_every_steps": 0}
    with pytest.raises(RuntimeError, match="of the evaluation"):
        fit(tmp_path / "run", FiveLineTask(), evaluate=fail, **settings)
    assert steps_saved(tmp_path) == [6]


def test_a_checkpoint_comes_before_the_evaluation_of_its_step(tmp_path):
    seen = []

    def evaluate():
        seen.append(steps_saved(tmp_path))
        return {}, {}

    fit(tmp_path / "run", FiveLineTask(), evaluate=evaluate, evaluate_every_steps=5)
    assert seen == [[5], [5, 10], [5, 10, 12]]


def test_a_state_that_cannot_be_prepared_is_saved_as_it_is(tmp_path, caplog):
    class Unprepared(FiveLineTask):
        def prepare_generation(self, batches):
            raise tf.errors.DataLossError(None, None, "no batch to calibrate from")

    with pytest.raises(ValueError, match="no batch to calibrate from"):
        fit(tmp_path / "run", Unprepared())
    assert steps_saved(tmp_path) == [5]
    assert "saved with the batch statistics of the trained ones" in caplog.text


def test_nothing_that_is_not_finite_is_saved(tmp_path):
    with pytest.raises(failures.NonFiniteMetricError):
        fit(tmp_path / "run", FiveLineTask(fail_at=3), checkpoint_every_steps=0)
    assert steps_saved(tmp_path) == []


@pytest.mark.parametrize(("values", "expected"), [(3e4, 1), (9e3, 0), (-3e4, 1)])
def test_losses_that_stay_far_above_their_start_are_warned_of_once(caplog, values, expected):
    watch = failures.GrowthWatch()
    with caplog.at_level(logging.WARNING):
        watch.look({"g/total": np.array([0.5]), "g/norm": np.array([0.5])}, 0)
        for step in range(1, 61, 10):
            watch.look({"g/total": np.full(10, values), "g/norm": np.full(10, 1e9)}, step)
    assert len(caplog.messages) == expected
    if expected:
        assert "g/total is 3e+04 at step 21" in caplog.messages[0]
        assert "lower learning rate" in caplog.messages[0]


def test_a_loss_that_falls_again_is_not_warned_of(caplog):
    watch = failures.GrowthWatch()
    for step in range(0, 100, 10):
        watch.look({"g/total": np.array([1.0, *[1e6] * 8, 1.0])}, step)
    assert not caplog.messages
