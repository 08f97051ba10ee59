"""Networks that take photographs of any size, for the kinds that do."""

import functools
from collections.abc import Callable

import tensorflow as tf

KEPT = 8  # compiled sizes


def generate(run, inputs: dict) -> dict[str, tf.Tensor]:
    """What the run's task makes of inputs of any size.

    Networks that are called at several sizes need each size static; `run.generate` itself would
    leave it open from the second size on.

    Args:
        run: an opened run.
        inputs: dict of float32 arrays or tensors [B, ...].
    """
    spec = tuple((key, tuple(x.shape[1:]), x.dtype) for key, x in inputs.items())
    count = len(next(iter(inputs.values())))
    return compiled_for(run.task.generate, spec)(inputs, tf.zeros([count], tf.int32))


@functools.lru_cache(maxsize=KEPT)
def compiled_for(task_generate: Callable, spec: tuple) -> Callable:
    """A task's `generate`, compiled for inputs (key, shape of an item, dtype) of any number."""
    shapes = {key: tf.TensorSpec([None, *shape], dtype) for key, shape, dtype in spec}
    # Not called as a tf.function, which would warn of so many traces.
    traced = tf.function(task_generate)
    return traced.get_concrete_function(shapes, tf.TensorSpec([None], tf.int32))
