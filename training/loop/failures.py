"""What stops a training, in words: losses that are not finite, steps that cannot be computed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

log = logging.getLogger(__name__)

GROWN, STEPS_GROWN = 1e4, 20


class NonFiniteMetricError(ValueError):
    """A loss has become infinite or not a number, in the step of this number, counted from 0."""

    step: int = 0


@dataclass(frozen=True)
class BatchFiles:
    """The files in the batches of some steps, where the data can tell.

    Args:
        names_of_batch: number of a batch -> names of its files.
        batches_per_step: of the task.
        mend: number of a batch that cannot be read -> whether reading it again may go well. Raises
            ValueError, which names the files and what is wrong with them.
        batches_of: see `rollbacks.Rollbacks`.
    """

    names_of_batch: Callable[[int], list[str]] | None
    batches_per_step: int
    mend: Callable[[int], bool] | None = None
    batches_of: Callable[[int], int] = lambda step: step

    def of_steps(self, first: int, count: int = 1) -> list[str]:
        if self.names_of_batch is None:
            return []
        return [name for number in self.batches(first, count)
                for name in self.names_of_batch(number)]  # fmt: skip

    def batches(self, first: int, count: int = 1) -> range:
        """Numbers of the batches of some steps, which follow each other."""
        first = self.batches_of(first)
        return range(first * self.batches_per_step, (first + count) * self.batches_per_step)


def require_finite(
    metrics: dict, step: int, kept: list[int], files: BatchFiles, rolls_back: bool = False
) -> None:
    """Stops at the first value that is not finite, and says where it was.

    Args:
        metrics: name -> values of the steps from `step` on.
        step: steps done before them.
        kept: steps of the checkpoints there are.
        files: what the batches were made of.
        rolls_back: whether such batches are passed over.

    Raises:
        NonFiniteMetricError: a value is not finite.
    """
    first = {
        name: int(np.argmin(np.isfinite(values)))
        for name, values in metrics.items()
        if not np.isfinite(values).all()
    }
    if not first:
        return
    offset = min(first.values())
    number = step + offset + 1  # steps are counted by what has been done, as everywhere
    names = files.of_steps(step + offset)
    if names:
        log.error("Files in the batch of step %d: %s", number, ", ".join(names))
    values = ", ".join(f"{name}={metrics[name][offset]}" for name in first if first[name] == offset)
    error = NonFiniteMetricError(
        f"Every loss must be finite. Received: {values} at step {number}"
        + (f", batch of {', '.join(names[:4])} ({len(names)} files)" if names else "")
        + f". The last checkpoint, step {kept[-1] if kept else 'none'}, is untouched. Try a "
        "lower learning rate, or float32 if the run uses float16."
        + ("" if rolls_back else " trainer.on_nonfinite=rollback passes over such batches.")
    )
    error.step = step + offset
    raise error


class GrowthWatch:
    """Warns once of a loss that stays far above its first value: finite, and of no use."""

    def __init__(self) -> None:
        self._first: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self._warned = False

    def look(self, metrics: dict, step: int) -> None:
        """Looks at the values of the steps from `step` on, name -> array."""
        for name in [name for name in metrics if name.endswith("/total")]:
            for offset, value in enumerate(np.abs(metrics[name])):
                limit = GROWN * max(1.0, self._first.setdefault(name, float(value)))
                self._steps[name] = self._steps.get(name, 0) + 1 if value > limit else 0
                if self._steps[name] == STEPS_GROWN and not self._warned:
                    self._warned = True
                    log.warning(
                        "%s is %.3g at step %d, above %g for %d steps; it began at %.3g. Such a "
                        "run seldom recovers: try a lower learning rate.",
                        name, value, step + offset + 1, limit, STEPS_GROWN, self._first[name],
                    )  # fmt: skip


def step_failed(error: tf.errors.OpError, step: int, count: int, files: BatchFiles) -> ValueError:
    """An error inside the compiled steps, in words: memory, or a file that cannot be read."""
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return ValueError(
            "The step needs more memory than the device has. Lower trainer.batch_size, or "
            f"data.image_size or the widths of the networks. Received: {error.message[:300]}"
        )
    names = files.of_steps(step, count)
    steps = f"{step + 1} to {step + count}" if count > 1 else f"{step + 1}"
    log.error("Files in the batches of steps %s: %s", steps, names)
    return ValueError(
        f"A step of {steps} failed. Received: {plain(error)}. If that names no file, the files in "
        "these batches are in train.log; checkpoints are untouched."
    )


def plain(error: tf.errors.OpError) -> str:
    """What an error of TensorFlow says, without its account of the graph."""
    around = ("Graph execution error", "Detected at node", "<stack traces")
    lines = [line for line in error.message.splitlines() if line and not line[0].isspace()]
    return " ".join(line for line in lines if not line.startswith(around))[:500]
