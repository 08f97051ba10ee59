"""The order of items: a permutation in every epoch, and seeds of their own."""

import itertools

import numpy as np
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


@pytest.mark.parametrize("count", [5, 7, 16, 37, 100])
def test_every_item_is_as_likely_at_every_place(count):
    """Chi-square over all (place, item) cells, by 4,000 epochs."""
    epochs = 4000
    orders = tf.stack(
        list(tf.data.Dataset.range(epochs).map(lambda e: order.of_epoch(e, count, 7)))
    ).numpy()
    cells = np.stack([np.bincount(column, minlength=count) for column in orders.T])
    expected, freedom = epochs / count, (count - 1) ** 2
    chi_square = ((cells - expected) ** 2 / expected).sum() / freedom
    assert abs(chi_square - 1) < 4 * (2 / freedom) ** 0.5
    # Nor does an order depend on that of the epoch before, or of another seed.
    same = (orders[1:] == orders[:-1]).mean()
    others = tf.stack([order.of_epoch(tf.constant(e, tf.int64), count, 8) for e in range(100)])
    assert same == pytest.approx(1 / count, rel=0.1)
    assert (others.numpy() == orders[:100]).mean() == pytest.approx(1 / count, rel=0.4)


def test_the_order_of_earlier_runs_is_there_still():
    """As tf.random.experimental.index_shuffle, position by position."""
    key = tf.constant([7 + (order.SHUFFLE_KEY << 32), 3], tf.int64)
    shuffled = tf.random.experimental.index_shuffle
    expected = [
        int(shuffled(tf.constant(i, tf.int64), key, tf.constant(8, tf.int64))) for i in range(9)
    ]
    assert (
        order.of_epoch(tf.constant(3, tf.int64), 9, 7, "index_shuffle").numpy().tolist() == expected
    )
    with pytest.raises(ValueError, match="data.shuffle='random'"):
        order.checked_shuffle("random")


@pytest.mark.parametrize("shuffle", order.SHUFFLES)
def test_a_line_and_its_parts_start_anywhere(shuffle):
    whole = list(order.line_from(0, 5, 3, shuffle).take(40).as_numpy_iterator())
    for position in (0, 4, 5, 13):
        found = order.line_from(position, 5, 3, shuffle).take(12).as_numpy_iterator()
        assert list(found) == whole[position : position + 12]
        at = [order.example_at(tf.constant(p, tf.int64), 5, 3, shuffle) for p in (position,)]
        assert tuple(map(int, at[0])) == whole[position]
    line = order.line_from(6, 5, 3, shuffle)
    for worker in (0, 1, 2):
        part = order.part_of(line, global_batch_size=6, part=2, worker=worker).take(4)
        expected = [whole[6 + 6 * b + 2 * worker + i] for b in (0, 1) for i in (0, 1)]
        assert list(part.as_numpy_iterator()) == expected


def test_augmentation_seeds_are_distinct():
    seeds = {
        tuple(order.augmentation_seed(seed, tf.constant(e, tf.int64), tf.constant(i, tf.int64), p)
              .numpy().tolist())
        for seed, e, i, p in itertools.product((0, 7, 2**31 - 1), (0, 1), (0, 1, 2**31), (0, 1))
    }  # fmt: skip
    assert len(seeds) == 3 * 2 * 3 * 2
