"""What stops a training, in words: losses that are not finite, steps that cannot be computed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

log = logging.getLogger(__name__)


class NonFiniteMetricError(ValueError):
    """A loss has become infinite or not a number."""


@dataclass(frozen=True)
class BatchFiles:
    """Names of the files in the batches of some steps, where the data can tell."""

    names_of_batch: Callable[[int], list[str]] | None
    batches_per_step: int

    def of_steps(self, first: int, count: int = 1) -> list[str]:
        if self.names_of_batch is None:
            return []
        batches = range(first * self.batches_per_step, (first + count) * self.batches_per_step)
        return [name for number in batches for name in self.names_of_batch(number)]


def require_finite(metrics: dict, step: int, kept: list[int], files: BatchFiles) -> None:
    """Stops at the first value that is not finite, and says where it was.

    Args:
        metrics: name -> values of the steps from `step` on.
        step: steps done before them.
        kept: steps of the checkpoints there are.
        files: what the batches were made of.

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
    raise NonFiniteMetricError(
        f"Every loss must be finite. Received: {values} at step {number}"
        + (f", batch of {', '.join(names[:4])} ({len(names)} files)" if names else "")
        + f". The last checkpoint, step {kept[-1] if kept else 'none'}, is untouched. Try a "
        "lower learning rate, or float32 if the run uses float16."
    )


def step_failed(error: tf.errors.OpError, step: int, count: int, files: BatchFiles) -> ValueError:
    """An error inside the compiled steps, in words: memory, or a file that cannot be read."""
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return ValueError(
            "The step needs more memory than the device has. Lower trainer.batch_size, or "
            f"data.image_size or the widths of the networks. Received: {error.message[:300]}"
        )
    names = files.of_steps(step, count)
    log.error("Files in the batches of steps %d to %d: %s", step + 1, step + count, names)
    return ValueError(
        f"One of the steps {step + 1} to {step + count} failed. Received: {error.message[:500]}. "
        "If that names no file, the files in these batches are in train.log; checkpoints are "
        "untouched."
    )
