"""Inception score: how sure a classifier is of each image, and how varied its answers are."""

import numpy as np

from metrics import metric
from metrics.distances import feature_pairs


class InceptionScore(feature_pairs.FeatureMetric):
    """`inception_score` of the logits of the generated images, with 10 splits at most.

    `result()`: "inception_score", and "inception_score_std" over the splits.
    """

    configurable = True

    def result(self) -> dict[str, float]:
        _, made = self.sets()
        if "logits" not in made:
            raise metric.Unmeasurable("a network with logits, such as features=inception_2015")
        probabilities = softmax(made["logits"])
        found = inception_score(probabilities, min(10, len(probabilities)))
        return {"inception_score": found["mean"], "inception_score_std": found["std"]}


def inception_score(probabilities, splits=10) -> dict:
    """exp of the mean divergence of an image's classes from those of all images.

        IS = exp mean_x KL(p(y|x) || p(y)),  p(y) = mean_x p(y|x)

    It lies between 1 (every image alike) and K (every image certain, all classes equally often).
    Real images are not used. Published scores are of the 2015 Inception graph without the
    bias of its last layer, 50,000 images and 10 splits.

    Args:
        probabilities: float [N, K], rows that sum to 1; see `softmax`.
        splits: int, 1..N; parts in the order of the images, each with its own p(y). Default 10.

    Returns: dict "mean", "std" (both over the splits), floats; "splits" int.

    Raises:
        ValueError: another shape, rows that are no probabilities, fewer images than splits.

    Source: Salimans et al., arXiv 1606.03498; openai/improved-gan inception_score/model.py.
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"Expected probabilities [N, K]. Received: shape {values.shape}.")
    sums = values.sum(axis=1)
    # NaN fails both comparisons.
    if not (values.min() >= 0.0 and np.abs(sums - 1.0).max() < 1e-3):
        raise ValueError(
            "Expected rows of probabilities that sum to 1. Received: values from "
            f"{values.min():.4g}, sums from {sums.min():.4g} to {sums.max():.4g}. "
            "Put logits through softmax first."
        )
    if not 1 <= splits <= len(values):
        raise ValueError(
            f"Expected 1 to {len(values)} splits, as there are images. Received: splits={splits}"
        )
    bounds = [index * len(values) // splits for index in range(splits + 1)]
    scores = [_score(values[begin:end]) for begin, end in zip(bounds[:-1], bounds[1:], strict=True)]
    return {"mean": float(np.mean(scores)), "std": float(np.std(scores)), "splits": splits}


def softmax(logits) -> np.ndarray:
    """float64 probabilities [N, K] of logits [N, K]."""
    logits = np.asarray(logits, np.float64)
    values = np.exp(logits - logits.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def _score(part) -> float:
    """exp of the mean divergence; 0 log 0 = 0."""
    marginal = np.broadcast_to(part.mean(axis=0), part.shape)
    present = part > 0.0
    ratio = np.divide(part, marginal, out=np.ones_like(part), where=present)
    return np.exp((part * np.log(ratio)).sum(axis=1).mean())
