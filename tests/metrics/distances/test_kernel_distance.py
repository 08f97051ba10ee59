"""Kernel distance against a double loop over pairs of images."""

import numpy as np
import pytest

from metrics.distances import kernel_distance


def by_double_loop(real, generated):
    dim, total = real.shape[1], {}
    pairs = {"rr": (real, real), "gg": (generated, generated), "rg": (real, generated)}
    for name, (first, second) in pairs.items():
        values = []
        for i, a in enumerate(first):
            for j, b in enumerate(second):
                if name == "rg" or i != j:
                    dot = sum(float(u) * float(v) for u, v in zip(a, b, strict=True))
                    values.append((dot / dim + 1.0) ** 3)
        total[name] = sum(values) / len(values)
    return total["rr"] + total["gg"] - 2 * total["rg"]


def test_all_images_against_the_double_loop():
    draw = np.random.default_rng(0)
    real, generated = draw.normal(size=[7, 3]), draw.normal(0.5, 2.0, size=[5, 3])
    expected = by_double_loop(real, generated)
    assert kernel_distance.unbiased_discrepancy(real, generated) == pytest.approx(
        expected, rel=1e-12
    )
    assert kernel_distance.unbiased_discrepancy(
        real.astype(np.float32), generated.astype(np.float32)
    ) == pytest.approx(expected, rel=1e-5)


def test_four_numbers_by_hand():
    """k(a, b) = (ab + 1)^3: k(0, 1) = 1, k(2, 3) = 343; across: 1, 1, 27, 64."""
    distance = kernel_distance.unbiased_discrepancy([[0.0], [1.0]], [[2.0], [3.0]])
    assert distance == pytest.approx(1.0 + 343.0 - 2 * (1 + 1 + 27 + 64) / 4, rel=1e-14)


def test_subsets_are_drawn_without_replacement_and_averaged():
    """Of three images each, a subset of two leaves one out: nine pairs of subsets in all."""
    real, generated = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [-1.0]])
    possible = [
        by_double_loop(np.delete(real, i, axis=0), np.delete(generated, j, axis=0))
        for i in range(3)
        for j in range(3)
    ]
    for seed in range(20):
        once = kernel_distance.kernel_distance(real, generated, subsets=1, subset_size=2, seed=seed)
        assert np.min(np.abs(np.array(possible) - once["mean"])) < 1e-9
    many = kernel_distance.kernel_distance(real, generated, subsets=3000, subset_size=2)
    assert many["mean"] == pytest.approx(np.mean(possible), abs=4 * np.std(possible) / 3000**0.5)
    assert many["std"] == pytest.approx(np.std(possible), rel=0.1)
    assert many["subsets"] == 3000 and many["subset_size"] == 2


def test_the_seed_decides_and_a_subset_knows_only_its_index():
    draw = np.random.default_rng(1)
    real, generated = draw.normal(size=[30, 4]), draw.normal(size=[20, 4])

    def measure(**settings):
        return kernel_distance.kernel_distance(real, generated, subset_size=5, **settings)

    assert measure(subsets=4, seed=3) == measure(subsets=4, seed=3)
    assert measure(subsets=4, seed=3)["mean"] != measure(subsets=4, seed=4)["mean"]
    first, both = measure(subsets=1)["mean"], measure(subsets=2)
    assert both["std"] == pytest.approx(abs(first - both["mean"]), rel=1e-9)


def test_a_subset_of_all_images_is_the_whole():
    draw = np.random.default_rng(2)
    real, generated = draw.normal(size=[6, 3]), draw.normal(size=[6, 3])
    result = kernel_distance.kernel_distance(real, generated, subsets=3)
    assert result["subset_size"] == 6 and result["std"] < 1e-12
    assert result["mean"] == pytest.approx(by_double_loop(real, generated), rel=1e-10)


def test_images_of_one_source_are_at_zero_in_the_mean():
    """Unbiased: the mean over many small sets is within its own error of zero."""
    draw = np.random.default_rng(3)
    values = [
        kernel_distance.unbiased_discrepancy(draw.normal(size=[4, 2]), draw.normal(size=[4, 2]))
        for _ in range(4000)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / 4000**0.5
    assert min(values) < 0.0


@pytest.mark.parametrize(
    ("real", "settings", "message"),
    [
        (np.zeros([3]), {}, r"features \[N, D\] and \[M, D\]. Received: shapes \(\(3,\), \(2, 2\)"),
        (np.zeros([3, 1]), {}, r"\[M, D\]. Received: shapes"),
        (np.zeros([1, 2]), {}, "at least two images of each"),
        (np.full([3, 2], np.inf), {}, "finite features"),
        (np.zeros([3, 2]), {"subsets": 0}, "Received: subsets=0, subset_size=1000"),
        (np.zeros([3, 2]), {"subset_size": 1}, "at least two images. Received: subsets=100"),
    ],
)
def test_what_cannot_be_measured_is_refused(real, settings, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance.kernel_distance(real, np.zeros([2, 2]), **settings)
