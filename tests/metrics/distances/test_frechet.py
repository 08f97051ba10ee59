"""Frechet distances against closed forms and against other ways to a matrix root."""

import numpy as np
import pytest

from metrics.distances import frechet


def gaussian(mean, covariance):
    """Features [2 D, D] that have this mean and this covariance."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, float))
    factor = vectors * np.sqrt(np.where(values < 1e-14 * values.max(), 0.0, values))
    dim = len(factor)
    unit = np.concatenate([np.eye(dim), -np.eye(dim)]) * np.sqrt(dim - 0.5)
    features = unit @ factor.T + np.asarray(mean, float)
    np.testing.assert_allclose(np.cov(features.T).reshape(dim, dim), covariance, atol=1e-10)
    return features


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
    distance = frechet.frechet_distance_of_features(
        gaussian([1.0], [[4.0]]), gaussian([3.0], [[25.0]])
    )
    assert distance == pytest.approx(13.0, rel=1e-14)


def test_commuting_covariances_in_a_turned_frame():
    """There d^2 = |apart|^2 + sum (sqrt a - sqrt b)^2."""
    frame, _ = np.linalg.qr(np.random.default_rng(1).normal(size=[4, 4]))
    a, b = np.array([1.0, 4.0, 9.0, 0.25]), np.array([4.0, 1.0, 16.0, 0.0])
    first = gaussian([0, 0, 0, 0], frame @ np.diag(a) @ frame.T)
    second = gaussian([1, 2, 0, -1], frame @ np.diag(b) @ frame.T)
    expected = 6.0 + (1.0 + 1.0 + 1.0 + 0.25)
    assert frechet.frechet_distance_of_features(first, second) == pytest.approx(expected, rel=1e-12)
    assert frechet.frechet_distance_of_features(second, first) == pytest.approx(expected, rel=1e-12)


def test_two_by_two_that_do_not_commute():
    """For 2 x 2: Tr M^(1/2) = sqrt(Tr M + 2 sqrt(det M))."""
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    product = first @ second
    assert not np.allclose(product, product.T)
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    distance = frechet.frechet_distance_of_features(
        gaussian([0, 0], first), gaussian([0, 3], second)
    )
    assert distance == pytest.approx(9.0 + 5.0 + 6.0 - 2 * root, rel=1e-12)


def test_against_newton_and_against_eigenvalues_of_the_product():
    first, second = random_covariance(2, 7), random_covariance(3, 7)
    distance = frechet.frechet_distance_of_features(
        gaussian(np.zeros(7), first), gaussian(np.zeros(7), second)
    )
    traces = np.trace(first) + np.trace(second)
    eigenvalues = np.linalg.eigvals(first @ second)
    by_eigenvalues = traces - 2 * np.sqrt(eigenvalues.astype(complex)).real.sum()
    assert distance == pytest.approx(by_eigenvalues, rel=1e-10)
    assert distance == pytest.approx(traces - 2 * newton_root_trace(first @ second), rel=1e-8)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_identical_sets_are_at_zero(count):
    """Also with fewer images than features, where most eigenvalues are the rounding of zero."""
    features = np.random.default_rng(4).normal(size=[count, 30]) * 10
    distance = frechet.frechet_distance_of_features(features, features)
    assert 0.0 <= distance < 1e-11 * np.trace(np.cov(features.T))


def test_a_shift_alone_counts_as_its_square():
    first = np.random.default_rng(5).normal(size=[4, 12])
    distance = frechet.frechet_distance_of_features(first, first + 2.0)
    assert distance == pytest.approx(12 * 4.0, rel=1e-10)


def test_rank_deficient_sets_against_their_common_subspace():
    """Two sets in 3 of 20 dimensions have the distance they have in these 3."""
    draw = np.random.default_rng(6)
    frame, _ = np.linalg.qr(draw.normal(size=[20, 3]))
    small = random_covariance(7, 3), random_covariance(8, 3)
    large = [frame @ covariance @ frame.T for covariance in small]
    distance = frechet.frechet_distance_of_features(*[gaussian(np.zeros(20), c) for c in large])
    exact = np.trace(small[0]) + np.trace(small[1]) - 2 * newton_root_trace(small[0] @ small[1])
    assert distance == pytest.approx(exact, rel=1e-8)


def test_sets_in_subspaces_at_right_angles_and_points():
    """The root vanishes: the traces stay. A single repeated image has no covariance."""
    first, second = np.diag([3.0, 0.0, 0.0]), np.diag([0.0, 2.0, 1.0])
    zero = np.zeros(3)
    assert (
        frechet.frechet_distance_of_features(gaussian(zero, first), gaussian(zero, second)) == 6.0
    )
    point = gaussian([1, 0, 0], np.zeros([3, 3]))
    assert frechet.frechet_distance_of_features(point, gaussian(zero, second)) == 4.0
    assert frechet.frechet_distance_of_features(point, point) == 0.0


@pytest.mark.parametrize(("real", "generated"), [(5, 7), (40, 6), (6, 40), (40, 50)])
def test_distance_of_fewer_and_of_more_images_than_features(real, generated):
    """Against the eigenvalues of the product, far from zero."""
    draw = np.random.default_rng(9)
    mix = draw.normal(size=[12, 12])
    sets = [100 + draw.normal(size=[real, 12]), 101 + draw.normal(size=[generated, 12]) @ mix]
    covariances = [np.cov(features.T) for features in sets]
    apart = sets[0].mean(axis=0) - sets[1].mean(axis=0)
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)).real.sum()
    expected = apart @ apart + np.trace(covariances[0] + covariances[1]) - 2 * roots
    assert frechet.frechet_distance_of_features(*sets) == pytest.approx(expected, rel=1e-6)
    same = frechet.frechet_distance_of_features(sets[1], sets[1])
    assert 0.0 <= same < 1e-11 * np.trace(covariances[1])


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
    assert result["mean"] == pytest.approx(5.5)


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
