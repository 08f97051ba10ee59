"""Class accuracy and the confusion it is counted from, against values worked out by hand."""

import numpy as np
import pytest

from metrics import accuracy, confusion


def update(metric, labels, predictions):
    metric.update_state({"label": np.array(labels)}, {"prediction": np.array(predictions)})


def test_figures_of_several_batches():
    metric = accuracy.ClassAccuracy(4, class_names=["cat", "dog", "cow", "ant"])
    update(metric, [0, 0, 0, 1], [0, 1, 0, 1])
    update(metric, np.array([1, 2], np.uint8), np.array([2, 2], np.int64))
    result = metric.result()
    np.testing.assert_equal(
        result,
        {
            "class_accuracy": 4 / 6,
            "class_accuracy/cat": 2 / 3,
            "class_accuracy/dog": 1 / 2,
            "class_accuracy/cow": 1.0,
            "class_accuracy/ant": np.nan,
        },
    )
    assert {type(value) for value in result.values()} == {float}
    counts = metric.confusion()
    np.testing.assert_array_equal(counts, [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert counts.dtype == np.int64


def test_the_confusion_is_a_copy_and_the_state_can_be_reset():
    metric = accuracy.ClassAccuracy(2)
    assert metric.class_names == ("class 0", "class 1")
    update(metric, [0, 1], [0, 0])
    metric.confusion()[:] = 7
    assert metric.result()["class_accuracy"] == 0.5
    metric.reset_state()
    update(metric, np.array([], int), np.array([], int))
    assert metric.confusion().sum() == 0 and np.isnan(list(metric.result().values())).all()


def test_counts_are_exact_beyond_float32():
    metric = accuracy.ClassAccuracy(1)
    for _ in range(20):
        update(metric, np.zeros(2**20, np.uint8), np.zeros(2**20, np.uint8))
    update(metric, [0], [0])
    assert metric.confusion() == [[20 * 2**20 + 1]]


def test_small_integer_types_do_not_overflow():
    counter = confusion.Confusion(200)
    counter.add(np.array([199], np.uint8), np.array([198], np.uint8))
    assert np.argwhere(counter.counts).tolist() == [[199, 198]]


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "labels of shape \\(2,\\), predictions of \\(1,\\)"),
        ([0], [0.0], "integers. Received: predictions of float64"),
        ([0, 3], [0, 1], "classes 0 to 2. Received: labels from 0 to 3"),
        ([0, 1], [0, -1], "Received: predictions from -1 to 0"),
    ],
)
def test_wrong_arrays_are_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        update(accuracy.ClassAccuracy(3), labels, predictions)


@pytest.mark.parametrize("names", [["cat"], ["cat", "cat"], ["cat", "dog", "cow"]])
def test_every_class_has_a_name_of_its_own(names):
    with pytest.raises(ValueError, match="for each of the 2 classes. Received: class_names="):
        accuracy.ClassAccuracy(2, class_names=names)


def test_no_class_is_refused():
    with pytest.raises(ValueError, match="at least one class. Received: num_classes=0"):
        accuracy.ClassAccuracy(0)
