"""Frechet distances against closed forms and against other ways to a matrix root."""

import numpy as np
import pytest

from metrics.distances import frechet


def gaussian(mean, covariance):
    return {"mean": np.asarray(mean, float), "covariance": np.asarray(covariance, float)}


def statistics_of(features):
    return gaussian(np.mean(features, axis=0), np.cov(np.transpose(features)))


def random_covariance(seed, dim, rank=None):
    factor = np.random.default_rng(seed).normal(size=[dim, rank or dim])
    return factor @ factor.T / dim


def newton_root_trace(product):
    """Trace of the root of a matrix by Denman and Beavers' iteration: no eigenvalues at all."""
    root, inverse = product, np.eye(len(product))
    for _ in range(60):
        root, inverse = (
            (root + np.linalg.inv(inverse)) / 2,
            (inverse + np.linalg.inv(root)) / 2,
        )
    np.testing.assert_allclose(root @ root, product, rtol=1e-8, atol=1e-10)
    return np.trace(root)


def test_one_dimension_by_hand():
    """(3 - 1)^2 + (2 - 5)^2 for deviations 2 and 5."""
    distance = frechet.frechet_distance(gaussian([1.0], [[4.0]]), gaussian([3.0], [[25.0]]))
    assert distance == pytest.approx(13.0, rel=1e-14)


def test_commuting_covariances_in_a_turned_frame():
    """There d^2 = |apart|^2 + sum (sqrt a - sqrt b)^2."""
    frame, _ = np.linalg.qr(np.random.default_rng(1).normal(size=[4, 4]))
    a, b = np.array([1.0, 4.0, 9.0, 0.25]), np.array([4.0, 1.0, 16.0, 0.0])
    first = gaussian([0, 0, 0, 0], frame @ np.diag(a) @ frame.T)
    second = gaussian([1, 2, 0, -1], frame @ np.diag(b) @ frame.T)
    expected = 6.0 + (1.0 + 1.0 + 1.0 + 0.25)
    assert frechet.frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)
    assert frechet.frechet_distance(second, first) == pytest.approx(expected, rel=1e-12)


def test_two_by_two_that_do_not_commute():
    """For 2 x 2: Tr M^(1/2) = sqrt(Tr M + 2 sqrt(det M))."""
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    product = first @ second
    assert not np.allclose(product, product.T)
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    distance = frechet.frechet_distance(gaussian([0, 0], first), gaussian([0, 3], second))
    assert distance == pytest.approx(9.0 + 5.0 + 6.0 - 2 * root, rel=1e-12)


def test_against_newton_and_against_eigenvalues_of_the_product():
    first, second = random_covariance(2, 7), random_covariance(3, 7)
    distance = frechet.frechet_distance(gaussian(np.zeros(7), first), gaussian(np.zeros(7), second))
    traces = np.trace(first) + np.trace(second)
    eigenvalues = np.linalg.eigvals(first @ second)
    by_eigenvalues = traces - 2 * np.sqrt(eigenvalues.astype(complex)).real.sum()
    assert distance == pytest.approx(by_eigenvalues, rel=1e-10)
    assert distance == pytest.approx(traces - 2 * newton_root_trace(first @ second), rel=1e-8)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_identical_sets_are_at_zero(count):
    """Also with fewer images than features, where most eigenvalues are the rounding of zero."""
    features = np.random.default_rng(4).normal(size=[count, 30]) * 10
    result = statistics_of(features)
    distance = frechet.frechet_distance(result, result)
    assert 0.0 <= distance < 1e-11 * np.trace(result["covariance"])


def test_a_shift_alone_counts_as_its_square():
    features = np.random.default_rng(5).normal(size=[4, 12])
    first = statistics_of(features)
    second = statistics_of(features + 2.0)
    assert frechet.frechet_distance(first, second) == pytest.approx(12 * 4.0, rel=1e-10)


def test_rank_deficient_sets_against_their_common_subspace():
    """Two sets in 3 of 20 dimensions have the distance they have in these 3."""
    draw = np.random.default_rng(6)
    frame, _ = np.linalg.qr(draw.normal(size=[20, 3]))
    small = random_covariance(7, 3), random_covariance(8, 3)
    large = [frame @ covariance @ frame.T for covariance in small]
    distance = frechet.frechet_distance(*[gaussian(np.zeros(20), c) for c in large])
    exact = np.trace(small[0]) + np.trace(small[1]) - 2 * newton_root_trace(small[0] @ small[1])
    assert distance == pytest.approx(exact, rel=1e-8)


