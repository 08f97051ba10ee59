"""Segmentation scores against values worked out by hand."""

import numpy as np
import pytest

from metrics import segmentation

LABELS = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
PREDICTIONS = np.array([[0, 0, 1, 1], [1, 3, 2, 0]], np.int32)


def test_scores_by_hand():
    """Class 0: 2 of 3 in the union; 1: 2 of 4; 2: nowhere that counts; 3: predicted alone."""
    scores = segmentation.SegmentationScores(4)
    scores.update_state(LABELS[:1], PREDICTIONS[:1])
    scores.update_state(LABELS[1:], PREDICTIONS[1:])
    result = scores.result()
    assert result["count"] == 6 and result["accuracy"] == 4 / 6
    np.testing.assert_array_equal(result["iou_per_class"], [2 / 3, 2 / 4, np.nan, 0.0])
    np.testing.assert_allclose(result["mean_iou"], (2 / 3 + 1 / 2) / 2)  # those that are there
    np.testing.assert_array_equal(result["count_per_class"], [3, 3, 0, 0])
    np.testing.assert_array_equal(
        result["confusion"], [[2, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    )


def test_scores_are_of_the_whole_set_not_means_of_batches():
    scores = segmentation.SegmentationScores(2)
    scores.update_state([0] * 9 + [1], [0] * 10)
    scores.update_state([0, 1], [1, 1])
    # Class 0: 9 right, union 11; class 1: 1 right, union 3.
    np.testing.assert_allclose(scores.result()["mean_iou"], (9 / 11 + 1 / 3) / 2)


def test_against_sets_of_pixels():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 5, (2, 3, 16, 12))
    labels[rng.random(labels.shape) < 0.2] = 255
    scores = segmentation.SegmentationScores(5)
    scores.update_state(labels, predictions)
    truth, guess = {}, {}
    for index in np.ndindex(labels.shape):
        if labels[index] != 255:
            truth.setdefault(int(labels[index]), set()).add(index)
            guess.setdefault(int(predictions[index]), set()).add(index)
    expected = [len(truth[k] & guess[k]) / len(truth[k] | guess[k]) for k in range(5)]
    np.testing.assert_allclose(scores.result()["iou_per_class"], expected)


def test_no_pixel_that_counts():
    scores = segmentation.SegmentationScores(2)
    scores.update_state([255], [1])
    result = scores.result()
    assert result["count"] == 0 and np.isnan(result["mean_iou"]) and np.isnan(result["accuracy"])
    scores.update_state([1], [1])
    assert scores.result()["mean_iou"] == 1.0
    scores.reset_state()
    assert scores.result()["count"] == 0


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "labels of shape \\(2,\\), predictions of \\(1,\\)"),
        ([0, 1], [0, 255], "classes 0 to 1. Received: predictions from 0 to 255"),
        ([0, 254], [0, 1], "labels from 0 to 254"),
    ],
)
def test_wrong_arrays_are_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        segmentation.SegmentationScores(2).update_state(labels, predictions)


def test_every_pixel_counts_without_an_ignore_index():
    scores = segmentation.SegmentationScores(256, ignore_index=None)
    scores.update_state([255, 0], [255, 1])
    assert scores.result()["accuracy"] == 0.5
    with pytest.raises(ValueError, match="at least one class"):
        segmentation.SegmentationScores(0)
