"""The training loop: steps, intervals and files. Networks and losses are in the task."""

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from training.loop import console, failures, session, signals
from training.runs import best as best_checkpoint
from training.runs import checkpoint
from training.tasks import protocol
from training.watch import health, summaries

log = logging.getLogger(__name__)

STOP, ROLLBACK = "stop", "rollback"


class Trainer:
    """Runs a task for a number of steps, with logs, previews, checkpoints and a clean stop.

    A step's randomness is a function of (seed, step, replica) and the batches of a step one of
    (seed, step), so that a run stopped anywhere and resumed ends with the bytes of a run that
    was never stopped.

    Args:
        steps: training steps of the whole run.
        batch_size: items in a batch over all replicas; an update of a task that accumulates
            gradients sees `task.accumulate_steps` times as many.
        steps_per_call: steps compiled into one call of Python; more is faster on fast devices.
        log_every_steps: interval of scalars, the mean over the steps since the last.
        preview_every_steps: interval of sample sheets; 0 = only at the end.
        checkpoint_every_steps: interval of checkpoints; 0 = only at the end.
        evaluate_every_steps: interval of evaluation; 0 = only at the end.
        jit_compile: whether XLA compiles the step.
        seed: seed of everything random in the steps.
        on_nonfinite: what becomes of a run whose loss is not finite: "stop" (default), or
            "rollback": it goes back to its newest checkpoint and passes over the batches of that
            step, see rollbacks.Rollbacks; it then stops after three times to one checkpoint.

    Raises:
        ValueError: a number out of its range.
        failures.NonFiniteMetricError: in `fit`, a metric is not finite.
        CheckpointError: in `fit`, a checkpoint cannot be written or does not fit.
    """

    configurable = True

    def __init__(
        self,
        *,
        steps: int,
        batch_size: int,
        steps_per_call: int = 10,
        log_every_steps: int = 50,
        preview_every_steps: int = 500,
        checkpoint_every_steps: int = 500,
        evaluate_every_steps: int = 0,
        jit_compile: bool = False,
        seed: int = 0,
        on_nonfinite: str = STOP,
    ) -> None:
        positive = {
            "steps": steps,
            "batch_size": batch_size,
            "steps_per_call": steps_per_call,
            "log_every_steps": log_every_steps,
        }
        intervals = {
            "preview_every_steps": preview_every_steps,
            "checkpoint_every_steps": checkpoint_every_steps,
            "evaluate_every_steps": evaluate_every_steps,
        }
        wrong = {name: value for name, value in positive.items() if value < 1}
        wrong |= {name: value for name, value in intervals.items() if value < 0}
        if wrong:
            raise ValueError(
                f"{tuple(positive)} must be at least 1, {tuple(intervals)} at least 0. Received: "
                f"{wrong}"
            )
        if on_nonfinite not in (STOP, ROLLBACK):
            raise ValueError(
                f"on_nonfinite must be {STOP} or {ROLLBACK}. Received: on_nonfinite={on_nonfinite}"
            )
        self.steps = steps
        self.batch_size = batch_size
        self.steps_per_call = steps_per_call
        self.log_every_steps = log_every_steps
        self.preview_every_steps = preview_every_steps
        self.checkpoint_every_steps = checkpoint_every_steps
        self.evaluate_every_steps = evaluate_every_steps
        self.jit_compile = jit_compile
        self.seed = seed
        self.on_nonfinite = on_nonfinite

    def reader(self, data) -> Callable[[int, tf.distribute.InputContext], tf.data.Dataset]:
        """What `fit` takes as `make_dataset`, of a pipeline."""
        return lambda first_batch, context: data.training_dataset(
            first_batch,
            global_batch_size=self.batch_size,
            replica_batch_size=context.get_per_replica_batch_size(self.batch_size),
            worker=context.input_pipeline_id,
            num_workers=context.num_input_pipelines,
        )

    def fit(
        self,
        task: protocol.Task,
        make_dataset: Callable[[int, tf.distribute.InputContext], tf.data.Dataset],
        *,
        store: checkpoint.CheckpointStore,
        summary: summaries.Summaries,
        preview_batch: dict | None = None,
        evaluate: Callable[[], tuple[dict[str, float], dict]] | None = None,
        best: best_checkpoint.BestCheckpoint | None = None,
        batch_names: Callable[[int], list[str]] | None = None,
        mend: Callable[[int], bool] | None = None,
        stop: signals.StopRequest | None = None,
        preprocess: Callable[[dict], dict] = lambda batch: batch,
        config_text: str = "",
        on_start: Callable[[], None] = lambda: None,
        writes: bool = True,
    ) -> int:
        """Trains from the newest checkpoint of the run, or from the start, to the last step.

        Args:
            task: a built task.
            make_dataset: (first batch, input context) -> infinite batches for a worker's replicas.
            store: where checkpoints go.
            summary: where scalars and sheets go.
            preview_batch: fixed items that every sheet shows.
            evaluate: a measurement of the task as it is: (name -> value, name -> (confusion matrix
                [K, K], class names)).
            best: what keeps the state of the best evaluation, or None.
            batch_names: number of a batch -> names of its files, for the log.
            mend: what helps with a batch that cannot be read, see `failures.BatchFiles`.
            stop: the request that listens to signals already. Default: one that listens here.
            preprocess: last op on a batch, run inside the compiled step.
            config_text: the config, for TensorBoard.
            on_start: called where this process writes files, before the first of them: when the
                state is restored and there are steps to train.
            writes: whether this process writes files; of several workers only the chief does.

        Returns:
            The signal that stopped the run, 0 when it reached its last step.
        """
        files = failures.BatchFiles(batch_names, task.batches_per_step, mend)
        live = session.Session(
            task, make_dataset, store, summary, preprocess, files,
            seed=self.seed, jit_compile=self.jit_compile, writes=writes,
        )  # fmt: skip

        # 1. Where the run stands.
        step = live.saving.restore()
        if step >= self.steps:
            log.info("The run has %d of %d steps; nothing is left to do.", step, self.steps)
            return 0

        # 2. The files and the signals from there on.
        if writes:
            on_start()
            summary.start(step, config_text)
        with contextlib.ExitStack() as stack:
            if stop is None:
                stop = stack.enter_context(signals.StopRequest().listening())
            stop.training_begins()
            log.info("Training from step %d to %d. The first call compiles.", step, self.steps)
            bar = stack.enter_context(console.Console(self.steps, step))
            if self.on_nonfinite == ROLLBACK and live.saving.newest() is None:
                live.save(step)  # to go back to
            stopped = self._loop(live, step, stop, bar, preview_batch, evaluate, best)
        if writes:
            summary.close()
        return stopped

    def _loop(self, live, step, stop, bar, preview_batch, evaluate, best) -> int:
        """Steps and what is due after them, to the end or to a signal; returns that."""
        task, growth = live.task, failures.GrowthWatch()
        movement = health.Movement(getattr(task, "networks", {}) if live.writes else {})
        window = _Window(self.batch_size * getattr(task, "accumulate_steps", 1))
        stopping, before = False, step
        movement.start(step)
        try:
            iterator = iter(live.batches_from(step))
            while step < self.steps and not stopping:
                run_steps, before = live.steps_at(step), step
                jump = live.rollbacks.until_jump(step)
                count = int(min(self._steps_to_next_event(step), live.alike_from(step), jump))
                try:
                    metrics = window.timed(
                        run_steps, iterator, tf.constant(step), tf.constant(count)
                    )
                except tf.errors.OpError as error:
                    step = live.read_on(error, step, count)
                    iterator = iter(live.batches_from(step))
                    bar.advance(step - before)
                    continue
                try:
                    self._require_finite(metrics, step, live)
                except failures.NonFiniteMetricError as error:
                    step, iterator = self._back(live, error, error.step, window, movement)
                    bar.advance(step - before)
                    continue
                growth.look(metrics, step)
                step += count
                bar.advance(count)
                if count == jump:
                    iterator = iter(live.batches_from(step))
                stopping = live.any_worker(bool(stop))

                # What is due at this step; a stop between two saves loses nothing.
                logs = self._due(step, self.log_every_steps)
                if logs or step in task.phases:
                    means, seconds_per_step = window.close()
                    means |= movement.measure(step)
                    bar.report(step, means, seconds_per_step * (self.steps - step))
                    if live.writes:
                        live.summary.scalars(step, means)
                # Before all that may fail: it loses no step then.
                if stopping or self._due(step, self.checkpoint_every_steps) or live.saves(logs):
                    try:
                        live.save(step, last=stopping or step == self.steps)
                    except checkpoint.NonFiniteError as error:
                        before, bad = step, step - 1
                        step, iterator = self._back(live, error, bad, window, movement)
                        bar.advance(step - before)
                        continue
                shows = self._due(step, self.preview_every_steps)
                if evaluate is not None and self._due(step, self.evaluate_every_steps):
                    shows |= live.evaluate(step, evaluate, best)
                if preview_batch is not None and shows:
                    live.preview(step, preview_batch)
        except Exception as error:
            live.rescue(step, error)
            if isinstance(error, tf.errors.OpError):
                raise ValueError(
                    f"What is due after step {step} failed. Received: {failures.plain(error)}"
                ) from error
            raise
        if step >= self.steps:
            return 0
        return stop.received or signal.SIGTERM

    def _require_finite(self, metrics, step, live) -> None:
        rolls_back = self.on_nonfinite == ROLLBACK
        kept = live.saving.store.steps()
        failures.require_finite(metrics, step, kept, live.files, rolls_back)

    def _back(self, live, error, bad_step, window, movement) -> tuple:
        """(step to go on from, its iterator) after a step that was not finite, where wanted."""
        if self.on_nonfinite == STOP:
            raise error
        step = live.roll_back(error, bad_step)
        window.close()
        movement.start(step)
        return step, iter(live.batches_from(step))

    def _steps_to_next_event(self, step) -> int:
        """Steps of the next call: no further than the next interval's end."""
        intervals = (
            self.log_every_steps,
            self.preview_every_steps,
            self.checkpoint_every_steps,
            self.evaluate_every_steps,
        )
        ends = [every - step % every for every in intervals if every]
        return min(self.steps_per_call, self.steps - step, *ends)

    def _due(self, step, every) -> bool:
        return step == self.steps or (every > 0 and step % every == 0)


