"""Fidelity and variety apart: precision, recall, density and coverage by nearest neighbours."""

import numpy as np

from metrics import metric
from metrics.distances import feature_pairs

NEIGHBOURS = 5  # the most that a metric here uses


class PrecisionRecall(feature_pairs.FeatureMetric):
    """`precision_recall` of the features; its results."""

    configurable = True

    def result(self) -> dict[str, float]:
        return precision_recall(*_enough(*self.features()))


class DensityCoverage(feature_pairs.FeatureMetric):
    """`density_coverage` of the features; its results."""

    configurable = True

    def result(self) -> dict[str, float]:
        return density_coverage(*_enough(*self.features()))


def precision_recall(real, generated, *, neighbours=3, block=1024) -> dict[str, float]:
    """Improved precision and recall.

        precision = share of generated images inside the ball of some real one
        recall    = share of real images inside the ball of some generated one

    The ball of an image reaches to its k-th nearest neighbour in its own set, itself not counted,
    rim included.

    Args:
        real, generated: float [N, D] and [M, D], more than `neighbours` of each.
        neighbours: int k >= 1. Default 3, as in the paper.
        block: int, rows of distances held at a time: block * max(N, M) float64 and the features
            twice. Default 1024 (82 MB of distances at 10,000 images).

    Returns: dict "precision", "recall", floats in [0, 1].

    Raises:
        ValueError: features that do not fit or are not finite, too few images, a `neighbours` or
            `block` below 1.

    Source: Kynkaanniemi et al., arXiv 1904.06991; kynkaat/improved-precision-and-recall-metric.
    """
    real, generated = _checked(real, generated, neighbours, block)
    inside_real, _ = _inside(real, _radii(real, neighbours, block), generated, block)
    inside_generated, _ = _inside(generated, _radii(generated, neighbours, block), real, block)
    return {
        "precision": float(np.mean(inside_real > 0)),
        "recall": float(np.mean(inside_generated > 0)),
    }


def density_coverage(real, generated, *, neighbours=5, block=1024) -> dict[str, float]:
    """Density and coverage, which single outliers move less than precision and recall.

        density  = 1/(k M) sum over generated images of the real balls that hold them
        coverage = share of real images whose ball holds some generated image

    Balls, arguments and errors as in `precision_recall`, here of real images only. Two sets of one
    source have a density of 1 in expectation, and a coverage of nearly 1 - 2^-k (N = M, large).

    Returns: dict "density" (float >= 0, may exceed 1), "coverage" (float in [0, 1]).

    Source: Naeem et al., arXiv 2002.09797; clovaai/generative-evaluation-prdc (which leaves out
        the rim of the ball: a difference only for ties).
    """
    real, generated = _checked(real, generated, neighbours, block)
    inside, holds = _inside(real, _radii(real, neighbours, block), generated, block)
    return {
        "density": float(np.mean(inside) / neighbours),
        "coverage": float(np.mean(holds > 0)),
    }


def _enough(real, made) -> tuple[np.ndarray, np.ndarray]:
    """Both, where there are more images than neighbours."""
    if (fewest := min(len(real), len(made))) <= NEIGHBOURS:
        lack = f"more than {NEIGHBOURS} images on either side, not {fewest}"
        raise metric.Unmeasurable(lack)
    return real, made


def _radii(points, neighbours, block) -> np.ndarray:
    """Squared distance of each point to its k-th neighbour."""
    radii = np.empty([len(points)])
    for begin in range(0, len(points), block):
        rows = points[begin : begin + block]
        distances = _squared_distances(rows, points)
        distances[np.arange(len(rows)), begin + np.arange(len(rows))] = np.inf
        distances.partition(neighbours - 1, axis=1)
        radii[begin : begin + len(rows)] = distances[:, neighbours - 1]
    return radii


def _inside(centres, radii, probes, block) -> tuple[np.ndarray, np.ndarray]:
    """For each probe the number of balls that hold it; for each ball the number of its probes."""
    by_probe, by_ball = np.empty([len(probes)], np.int64), np.zeros([len(centres)], np.int64)
    for begin in range(0, len(probes), block):
        inside = _squared_distances(probes[begin : begin + block], centres) <= radii
        by_probe[begin : begin + len(inside)] = inside.sum(axis=1)
        by_ball += inside.sum(axis=0)
    return by_probe, by_ball


def _squared_distances(rows, columns) -> np.ndarray:
    distances = rows @ columns.T
    distances *= -2.0
    distances += np.einsum("nd,nd->n", rows, rows)[:, None]
    distances += np.einsum("nd,nd->n", columns, columns)
    return np.maximum(distances, 0.0, out=distances)


def _checked(real, generated, neighbours, block) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, moved by one vector so that the expanded square loses few digits."""
    real, generated = feature_pairs.checked_pair(real, generated)
    if neighbours < 1 or block < 1:
        raise ValueError(
            "Expected at least one neighbour and one row. Received: "
            f"neighbours={neighbours}, block={block}"
        )
    if min(len(real), len(generated)) <= neighbours:
        raise ValueError(
            f"Expected more images than neighbours, {neighbours}. Received: shapes "
            f"{(real.shape, generated.shape)}."
        )
    centre = real.mean(axis=0)
    return real - centre, generated - centre
