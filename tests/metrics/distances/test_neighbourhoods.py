"""Precision, recall, density and coverage on points that can be counted by hand."""

import numpy as np
import pytest

from metrics.distances import neighbourhoods

BOTH = (neighbourhoods.precision_recall, neighbourhoods.density_coverage)


def column(*values):
    return np.array(values, float)[:, None]


# Real 0, 1, 3, 10 with k = 1: radii 1, 1, 2, 7, so balls [-1, 1], [0, 2], [1, 5], [3, 17].
# Generated 0.5, 4, 30 with k = 1: radii 3.5, 3.5, 26, so balls [-3, 4], [0.5, 7.5], [4, 56].
REAL, GENERATED = column(0, 1, 3, 10), column(0.5, 4, 30)


@pytest.mark.parametrize("block", [1, 2, 1024])
def test_points_on_a_line(block):
    assert neighbourhoods.precision_recall(REAL, GENERATED, neighbours=1, block=block) == {
        "precision": 2 / 3,  # 0.5 and 4, not 30
        "recall": 1.0,  # 0, 1 and 3 in the first ball, 10 in the third
    }
    assert neighbourhoods.density_coverage(REAL, GENERATED, neighbours=1, block=block) == {
        "density": 4 / 3,  # 0.5 lies in two balls, 4 in two, 30 in none
        "coverage": 1.0,
    }


def test_two_neighbours():
    """Radii of the real points: 3, 2, 3, 9; balls [-3, 3], [-1, 3], [0, 6], [1, 19]."""
    result = neighbourhoods.density_coverage(REAL, column(4, 20, -2), neighbours=2)
    assert result == {"density": 3 / (2 * 3), "coverage": 3 / 4}


def test_recall_misses_what_is_not_made():
    """All generated at one end: precise, but of the two real groups one is not covered."""
    real, generated = column(0, 1, 2, 100, 101, 102), column(0, 1, 2)
    pair = neighbourhoods.precision_recall(real, generated, neighbours=1)
    assert pair == {"precision": 1.0, "recall": 0.5}
    pair = neighbourhoods.density_coverage(real, generated, neighbours=1)
    assert pair["coverage"] == 0.5 and pair["density"] == 7 / 3


def test_an_outlier_moves_precision_but_hardly_density():
    real, generated = column(0, 1, 2, 3, 100), column(50, 51, 52, 53)
    assert neighbourhoods.precision_recall(real, generated, neighbours=1)["precision"] == 1.0
    result = neighbourhoods.density_coverage(real, generated, neighbours=2)
    assert result == {"density": 0.5, "coverage": 0.2}


def test_ties_and_repeated_points_are_inside():
    assert neighbourhoods.precision_recall(column(0, 2, 2), column(4, 4), neighbours=1) == {
        "precision": 0.0,
        "recall": 0.0,
    }
    assert neighbourhoods.precision_recall(column(0, 2), column(4, 4), neighbours=1) == {
        "precision": 1.0,
        "recall": 0.0,
    }


def test_many_dimensions_against_loops():
    draw = np.random.default_rng(0)
    real, generated = draw.normal(5.0, 1.0, [23, 4]), draw.normal(5.5, 1.0, [17, 4])

    def radius(points, index, k):
        others = [np.linalg.norm(p - points[index]) for i, p in enumerate(points) if i != index]
        return sorted(others)[k - 1]

    def inside(centres, probes, k):
        radii = [radius(centres, index, k) for index in range(len(centres))]
        return np.array(
            [[np.linalg.norm(p - c) <= r for c, r in zip(centres, radii, strict=True)]
             for p in probes]
        )  # fmt: skip

    real_balls, made_balls = inside(real, generated, 3), inside(generated, real, 3)
    for shift in (0.0, 1e8):  # far from zero the expanded square would lose its digits
        pair = neighbourhoods.precision_recall(real + shift, generated + shift, block=5)
        assert pair["precision"] == real_balls.any(axis=1).mean()
        assert pair["recall"] == made_balls.any(axis=1).mean()
    real_balls = inside(real, generated, 5)
    pair = neighbourhoods.density_coverage(real, generated, block=5)
    assert pair["density"] == pytest.approx(real_balls.sum() / (5 * 17), rel=1e-14)
    assert pair["coverage"] == real_balls.any(axis=0).mean()


def test_one_source_has_density_one_and_the_coverage_of_the_paper():
    """Naeem et al., lemma 2: coverage 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k))."""
    draw = np.random.default_rng(1)
    densities, coverages = [], []
    for _ in range(30):
        pair = neighbourhoods.density_coverage(draw.normal(size=[60, 2]), draw.normal(size=[60, 2]))
        densities.append(pair["density"])
        coverages.append(pair["coverage"])
    expected = 1.0 - np.prod([(60 - i) / (120 - i) for i in range(1, 6)])
    assert np.mean(densities) == pytest.approx(1.0, abs=0.08)
    assert np.mean(coverages) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize(
    ("real", "settings", "message"),
    [
        (np.zeros([9]), {}, r"features \[N, D\] and \[M, D\]. Received: shapes"),
        (np.zeros([9, 2]), {}, r"\[M, D\]. Received: shapes"),
        (np.zeros([2, 1]), {"neighbours": 2}, "more images than neighbours, 2. Received: shapes"),
        (np.full([9, 1], np.nan), {}, "finite features"),
        (np.zeros([9, 1]), {"neighbours": 0}, "Received: neighbours=0, block=1024"),
        (np.zeros([9, 1]), {"neighbours": 1, "block": 0}, "Received: neighbours=1, block=0"),
    ],
)
def test_what_cannot_be_measured_is_refused(metric, real, settings, message):
    with pytest.raises(ValueError, match=message):
        metric(real, np.zeros([8, 1]), **settings)
