"""The training loop. It knows steps, intervals and files; of networks and losses, nothing."""

import logging
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from training import checkpoint, console, signals, summaries
from training import task as tasks

log = logging.getLogger(__name__)


class NonFiniteMetricError(ValueError):
    """A loss has become infinite or not a number."""


class Trainer:
    """Runs a task for a number of steps, with logs, previews, checkpoints and a clean stop.

    A step's randomness is a function of (seed, step, replica) and the batches of a step one of
    (seed, step), so that a run stopped anywhere and resumed ends with the bytes of a run that
    was never stopped.

    Args:
        steps: training steps of the whole run.
        batch_size: items in a step's batch over all replicas.
        steps_per_call: steps compiled into one call of Python; more is faster on fast devices.
        log_every_steps: interval of scalars, the mean over the steps since the last.
        preview_every_steps: interval of sample sheets; 0 = only at the end.
        checkpoint_every_steps: interval of checkpoints; 0 = only at the end.
        jit_compile: whether XLA compiles the step.
        seed: seed of everything random in the steps.

    Raises:
        ValueError: a number out of its range.
        NonFiniteMetricError: in `fit`, a metric is not finite.
        CheckpointError: in `fit`, a checkpoint cannot be written or does not fit.
    """

    def __init__(
        self,
        *,
        steps: int,
        batch_size: int,
        steps_per_call: int = 10,
        log_every_steps: int = 50,
        preview_every_steps: int = 500,
        checkpoint_every_steps: int = 500,
        jit_compile: bool = False,
        seed: int = 0,
    ):
        positive = {
            "steps": steps,
            "batch_size": batch_size,
            "steps_per_call": steps_per_call,
            "log_every_steps": log_every_steps,
        }
        wrong = {name: value for name, value in positive.items() if value < 1}
        if wrong or preview_every_steps < 0 or checkpoint_every_steps < 0:
            raise ValueError(
                f"{tuple(positive)} must be at least 1, the other intervals at least 0. Received: "
                f"{wrong or ''} preview_every_steps={preview_every_steps}, "
                f"checkpoint_every_steps={checkpoint_every_steps}"
            )
        self.steps = steps
        self.batch_size = batch_size
        self.steps_per_call = steps_per_call
        self.log_every_steps = log_every_steps
        self.preview_every_steps = preview_every_steps
        self.checkpoint_every_steps = checkpoint_every_steps
        self.jit_compile = jit_compile
        self.seed = seed

    def fit(
        self,
        task: tasks.Task,
        make_dataset: Callable[[int, tf.distribute.InputContext], tf.data.Dataset],
        *,
        store: checkpoint.CheckpointStore,
        summary: summaries.Summaries,
        preview_batch: dict | None = None,
        batch_names: Callable[[int], list[str]] | None = None,
        finish: Callable[[dict], dict] = lambda batch: batch,
        config_text: str = "",
    ) -> int:
        """Trains from the newest checkpoint of the run, or from the start, to the last step.

        Args:
            task: a built task.
            make_dataset: (first batch, input context) -> infinite batches for a worker's replicas.
            store: where checkpoints go.
            summary: where scalars and sheets go.
            preview_batch: fixed items that every sheet shows.
            batch_names: number of a batch -> names of its files, for the log.
            finish: last op on a batch, run inside the compiled step.
            config_text: the config, for TensorBoard.

        Returns:
            The signal that stopped the run, 0 when it reached its last step.
        """
        # 1. Where the run stands.
        strategy = tf.distribute.get_strategy()
        writes = _is_chief(strategy)
        step = store.restore(task.state()) if store.steps() else 0
        if step >= self.steps:
            log.info("The run has %d of %d steps; nothing is left to do.", step, self.steps)
            return 0

        # 2. The data from there on, and the compiled steps.
        def batches_from(first_step):
            return strategy.distribute_datasets_from_function(
                lambda context: make_dataset(first_step * task.batches_per_step, context)
            )

        iterator = iter(batches_from(step))
        run_steps = self._compile(task, strategy, finish)
        if writes:
            summary.start(step, config_text)
        log.info("Training from step %d to %d. The first call compiles.", step, self.steps)

        # 3. The loop.
        stop = signals.StopRequest()
        window, seconds = [], 0.0
        prepared_step = saved_step = -1
        with stop.listening(), console.Console(self.steps, step) as bar:
            while step < self.steps and not stop:
                count = self._steps_to_next_event(step)
                begun = time.perf_counter()
                metrics = run_steps(iterator, tf.constant(step, tf.int64), tf.constant(count))
                metrics = {name: value.numpy() for name, value in metrics.items()}
                seconds += time.perf_counter() - begun
                self._require_finite(metrics, step, store, batch_names, task.batches_per_step)
                step += count
                window.append(metrics)
                bar.advance(count)

                # 4. What is due at this step.
                if self._due(step, self.log_every_steps):
                    means = _means(window)
                    means["speed/images_per_second"] = (
                        sum(_length(m) for m in window) * self.batch_size / seconds
                    )
                    left = seconds * (self.steps - step) / sum(_length(m) for m in window)
                    bar.report(step, means, left)
                    if writes:
                        summary.scalars(step, means)
                    window, seconds = [], 0.0
                previews = preview_batch is not None and self._due(step, self.preview_every_steps)
                saves = bool(stop) or self._due(step, self.checkpoint_every_steps)
                if previews or saves:
                    task.prepare_generation(_finished(batches_from(0), finish, strategy))
                    prepared_step = step
                if previews and writes:
                    self._preview(task, preview_batch, summary, step)
                if saves and writes:
                    store.save(step, task.state())
                    saved_step = step

            # 5. A stop between two saves loses nothing.
            if saved_step != step:
                if prepared_step != step:
                    task.prepare_generation(_finished(batches_from(0), finish, strategy))
                if writes:
                    store.save(step, task.state())
        if writes:
            summary.close()
        return stop.received or 0

    def _compile(self, task, strategy, finish):
        """A function that runs `count` steps and returns each metric's value at each of them."""

        def replica_step(batches, seed):
            return task.train_step([finish(batch) for batch in batches], seed)

        if self.jit_compile:
            replica_step = tf.function(replica_step, jit_compile=True)

        # A function of its own, so that the two calls below share one trace.
        @tf.function
        def one_step(iterator, step):
            batches = [next(iterator) for _ in range(task.batches_per_step)]
            seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(step, tf.int32)])
            metrics = strategy.run(replica_step, (batches, seed))
            task.after_step()
            return {
                name: strategy.reduce("MEAN", tf.cast(value, tf.float32), axis=None)
                for name, value in metrics.items()
            }

        @tf.function
        def run_steps(iterator, first_step, count):
            metrics = one_step(iterator, first_step)
            history = {
                name: tf.TensorArray(tf.float32, count, element_shape=[]).write(0, value)
                for name, value in metrics.items()
            }
            for index in tf.range(1, count):
                metrics = one_step(iterator, first_step + tf.cast(index, tf.int64))
                history = {n: array.write(index, metrics[n]) for n, array in history.items()}
            return {name: array.stack() for name, array in history.items()}

        return run_steps

    def _steps_to_next_event(self, step):
        """Steps of the next call: no further than the next interval's end."""
        intervals = (self.log_every_steps, self.preview_every_steps, self.checkpoint_every_steps)
        ends = [every - step % every for every in intervals if every]
        return min(self.steps_per_call, self.steps - step, *ends)

    def _due(self, step, every):
        return step == self.steps or (every > 0 and step % every == 0)

    def _preview(self, task, batch, summary, step):
        count = next(iter(batch.values())).shape[0]
        previews = tf.function(task.previews)(batch, tf.zeros([count], tf.int32))
        path = summary.sheet(step, batch, previews)
        summary.weights(step, task.state())
        log.info("step %d: sample sheet %s", step, path)

    def _require_finite(self, metrics, step, store, batch_names, batches_per_step):
        first = {
            name: int(np.argmin(np.isfinite(values)))
            for name, values in metrics.items()
            if not np.isfinite(values).all()
        }
        if not first:
            return
        offset = min(first.values())
        names = [name for name, index in first.items() if index == offset]
        bad_step = step + offset
        files = []
        if batch_names is not None:
            for number in range(bad_step * batches_per_step, (bad_step + 1) * batches_per_step):
                files += batch_names(number)
            log.error("Files in the batch of step %d: %s", bad_step, ", ".join(files))
        kept = store.steps()
        values = ", ".join(f"{name}={metrics[name][offset]}" for name in names)
        raise NonFiniteMetricError(
            f"Every loss must be finite. Received: {values} at step {bad_step}"
            + (f", batch of {', '.join(files[:4])} ({len(files)} files)" if files else "")
            + f". The last checkpoint, step {kept[-1] if kept else 'none'}, is untouched. Try a "
            "lower learning rate, or float32 if the run uses float16."
        )


def _finished(batches, finish, strategy):
    """The batches with their last op applied."""
    finish_on_replica = tf.function(finish)
    for batch in batches:
        yield strategy.run(finish_on_replica, (batch,))


def _means(window):
    return {name: float(np.concatenate([m[name] for m in window]).mean()) for name in window[0]}


def _length(metrics):
    return len(next(iter(metrics.values())))


def _is_chief(strategy):
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or resolver.task_id == 0 and resolver.task_type == "worker"
