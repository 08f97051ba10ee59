"""Batches of a pipeline as arrays: taken, joined, compared."""

import itertools

import numpy as np


def take(dataset, count):
    return [{k: v.numpy() for k, v in b.items()} for b in itertools.islice(dataset, count)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def joined(batches):
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
