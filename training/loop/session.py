"""One process's part in a run: the task with its data, devices and files."""

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator

import tensorflow as tf

from training.loop import failures, rollbacks, saving
from training.runs import checkpoint
from training.watch import confusion_picture

log = logging.getLogger(__name__)

BEGUN, WHOLE = 0, 1  # keys of the table that says how far the steps have come


class Session:
    """Steps, sheets and checkpoints of a task, for the loop that decides when.

    Args:
        task: a built task.
        make_dataset: (first batch, input context) -> infinite batches for a worker's replicas.
        store: where checkpoints go.
        summary: where sheets go.
        preprocess: last op on a batch, run inside the compiled step.
        files: failures.BatchFiles, what the batches are made of.
        seed: int, of everything random in the steps.
        jit_compile: bool, whether XLA compiles the step.
        writes: whether this process writes files; of several workers only the chief does.
    """

    def __init__(
        self, task, make_dataset, store, summary, preprocess, files=None, *,
        seed, jit_compile, writes,
    ) -> None:  # fmt: skip
        self.task = task
        self.make_dataset = make_dataset
        self.saving = saving.Saving(store, task, writes)
        self.summary = summary
        self.preprocess = preprocess
        self.rollbacks = rollbacks.Rollbacks(summary.run.rollbacks if summary else None, writes)
        self.files = dataclasses.replace(
            files or failures.BatchFiles(None, task.batches_per_step),
            batches_of=self.rollbacks.batches_of,
        )
        self.seed = seed
        self.jit_compile = jit_compile
        self.strategy = tf.distribute.get_strategy()
        self.writes = writes
        self.prepared_at = None
        # In host memory and of this process alone, whatever the strategy makes of variables.
        with tf.device("CPU:0"):
            self._progress = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, -1)
        self._calibration_batch = 0
        self._unexplained: range | None = None
        self._compiled = {}
        self._preprocess = tf.function(preprocess)
        self._previews = tf.function(task.previews)

    def batches_from(self, first_step) -> tf.distribute.DistributedDataset:
        """Distributed batches, from those of a step on."""
        first_batch = self.rollbacks.batches_of(first_step) * self.task.batches_per_step
        return self.strategy.distribute_datasets_from_function(
            lambda context: self.make_dataset(first_batch, context)
        )

    def steps_at(self, step) -> Callable:
        """The compiled steps from a step on, as many as `alike_from` says.

        Returns:
            A function of (iterator, first step, count) -> each metric's value at each step; the
            same object for all steps that do the same.

        Raises:
            ValueError: XLA is asked for with several replicas on CPUs, which it cannot connect.
        """
        phase = max(first for first in self.task.phases if first <= step)
        due = tuple(every for every in self.task.intervals if step % every == 0)
        if (phase, due) not in self._compiled:
            self._compiled[phase, due] = self._compile(self.task.phases[phase], due)
        return self._compiled[phase, due]

    def alike_from(self, step) -> float:
        """How many steps from a step on do the same; math.inf where all do."""
        phases = (first - step for first in self.task.phases if first > step)
        intervals = (1 if step % every == 0 else every - step % every
                     for every in self.task.intervals)  # fmt: skip
        return min((*phases, *intervals), default=math.inf)

    def _compile(self, train_step, due) -> Callable:
        on_cpu = not tf.config.list_logical_devices("GPU")
        if self.jit_compile and on_cpu and self.strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "XLA has no collectives on CPUs. Received: trainer.jit_compile=true with "
                f"{self.strategy.num_replicas_in_sync} replicas. Set trainer.jit_compile=false."
            )

        def replica_step(batches, seed) -> dict[str, tf.Tensor]:
            metrics = train_step([self.preprocess(batch) for batch in batches], seed, due)
            return {name: tf.cast(value, tf.float32) for name, value in metrics.items()}

        if self.jit_compile:
            replica_step = tf.function(replica_step, jit_compile=True)

        # A function of its own, so that the two calls below share one trace.
        @tf.function
        def update(batches, step) -> dict[str, tf.Tensor]:
            metrics = self.strategy.run(replica_step, (batches, tf.stack([self.seed, step])))
            metrics = {
                name: self.strategy.reduce("MEAN", value, axis=None)
                for name, value in metrics.items()
            }
            self.task.after_step(metrics)
            return metrics

        def one_step(iterator, step, done) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            """Reads, then updates, the next step after that: an error leaves no doubt where."""
            number = tf.cast(step + 1, tf.int64)
            with tf.control_dependencies([done]):
                batches = [next(iterator) for _ in range(self.task.batches_per_step)]
            with tf.control_dependencies(tf.nest.flatten(batches, expand_composites=True)):
                begun = self._mark(BEGUN, number)
            with tf.control_dependencies([begun]):
                metrics = update(batches, step)
            with tf.control_dependencies(list(metrics.values())):
                whole = self._mark(WHOLE, number)
            with tf.control_dependencies([whole]):
                return metrics, tf.identity(number)

        @tf.function
        def run_steps(iterator, first_step, count) -> dict[str, tf.Tensor]:
            metrics, done = one_step(iterator, first_step, tf.cast(first_step, tf.int64))
            history = {
                name: tf.TensorArray(tf.float32, count, element_shape=[]).write(0, value)
                for name, value in metrics.items()
            }
            for index in tf.range(1, count):
                metrics, done = one_step(iterator, first_step + index, done)
                history = {n: array.write(index, metrics[n]) for n, array in history.items()}
            return {name: array.stack() for name, array in history.items()}

        return run_steps

    def _mark(self, key, number) -> tf.Operation:
        return self._progress.insert(tf.constant(key, tf.int64), number)

    def whole_steps(self, step: int) -> int | None:
        """The step at which the state stands after an error in the steps from `step` on.

        Reading comes before a step changes anything, so an error there leaves whole steps; None
        where the error came in the midst of an update.
        """
        begun, whole = self._progress.lookup(tf.constant([BEGUN, WHOLE], tf.int64)).numpy()
        return max(step, int(whole)) if begun == whole else None

    def roll_back(self, error: Exception, step: int) -> int:
        """The step to go on from after one that made something not finite.

        The state is that of the newest checkpoint again; the batches of the step are passed over.

        Args:
            error: what was not finite.
            step: of that number, counted from 0.

        Raises:
            Exception: `error`, where that has not helped.
        """
        kept = self.saving.newest()
        if kept is None or not self.rollbacks.add(step, kept, str(error)):
            skipped = [record["step"] for record in self.rollbacks.records]
            log.error("Going back has not helped: steps %s were passed over, see %s.", skipped,
                      self.rollbacks.path)  # fmt: skip
            raise error
        restored = self.saving.restore()
        self.prepared_at = None
        for key in (BEGUN, WHOLE):
            self._mark(key, tf.constant(restored, tf.int64))
        if self.writes:
            self.summary.start(restored)
        log.error("%s Back at step %d; the batches of step %d are passed over from now on (%s).",
                  error, restored, step + 1, self.rollbacks.path)  # fmt: skip
        return restored

    def read_on(self, error: tf.errors.OpError, step: int, count: int) -> int:
        """The step to go on from after an error in `count` steps from `step` on.

        Raises:
            ValueError: there is no going on; what is wrong, in words.
        """
        whole = self.whole_steps(step)
        if whole is None:
            raise failures.step_failed(error, step, count, self.files) from error
        if self._may_read_again(error, self.files.batches(whole)):
            if self.strategy.cluster_resolver is None:
                return whole
            log.error("Workers cannot pass over what one of them cannot read; all of them end.")
        raise failures.step_failed(error, whole, 1, self.files) from error

    def _may_read_again(self, error, numbers: range) -> bool:
        """Whether batches that could not be read are worth another try.

        What is wrong with none of their files was mended since it was read ahead, or of the
        moment: that is tried once.
        """
        if self.files.mend is None or isinstance(error, tf.errors.ResourceExhaustedError):
            return False
        mended = any([self.files.mend(number) for number in numbers])
        before, self._unexplained = self._unexplained, None if mended else numbers
        return mended or before != numbers

    def any_worker(self, flag: bool) -> bool:
        """Whether the flag is set on this or another worker: all must leave a loop together."""
        if self.strategy.cluster_resolver is None:
            return flag
        return self._sum_over_workers(tf.constant(float(flag))) > 0.0

    @tf.function
    def _sum_over_workers(self, value) -> tf.Tensor:
        shares = self.strategy.run(tf.identity, (value,))
        return self.strategy.reduce("SUM", shares, axis=None)

    def prepare(self, step) -> None:
        """Makes the averaged weights of this step ready, on every worker, once."""
        while self.prepared_at != step:
            try:
                self.task.prepare_generation(self._calibration_batches())
                self.prepared_at = step
            except tf.errors.OpError as error:
                number = self._calibration_batch
                if not self._may_read_again(error, range(number, number + 1)):
                    raise failures.step_failed(
                        error, number // self.task.batches_per_step, 1, self.files
                    ) from error

    def _calibration_batches(self) -> Iterator:
        self._calibration_batch = 0  # the one that is read when an error comes
        for batch in self.batches_from(0):
            yield self.strategy.run(self._preprocess, (batch,))
            self._calibration_batch += 1

    def preview(self, step, batch) -> None:
        """A sheet of the fixed items."""
        self.prepare(step)
        if self.writes:
            seeds = self.task.kind.preview_seeds(batch)
            previews = self._previews(batch, tf.constant(seeds, tf.int32))
            path = self.summary.sheet(step, batch, previews)
            self.summary.weights(step, self.task.state())
            if path.is_file():
                log.info("step %d: sample sheet %s", step, path)

    def evaluate(self, step, measure, best=None) -> bool:
        """Writes down what a measurement of the averaged weights gives; keeps the best state.

        Returns: whether this is the best state so far.
        """
        self.prepare(step)
        if not self.writes:
            return False
        values, confusions = measure()
        self.summary.evaluation(step, {n: v for n, v in values.items() if not math.isnan(v)})
        for name, (counts, class_names) in confusions.items():
            self.summary.picture(step, name, confusion_picture.draw(counts, class_names))
        # "eval/iou/window" and its like, one for each class, are curves alone.
        shown = [f"{name} {value:.4g}" for name, value in values.items() if name.count("/") < 2]
        log.info("step %d: %s", step, "  ".join(shown))
        if best is None:
            return False
        try:
            better = best.offer(step, values, self.task.state())
        except checkpoint.UnwritableError as error:
            log.error("The best state is not kept: %s", error)
            return False
        if better:
            log.info("step %d: the best %s so far, kept in %s", step, best.metric,
                     best.store.path(step))  # fmt: skip
        if best.stalled():
            log.warning("step %d: %s has not improved in %d evaluations; it was best at step %s. "
                        "More steps may not help: look at its sheet, or stop.", step, best.metric,
                        best.patience, best.step())  # fmt: skip
        return better

    def saves(self, now: bool) -> bool:
        """Whether a save that failed is tried again now; workers do so at the next interval."""
        return now and self.saving.failed > 0 and self.strategy.cluster_resolver is None

    def save(self, step, *, last=False) -> None:
        """A checkpoint, with averaged weights that are ready for use; see `Saving.save`."""
        self.prepare(step)
        self.saving.save(step, last=last)

    def rescue(self, step: int, error: Exception) -> None:
        """Saves the state before an error ends the run, where it is that of a whole step.

        Args:
            step: steps done before the call that failed.
            error: what ends the run.
        """
        whole = self.whole_steps(step)
        if whole is None:
            log.error("The error came in the midst of an update, so that state is not saved.")
        elif self.saving.wants(whole, error):
            try:
                if self.strategy.cluster_resolver is None:  # others may be gone, and it would wait
                    self.prepare(whole)
            except Exception as again:  # noqa: BLE001 (the error that ends the run is said)
                log.warning("The averaged weights are saved with the batch statistics of the "
                            "trained ones: %s", again)  # fmt: skip
            self.saving.rescue(whole)
