"""The loop alone: any object with the task's members trains."""

import itertools
import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from training.kinds import kind
from training.loop import failures, session, trainer
from training.runs import checkpoint, run_folder
from training.watch import summaries

BATCH_SIZE = 2


class FiveLineTask:
    """Adds up what it sees; enough to tell steps, batches and seeds apart."""

    batches_per_step = 1
    intervals = ()
    kind = kind.Kind()

    def __init__(self, fail_at=-1, signal_at=-1):
        self.variables = [tf.Variable(0.0), tf.Variable(0, dtype=tf.int64)]
        self.fail_at, self.signal_at, self.prepared = fail_at, signal_at, []

    def build(self, spec):
        pass

    @property
    def phases(self):
        return {0: self.train_step}

    def train_step(self, batches, seed, due=()):
        total, step = self.variables[:2]
        if self.signal_at >= 0:
            tf.py_function(self._maybe_signal, [step], [])
        noise = tf.random.stateless_uniform([], seed)
        total.assign_add(tf.reduce_sum(tf.concat([b["x"] for b in batches], 0)) * noise)
        step.assign_add(1)
        loss = tf.where(step == self.fail_at + 1, np.nan, total)
        return {"g/total": loss, "g/fine": total}

    def _maybe_signal(self, step):
        if int(step) == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def after_step(self, metrics):
        pass

    def prepare_generation(self, batches):
        self.prepared.append([float(b["x"][0]) for b in itertools.islice(batches, 2)])

    def previews(self, batch, seeds):
        return {"generated": batch["image"] * 0.5}

    def state(self):
        return {"task": self}


def make_dataset(first_batch, context):
    return (
        tf.data.Dataset.range(first_batch * 2, 10_000)
        .map(lambda i: {"x": tf.cast(i, tf.float32)})
        .batch(context.get_per_replica_batch_size(BATCH_SIZE), drop_remainder=True)
    )


def fit(folder, task, steps=12, evaluate=None, best=None, fallback=None, **settings):
    folder.mkdir(exist_ok=True)
    run = run_folder.RunFolder(folder)
    defaults = {
        "steps_per_call": 3, "log_every_steps": 4,
        "preview_every_steps": 6, "checkpoint_every_steps": 5,
    }  # fmt: skip
    store = checkpoint.CheckpointStore(run.checkpoints, keep=10, fallback=fallback)
    stopped = trainer.Trainer(
        steps=steps, batch_size=BATCH_SIZE, seed=3, **(defaults | settings)
    ).fit(
        task,
        make_dataset,
        store=store,
        summary=summaries.Summaries(run),
        preview_batch={"image": tf.zeros([2, 8, 8, 3])},
        evaluate=evaluate,
        best=best,
        batch_names=lambda number: [f"photo_{number}_{i}" for i in range(BATCH_SIZE)],
        config_text="name: test",
    )
    return store, run, stopped


def total(task):
    return task.variables[0].numpy().tobytes()


def lines(run):
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def test_everything_is_due_at_its_interval_and_at_the_end(tmp_path):
    task = FiveLineTask()
    store, run, stopped = fit(tmp_path / "run", task)
    assert stopped == 0
    assert task.variables[1].numpy() == 12
    assert store.steps() == [5, 10, 12]
    assert [line["step"] for line in lines(run)] == [4, 8, 12]
    assert sorted(p.name for p in run.samples.iterdir()) == [
        "step_00000006.png", "step_00000012.png"
    ]  # fmt: skip


def test_logged_values_are_means_over_the_interval(tmp_path):
    """Against a plain loop over the same numbers."""
    _, run, _ = fit(tmp_path / "run", FiveLineTask())
    running, history = 0.0, []
    for step in range(12):
        noise = tf.random.stateless_uniform([], tf.constant([3, step])).numpy()
        running += (2 * step + 2 * step + 1) * noise
        history.append(running)
    logged = [line["g/total"] for line in lines(run)]
    np.testing.assert_allclose(logged, np.reshape(history, [3, 4]).mean(1), rtol=1e-5)


@pytest.mark.parametrize("steps_per_call", [1, 4, 100])
def test_steps_per_call_changes_speed_alone(tmp_path, steps_per_call):
    task, reference = FiveLineTask(), FiveLineTask()
    fit(tmp_path / "a", task, steps_per_call=steps_per_call)
    fit(tmp_path / "b", reference, steps_per_call=2)
    assert total(task) == total(reference)


def test_a_resumed_run_ends_with_the_bytes_of_an_unstopped_one(tmp_path):
    whole, first, second = FiveLineTask(), FiveLineTask(), FiveLineTask()
    fit(tmp_path / "whole", whole, steps=12)
    fit(tmp_path / "parts", first, steps=7)
    fit(tmp_path / "parts", second, steps=12)
    assert total(second) == total(whole) != total(first)


def test_lines_beyond_the_restored_step_are_written_anew(tmp_path):
    fit(tmp_path / "run", FiveLineTask(), steps=7)
    run = run_folder.RunFolder(tmp_path / "run")
    with open(run.metrics, "a") as file:
        file.write('{"step": 9, "g/total": 0}\n{"step": 10, "g/to')  # the torn end of a killed run
    fit(tmp_path / "run", FiveLineTask(), steps=12)
    assert [line["step"] for line in lines(run)] == [4, 7, 8, 12]


