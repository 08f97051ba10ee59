"""The positions that attentive normalisation draws: in range, and each image's own."""

import numpy as np
import tensorflow as tf

from models.layers import attentive_normalization, regions

RNG = np.random.default_rng(0)
SEED = RNG.integers(-(2**31), 2**31, (2, 2)).astype("int32")


def seeds(count):
    return RNG.integers(-(2**31), 2**31, (count, 2)).astype("int32")


def test_positions_are_distinct_and_in_range():
    drawn = regions.sample_positions(seeds(500), 16, 20).numpy()
    assert drawn.dtype == np.int32 and drawn.min() == 0 and drawn.max() == 19
    assert all(len(set(row)) == 16 for row in drawn)


def test_a_draw_belongs_to_its_image():
    many = seeds(6)
    drawn = regions.sample_positions(many, 4, 64).numpy()
    np.testing.assert_array_equal(regions.sample_positions(many[3:4], 4, 64)[0], drawn[3])
    assert len({tuple(sorted(row)) for row in drawn}) == 6
    for jit_compile in (False, True):
        compiled = tf.function(
            lambda seeds: regions.sample_positions(seeds, 4, 64), jit_compile=jit_compile
        )
        np.testing.assert_array_equal(compiled(tf.constant(many)), drawn)


def test_neighbouring_seeds_draw_independently():
    """Seeds that count up, in either number: every position is drawn equally often and alone."""
    count, positions, chosen = 4096, 64, 8
    for column in (0, 1):
        counting = np.zeros((count, 2), "int32")
        counting[:, column] = np.arange(count)
        drawn = regions.sample_positions(counting, chosen, positions).numpy()
        hits = np.eye(positions)[drawn].sum(1)
        rate = chosen / positions
        deviation = np.sqrt(rate * (1 - rate) / count)
        assert np.abs(hits.mean(0) - rate).max() < 5 * deviation
        consecutive = (hits[1:] * hits[:-1]).sum(1).mean()  # positions that two in a row share
        assert abs(consecutive - chosen * rate) < 5 * np.sqrt(chosen * rate / count)


def test_few_positions_repeat():
    drawn = regions.sample_positions(seeds(200), 16, 3).numpy()
    assert set(drawn.flat) == {0, 1, 2}


def test_the_layout_changes_with_seed_only():
    x = RNG.normal(size=(2, 8, 8, 8)).astype("float32")
    x[1] = x[0]
    layer = attentive_normalization.AttentiveNormalization(temperature=1.0)
    first = layer(x, SEED, training=True)["layout"].numpy()
    np.testing.assert_array_equal(layer(x, SEED, training=True)["layout"], first)
    assert np.abs(first[0] - first[1]).max() > 1e-3  # the same image under two seeds
    assert np.abs(layer(x, SEED + 1, training=True)["layout"] - first).max() > 1e-3
