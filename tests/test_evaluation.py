"""Metrics over a fixed part of a split: which items, which seeds, which rows."""

import numpy as np
import pytest
import tensorflow as tf

from training import evaluation


class Collector:
    def reset_state(self):
        self.seen = []

    def update_state(self, batch, generated):
        self.seen += list(zip(batch["x"].tolist(), generated["y"].tolist(), strict=True))

    def result(self):
        return {"count": float(len(self.seen))}


def dataset(count, batch_size):
    places = np.arange(-(-count // batch_size) * batch_size)
    return tf.data.Dataset.from_tensor_slices(
        {"x": np.minimum(places, count - 1), "valid": places < count}
    ).batch(batch_size)


def generate(batch, seeds):
    return {"y": 10 * batch["x"] + tf.cast(seeds, batch["x"].dtype)}


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize(("num_images", "expected"), [(None, 7), (5, 5), (100, 7)])
def test_every_item_counts_once_with_a_seed_of_its_own(batch_size, num_images, expected):
    collector = Collector()
    measured = evaluation.Evaluation(
        {"items": collector, "none": None}, num_images=num_images, batch_size=batch_size
    )
    values = measured.measure(generate, dataset(7, batch_size))
    assert values == {"eval/count": expected}
    assert collector.seen == [(index, 11 * index) for index in range(expected)]
    assert measured.measure(generate, dataset(7, batch_size)) == values


def test_batches_are_finished_for_the_task_and_for_the_metrics():
    collector = Collector()
    measured = evaluation.Evaluation({"items": collector}, batch_size=2)
    measured.measure(generate, dataset(2, 2), lambda batch: {"x": batch["x"] + 1})
    assert collector.seen == [(1, 10), (2, 21)]


def test_numbers_below_one_are_refused():
    for settings in ({"num_images": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="must be at least 1. Received"):
            evaluation.Evaluation({}, **settings)