def test_a_finished_run_says_so(tmp_path, caplog):
    fit(tmp_path / "run", FiveLineTask(), steps=4)
    with caplog.at_level("INFO"):
        fit(tmp_path / "run", FiveLineTask(), steps=4)
    assert "4 of 4 steps; nothing is left to do" in caplog.text


def test_a_non_finite_metric_stops_the_run_and_is_named(tmp_path, caplog):
    with pytest.raises(
        failures.NonFiniteMetricError,
        match="g/total=nan at step 8, batch of photo_7_0, photo_7_1.*checkpoint, step 5",
    ):
        fit(tmp_path / "run", FiveLineTask(fail_at=7))
    assert "batch of step 8: photo_7_0, photo_7_1" in caplog.text
    store = checkpoint.CheckpointStore(tmp_path / "run" / "checkpoints")
    assert store.steps() == [5]


@pytest.mark.parametrize(
    "error, message",
    [
        (tf.errors.InvalidArgumentError(None, None, "x.bmp: truncated"), "x.bmp: truncated"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "Lower trainer.batch_size.*OOM"),
    ],
)
def test_an_error_inside_the_steps_is_said_in_words(tmp_path, monkeypatch, caplog, error, message):
    def fail(*_):
        raise error

    monkeypatch.setattr(session.Session, "steps_at", lambda *_: fail)
    with pytest.raises(ValueError, match=message):
        fit(tmp_path / "run", FiveLineTask())


def test_a_signal_at_the_last_step_is_no_stop(tmp_path):
    _, _, stopped = fit(tmp_path / "run", FiveLineTask(signal_at=11))
    assert stopped == 0


def test_sigterm_finishes_the_call_saves_and_reports_the_signal(tmp_path):
    task = FiveLineTask(signal_at=6)
    before = signal.getsignal(signal.SIGINT)
    store, _, stopped = fit(tmp_path / "run", task)
    assert stopped == signal.SIGTERM
    assert store.steps()[-1] == task.variables[1].numpy() < 12
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps_per_call": 0}, {"log_every_steps": 0}, {"batch_size": -1}]
)
def test_numbers_are_checked(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"at least 1.*'{name}': {value}"):
        trainer.Trainer(**({"steps": 1, "batch_size": 1} | wrong))
    with pytest.raises(ValueError, match="'preview_every_steps': -1"):
        trainer.Trainer(steps=1, batch_size=1, preview_every_steps=-1)


# Phases and evaluation.


class TwoPhaseTask(FiveLineTask):
    """Counts the steps of its first phase, 5 steps long, apart from the others."""

    def __init__(self):
        super().__init__()
        self.variables.append(tf.Variable(0))

    @property
    def phases(self):
        return {0: self.early_step, 5: self.train_step}

    def early_step(self, batches, seed, due=()):
        self.variables[2].assign_add(1)
        return {"g/early": self.train_step(batches, seed)["g/fine"]}


def test_each_phase_has_its_steps_and_its_log(tmp_path):
    task = TwoPhaseTask()
    _, run, _ = fit(tmp_path / "run", task)
    assert [variable.numpy() for variable in task.variables[1:]] == [12, 5]
    early = {line["step"]: "g/early" in line for line in lines(run)}
    assert early == {4: True, 5: True, 8: False, 12: False}


@pytest.mark.parametrize("stop_at", [3, 5, 7])
def test_a_resume_across_the_change_of_phase_is_exact(tmp_path, stop_at):
    whole = TwoPhaseTask()
    fit(tmp_path / "whole", whole)
    fit(tmp_path / "cut", TwoPhaseTask(), steps=stop_at)
    resumed = TwoPhaseTask()
    fit(tmp_path / "cut", resumed)
    for expected, variable in zip(whole.variables, resumed.variables, strict=True):
        assert expected.numpy().tobytes() == variable.numpy().tobytes()


def test_evaluation_is_written_at_its_interval_and_at_the_end(tmp_path):
    task = FiveLineTask()
    _, run, _ = fit(
        tmp_path / "run",
        task,
        evaluate=lambda: ({"eval/steps": float(task.variables[1].numpy())}, {}),
        evaluate_every_steps=5,
    )
    written = {line["step"]: line["eval/steps"] for line in lines(run) if "eval/steps" in line}
    assert written == {5: 5.0, 10: 10.0, 12: 12.0}
    assert len(task.prepared) == 4  # once a step, for evaluation, sheets and checkpoints alike


def test_what_an_evaluation_leaves(tmp_path, caplog):
    """NaN nowhere, the figures of single classes in the curves alone, the confusion as a PNG."""
    values = {"eval/mean_iou": 0.25, "eval/iou/door": 0.5, "eval/iou/sky": np.nan}
    with caplog.at_level("INFO"):
        _, run, _ = fit(
            tmp_path / "run",
            FiveLineTask(),
            steps=2,
            evaluate=lambda: (values, {"eval/confusion": (np.eye(2, dtype=int), ("a", "b"))}),
        )
    (line,) = (line for line in lines(run) if "eval/mean_iou" in line)
    assert line == {"step": 2, "eval/mean_iou": 0.25, "eval/iou/door": 0.5}
    assert "step 2: eval/mean_iou 0.25" in caplog.messages
    assert (run.samples / "step_00000002_confusion.png").is_file()
