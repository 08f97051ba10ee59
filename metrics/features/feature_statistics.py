"""Mean and covariance of features, counted up batch by batch."""

import numpy as np


class FeatureStatistics:
    """Streaming mean and sample covariance in float64, without keeping the features.

        mean       = 1/n sum x
        covariance = 1/(n-1) sum (x - mean)(x - mean)^T

    Each batch is centred on its own mean and then merged with what there was: no difference of
    large sums is ever taken, so features far from zero lose no digits.

    Args:
        dim: int D >= 1, features of an image.

    Call of `update_state(features)`: float [B, D].
    `merge(other)`: takes in what another FeatureStatistics of the same D has seen.
    `result()`: dict "count" int, "mean" float64 [D], "covariance" float64 [D, D], symmetric.
    `reset_state()`: forgets all.

    Raises:
        ValueError: no feature; an array of another shape; values that are not finite; `result`
            before two images.

    Source: Chan, Golub, LeVeque, The American Statistician 37(3), 1983 (merging);
        mseitzer/pytorch-fid fid_score.py (n-1).
    """

    def __init__(self, dim):
        if dim < 1:
            raise ValueError(f"Expected at least one feature. Received: dim={dim}")
        self.dim = dim
        self.reset_state()

    def reset_state(self):
        self._count = 0
        self._mean = np.zeros([self.dim])
        self._scatter = np.zeros([self.dim, self.dim])

    def update_state(self, features):
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ValueError(
                f"Expected features of shape [B, {self.dim}]. Received: shape {features.shape}."
            )
        if not np.all(np.isfinite(features)):
            raise ValueError(
                f"Expected finite features. Received: {np.sum(~np.isfinite(features))} that are "
                "not. Look at the images, then at the network that made them."
            )
        if len(features):
            mean = features.mean(axis=0)
            centred = features - mean
            self._add(len(features), mean, centred.T @ centred)

    def merge(self, other):
        if other.dim != self.dim:
            raise ValueError(
                f"Expected statistics of {self.dim} features. Received: other.dim={other.dim}"
            )
        if other._count:
            self._add(other._count, other._mean, other._scatter)

    def result(self):
        if self._count < 2:
            raise ValueError(
                f"Expected at least two images for a covariance. Received: {self._count}."
            )
        covariance = self._scatter / (self._count - 1)
        return {
            "count": self._count,
            "mean": self._mean.copy(),
            "covariance": (covariance + covariance.T) / 2,
        }

    def _add(self, count, mean, scatter):
        total = self._count + count
        delta = mean - self._mean
        self._scatter += scatter + np.outer(delta, delta) * (self._count * count / total)
        self._mean += delta * (count / total)
        self._count = total


def feature_statistics(features):
    """`FeatureStatistics.result()` of one array [N, D]."""
    features = np.asarray(features)
    if features.ndim != 2:
        raise ValueError(f"Expected features of shape [N, D]. Received: shape {features.shape}.")
    statistics = FeatureStatistics(features.shape[1])
    statistics.update_state(features)
    return statistics.result()
