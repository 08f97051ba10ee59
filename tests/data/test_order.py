"""The order of items: a permutation in every epoch, and seeds of their own."""

import itertools

import pytest
import tensorflow as tf

from data import order


@pytest.mark.parametrize("count", [1, 2, 3, 10, 37])
def test_the_shuffle_is_a_permutation_in_every_epoch(count):
    index_of = tf.function(lambda p: order.example_at(p, count, 2**31 - 1))
    for epoch in (0, 1, 2**20):
        found = [index_of(tf.constant(epoch * count + i, tf.int64)) for i in range(count)]
        assert sorted(int(index) for _, index in found) == list(range(count))
        assert {int(e) for e, _ in found} == {epoch}


def test_augmentation_seeds_are_distinct():
    seeds = {
        tuple(order.augmentation_seed(seed, tf.constant(e, tf.int64), tf.constant(i, tf.int64), p)
              .numpy().tolist())
        for seed, e, i, p in itertools.product((0, 7, 2**31 - 1), (0, 1), (0, 1, 2**31), (0, 1))
    }  # fmt: skip
    assert len(seeds) == 3 * 2 * 3 * 2
