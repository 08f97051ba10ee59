"""Class accuracy against values worked out by hand."""

import numpy as np
import pytest

from metrics import accuracy


def test_counts_of_several_batches():
    metric = accuracy.ClassAccuracy(4)
    metric.update_state([0, 0, 0, 1], [0, 1, 0, 1])
    metric.update_state(np.array([[1, 2]], np.uint8), np.array([[2, 2]], np.int64))
    result = metric.result()
    assert result["count"] == 6 and result["accuracy"] == 4 / 6
    np.testing.assert_array_equal(result["count_per_class"], [3, 2, 1, 0])
    np.testing.assert_array_equal(result["accuracy_per_class"], [2 / 3, 1 / 2, 1.0, np.nan])
    np.testing.assert_array_equal(
        result["confusion"], [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    )
    assert result["confusion"].dtype == result["count_per_class"].dtype == np.int64
    assert result["accuracy_per_class"].dtype == np.float64


def test_the_result_is_a_copy_and_the_state_can_be_reset():
    metric = accuracy.ClassAccuracy(2)
    metric.update_state([0, 1], [0, 0])
    metric.result()["confusion"][:] = 7
    assert metric.result()["accuracy"] == 0.5
    metric.reset_state()
    empty = metric.result()
    assert empty["count"] == 0 and np.isnan(empty["accuracy"])
    metric.update_state(np.array([], int), np.array([], int))
    assert metric.result()["count"] == 0


def test_counts_are_exact_beyond_float32():
    metric = accuracy.ClassAccuracy(1)
    for _ in range(20):
        metric.update_state(np.zeros(2**20, np.uint8), np.zeros(2**20, np.uint8))
    metric.update_state([0], [0])
    assert metric.result()["count"] == 20 * 2**20 + 1


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
        accuracy.ClassAccuracy(3).update_state(labels, predictions)


def test_no_class_is_refused():
    with pytest.raises(ValueError, match="at least one class. Received: num_classes=0"):
        accuracy.ClassAccuracy(0)
