"""Inception score against its bounds and a case worked out by hand."""

import math

import numpy as np
import pytest

from metrics.distances import inception_score


def test_certain_and_varied_answers_score_the_number_of_classes():
    result = inception_score.inception_score(np.tile(np.eye(7), [10, 1]), splits=10)
    assert result["mean"] == pytest.approx(7.0, rel=1e-14)
    assert result["std"] == pytest.approx(0.0, abs=1e-12) and result["splits"] == 10


@pytest.mark.parametrize(
    "answers", [np.full([20, 5], 0.2), np.tile([[0.7, 0.3]], [20, 1]), np.tile([[1, 0]], [20, 1])]
)
def test_equal_answers_score_one(answers):
    assert inception_score.inception_score(answers)["mean"] == pytest.approx(1.0, rel=1e-14)


def test_two_images_by_hand():
    """p(y) = (0.75, 0.25); divergences 1 log 4/3 and 0.5 log 2/3 + 0.5 log 2."""
    divergence = (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2
    result = inception_score.inception_score([[1.0, 0.0], [0.5, 0.5]], splits=1)
    assert result["mean"] == pytest.approx(math.exp(divergence), rel=1e-14)


def test_splits_are_taken_in_order_with_their_own_marginal():
    """7 images in 3 splits: 0-1, 2-3, 4-6, of 2, 1 and 3 classes."""
    rows = np.eye(3)[[0, 1, 2, 2, 0, 1, 2]]
    result = inception_score.inception_score(rows, splits=3)
    assert result["mean"] == pytest.approx(2.0, rel=1e-14)
    assert result["std"] == pytest.approx(math.sqrt(2 / 3), rel=1e-14)


def test_softmax_of_large_logits():
    result = inception_score.softmax(np.array([[1e4, 1e4], [0.0, math.log(3)]]))
    np.testing.assert_allclose(result, [[0.5, 0.5], [0.25, 0.75]], rtol=1e-14)
    assert result.dtype == np.float64


@pytest.mark.parametrize(
    ("rows", "splits", "message"),
    [
        (np.zeros([3]), 1, r"probabilities \[N, K\]. Received: shape \(3,\)"),
        (np.zeros([0, 3]), 1, r"Received: shape \(0, 3\)"),
        ([[2.0, -1.0]], 1, "values from -1, sums from 1 to 1. Put logits through softmax"),
        ([[0.5, 0.4]], 1, "sums from 0.9 to 0.9"),
        ([[np.nan, 1.0]], 1, "sum to 1. Received: values from nan"),
        ([[0.5, 0.5]], 2, "1 to 1 splits, as there are images. Received: splits=2"),
        ([[0.5, 0.5]], 0, "Received: splits=0"),
    ],
)
def test_what_is_no_probability_is_refused(rows, splits, message):
    with pytest.raises(ValueError, match=message):
        inception_score.inception_score(rows, splits)
