"""The one distribution strategy of the test process: a second one would confuse the collectives."""

import functools

import numpy as np
import tensorflow as tf


@functools.cache
def two_replicas():
    """Returns a MirroredStrategy over the two logical CPUs that conftest.py declares."""
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


def assert_equal_metrics(found, expected, replicas=2, **tolerances):
    """Of a step on several replicas and on one; gradient norms of shares are no smaller than that
    of the mean gradient, and equal to it on one replica."""
    for name, value in expected.items():
        if replicas > 1 and name.startswith("gradient_norm/"):
            assert found[name] >= (1 - 1e-4) * value > 0, name
        else:
            np.testing.assert_allclose(found[name], value, err_msg=name, **tolerances)