class _Window:
    """Metrics and time of the steps since the last log."""

    def __init__(self, batch_size) -> None:
        self.batch_size = batch_size
        self.metrics, self.seconds, self.timed_steps = [], 0.0, 0
        self.called = []

    def timed(self, run_steps, *arguments) -> dict:
        """Runs some steps; returns their metrics as arrays."""
        begun = time.perf_counter()
        metrics = {name: value.numpy() for name, value in run_steps(*arguments).items()}
        self.metrics.append(metrics)
        if run_steps in self.called:  # the first call compiles, which is no measure of speed
            self.seconds += time.perf_counter() - begun
            self.timed_steps += len(next(iter(metrics.values())))
        else:
            self.called.append(run_steps)
        return metrics

    def close(self) -> tuple[dict, float]:
        """(means with images a second, seconds a step) of the window, which starts anew.

        A metric's mean is that over the steps which have it.
        """
        names = {name: None for metrics in self.metrics for name in metrics}
        means = {
            n: float(np.concatenate([m[n] for m in self.metrics if n in m]).mean()) for n in names
        }
        seconds_per_step = self.seconds / self.timed_steps if self.timed_steps else math.nan
        if self.timed_steps:
            means["speed/images_per_second"] = self.batch_size / seconds_per_step
        self.metrics, self.seconds, self.timed_steps = [], 0.0, 0
        return means, seconds_per_step
