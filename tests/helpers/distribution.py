"""The one distribution strategy of the test process: a second one would confuse the collectives."""

import functools

import tensorflow as tf


@functools.cache
def two_replicas():
    """Returns a MirroredStrategy over the two logical CPUs that conftest.py declares."""
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