def test_sets_in_subspaces_at_right_angles_and_points():
    """The root vanishes: the traces stay. A single repeated image has no covariance."""
    first, second = np.diag([3.0, 0.0, 0.0]), np.diag([0.0, 2.0, 1.0])
    zero = np.zeros(3)
    assert frechet.frechet_distance(gaussian(zero, first), gaussian(zero, second)) == 6.0
    point = gaussian([1, 0, 0], np.zeros([3, 3]))
    assert frechet.frechet_distance(point, gaussian(zero, second)) == 4.0
    assert frechet.frechet_distance(point, point) == 0.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (gaussian([0.0], [[1.0]]), "as many features of both. Received: 2 real and 1 generated"),
        (gaussian([0.0, 0.0], [[1.0]]), r"covariance of shape \[D, D\]. Received: \(2,\)"),
        (gaussian([0.0, np.nan], np.eye(2)), "finite statistics"),
        (gaussian([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]), "a symmetric covariance"),
        (gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, -0.5]]), "negative eigenvalues.* with -0.5"),
    ],
)
def test_wrong_statistics_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        frechet.frechet_distance(gaussian([0.0, 0.0], np.eye(2)), wrong)


@pytest.mark.parametrize(("real", "generated"), [(5, 7), (40, 6), (6, 40), (40, 50)])
def test_features_at_hand_give_the_same_distance(real, generated):
    """With fewer and with more images than features, far from zero."""
    draw = np.random.default_rng(9)
    mix = draw.normal(size=[12, 12])
    sets = [100 + draw.normal(size=[real, 12]), 101 + draw.normal(size=[generated, 12]) @ mix]
    statistics = [statistics_of(features) for features in sets]
    expected = frechet.frechet_distance(*statistics)
    assert frechet.frechet_distance_of_features(*sets) == pytest.approx(expected, rel=1e-9)
    same = frechet.frechet_distance_of_features(sets[1], sets[1])
    assert 0.0 <= same < 1e-11 * np.trace(statistics[1]["covariance"])


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        (np.zeros([4]), r"features \[N, D\] and \[M, D\]. Received: shapes \(\(3, 2\), \(4,\)\)"),
        (np.zeros([4, 3]), r"\[M, D\]. Received: shapes \(\(3, 2\), \(4, 3\)\)"),
        (np.zeros([1, 2]), "at least two images of each"),
        (np.full([4, 2], np.nan), "finite features"),
    ],
)
def test_wrong_features_are_refused(generated, message):
    with pytest.raises(ValueError, match=message):
        frechet.frechet_distance_of_features(np.zeros([3, 2]), generated)


def test_distance_of_each_class_by_hand():
    """Class 0: shifted by 3. Class 1: deviation doubled. Class 2 and 3: too few of one side."""
    real = np.array([[-1.0], [1.0], [-1.0], [1.0], [5.0], [0.0], [1.0]])
    generated = np.array([[2.0], [4.0], [-2.0], [2.0], [5.0], [6.0]])
    result = frechet.intra_class_frechet_distance(
        real, np.array([0, 0, 1, 1, 2, 3, 3]), generated, np.array([0, 0, 1, 1, 2, 2]), 4
    )
    expected = [9.0, 2.0, np.nan, np.nan]  # variances 2 and 8: (sqrt 8 - sqrt 2)^2
    np.testing.assert_allclose(result["per_class"], expected, rtol=1e-12)
    assert result["mean"] == pytest.approx(5.5) and result["classes"] == 2
    np.testing.assert_array_equal(result["count_real"], [2, 2, 1, 2])
    np.testing.assert_array_equal(result["count_generated"], [2, 2, 2, 0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0], "with a label for each. Received: features of shape \\(2, 1\\), labels of \\(1,\\)"),
        ([0.0, 1.0], "generated labels as integers 0 to 1. Received: float64"),
        ([0, 2], "integers 0 to 1. Received: int64 from 0 to 2"),
        ([0, 1], "two real and two generated images at least. Received: \\[2, 0\\]"),
    ],
)
def test_wrong_labels_are_refused(labels, message):
    features = np.zeros([2, 1])
    with pytest.raises(ValueError, match=message):
        frechet.intra_class_frechet_distance(features, [0, 0], features, labels, 2)
