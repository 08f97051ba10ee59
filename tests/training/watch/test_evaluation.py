"""Metrics over a fixed part of a split: which items, which seeds, which rows."""

import numpy as np
import pytest
import tensorflow as tf

from training.watch import evaluation


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


class Counts(Collector):
    """A metric of two classes; `update_state` is Collector's."""

    class_names = ("cat", "dog")

    def confusion(self):
        return np.diag([len(self.seen), 0])


class NeedsItems(Collector):
    def names(self, spec, count):
        return [f"{key}_of_{count}" for key in spec]

    def result(self):
        raise AssertionError("asked without items")


def test_names_are_known_before_a_measurement():
    spec = {"x": tf.TensorSpec([None])}
    assert evaluation.Evaluation({"items": Collector()}).names(spec, 7) == ["eval/count"]
    both = evaluation.Evaluation({"a": Collector(), "b": NeedsItems()}, num_images=5)
    assert both.names(spec, 7) == ["eval/count", "eval/x_of_5"]
    assert both.names(spec, 3) == ["eval/count", "eval/x_of_3"]
    assert evaluation.Evaluation({}).names(spec, 7) == []


def test_confusions_are_named_by_their_metric_where_there_are_several():
    measured = evaluation.Evaluation({"items": Collector(), "one": Counts()})
    measured.measure(generate, dataset(3, 8))
    ((name, (counts, class_names)),) = measured.confusions().items()
    assert name == "eval/confusion" and counts.tolist() == [[3, 0], [0, 0]]
    assert class_names == ("cat", "dog")
    both = evaluation.Evaluation({"one": Counts(), "two": Counts()})
    both.measure(generate, dataset(3, 8))
    assert set(both.confusions()) == {"eval/confusion_one", "eval/confusion_two"}


def test_numbers_below_one_are_refused():
    for settings in ({"num_images": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="must be at least 1. Received"):
            evaluation.Evaluation({}, **settings)


@pytest.mark.parametrize(("num_images", "count"), [(3, 3), (None, 5)])
def test_a_gap_is_measured_on_as_many_training_items(num_images, count):
    class Largest(Collector):
        def result(self):
            largest = max((y for _, y in self.seen), default=0)
            return {"largest": float(largest), "largest/part": 0.0}

    settings = {"num_images": num_images, "batch_size": 2, "gap": ["a"]}
    measured = evaluation.Evaluation({"a": Largest(), "b": Collector()}, **settings)
    shifted = dataset(9, 2).map(lambda batch: batch | {"x": batch["x"] + 100})
    values = measured.measure(generate, dataset(5, 2), training=shifted)
    last, last_train = 11 * (count - 1), 10 * 100 + 11 * (count - 1)
    assert values == {
        "eval/largest": last, "eval/largest/part": 0.0, "eval/count": count,
        "eval/largest_train": last_train, "eval/largest_gap": last - last_train,
    }  # fmt: skip
    assert set(measured.names({}, 5)) == set(values)
    assert "eval/largest_gap" not in measured.measure(generate, dataset(5, 2))


def test_a_gap_is_of_metrics_that_there_are():
    with pytest.raises(ValueError, match=r"metrics of the evaluation, a\. Received: gap=\['b'\]"):
        evaluation.Evaluation({"a": Collector()}, gap=["b"])
    assert evaluation.Evaluation({"a": None}, gap=["a"]).gap == {}


def test_metrics_that_compare_with_training_items_see_them_once():
    class Compared(Collector):
        num_training, remembered = 3, 0

        def remember(self, batch):
            self.remembered += len(batch["x"])

    metric, asked = Compared(), []

    def training(number):
        asked.append(number)
        return dataset(number, 2)

    measured = evaluation.Evaluation({"a": metric, "b": Collector()})
    for _ in range(2):
        measured.remember(training)
    assert metric.remembered == 3 and asked == [3]


class Ratio(Collector):
    def gap(self, here, training):
        return {"ratio": here["count"] / max(training["count"], 1.0)}


def test_a_metric_may_say_what_a_gap_of_its_own_is():
    measured = evaluation.Evaluation({"a": Ratio()}, gap=["a"], num_images=6, batch_size=2)
    values = measured.measure(generate, dataset(6, 2), training=dataset(3, 2))
    assert values == {"eval/count": 6.0, "eval/count_train": 3.0, "eval/ratio": 2.0}
    assert set(measured.names({}, 5)) == set(values)
