"""Segmentation scores against values worked out by hand."""

import numpy as np
import pytest

from metrics import segmentation

LABELS = np.array([[0, 0, 0, 1], [1, 1, 255, 255]], np.uint8)
PREDICTIONS = np.array([[0, 0, 1, 1], [1, 3, 2, 0]], np.int32)


def update(scores, labels, predictions):
    scores.update_state({"label_map": np.array(labels)}, {"prediction": np.array(predictions)})


def test_scores_by_hand():
    """Class 0: 2 of 3 in the union; 1: 2 of 4; 2: nowhere that counts; 3: predicted alone."""
    scores = segmentation.SegmentationScores(4, class_names=["wall", "sky", "door", "tree"])
    update(scores, LABELS[:1], PREDICTIONS[:1])
    update(scores, LABELS[1:], PREDICTIONS[1:])
    result = scores.result()
    np.testing.assert_equal(
        result,
        {
            "mean_iou": (2 / 3 + 1 / 2) / 2,  # of the classes that are there
            "pixel_accuracy": 4 / 6,
            "iou/wall": 2 / 3,
            "iou/sky": 2 / 4,
            "iou/door": np.nan,
            "iou/tree": 0.0,
        },
    )
    assert {type(value) for value in result.values()} == {float}
    np.testing.assert_array_equal(
        scores.confusion(), [[2, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    )


def test_scores_are_of_the_whole_set_not_means_of_batches():
    scores = segmentation.SegmentationScores(2)
    update(scores, [0] * 9 + [1], [0] * 10)
    update(scores, [0, 1], [1, 1])
    # Class 0: 9 right, union 11; class 1: 1 right, union 3.
    np.testing.assert_allclose(scores.result()["mean_iou"], (9 / 11 + 1 / 3) / 2)


def test_against_sets_of_pixels():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 5, (2, 3, 16, 12))
    labels[rng.random(labels.shape) < 0.2] = 255
    scores = segmentation.SegmentationScores(5)
    update(scores, labels, predictions)
    truth, guess = {}, {}
    for index in np.ndindex(labels.shape):
        if labels[index] != 255:
            truth.setdefault(int(labels[index]), set()).add(index)
            guess.setdefault(int(predictions[index]), set()).add(index)
    expected = {
        f"iou/class {k}": len(truth[k] & guess[k]) / len(truth[k] | guess[k]) for k in range(5)
    }
    result = scores.result()
    assert {name: result[name] for name in expected} == pytest.approx(expected)


def test_no_pixel_that_counts():
    scores = segmentation.SegmentationScores(2)
    update(scores, [255], [1])
    assert np.isnan(list(scores.result().values())).all()
    update(scores, [1], [1])
    assert scores.result()["mean_iou"] == 1.0
    scores.confusion()[:] = 7
    assert scores.confusion().tolist() == [[0, 0], [0, 1]]
    scores.reset_state()
    assert scores.confusion().sum() == 0


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
        update(segmentation.SegmentationScores(2), labels, predictions)


def test_every_pixel_counts_without_an_ignore_index():
    scores = segmentation.SegmentationScores(256, ignore_index=None)
    update(scores, [255, 0], [255, 1])
    assert scores.result()["pixel_accuracy"] == 0.5
    with pytest.raises(ValueError, match="at least one class"):
        segmentation.SegmentationScores(0)
