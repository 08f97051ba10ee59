"""Kernel distance (KID) between features of real and of generated images."""

import numpy as np

from metrics.distances import feature_pairs


class KID(feature_pairs.FeatureMetric):
    """`kernel_distance` of the features.

    Args:
        seed: int, of the subsets. Default 0.

    `result()`: "kid" and, where the subsets differ, "kid_std" over them.
    """

    configurable = True

    def __init__(self, *, seed=0) -> None:
        super().__init__()
        self.seed = seed

    def result(self) -> dict[str, float]:
        real, made = self.features()
        found = kernel_distance(real, made, seed=self.seed)
        # Subsets that hold all images of both are one and the same.
        differ = found["subset_size"] < max(len(real), len(made))
        return {"kid": found["mean"]} | ({"kid_std": found["std"]} if differ else {})


def kernel_distance(real, generated, *, subsets=100, subset_size=1000, seed=0) -> dict:
    """Unbiased squared maximum mean discrepancy with a cubic kernel, over random subsets.

        k(a, b) = (a.b / D + 1)^3
        MMD^2   = mean over i != j of k(x_i, x_j) + the same of y - 2 mean k(x_i, y_j)

    Unlike the Frechet distance its expectation does not depend on how many images there are, so it
    suits small sets. It can come out below zero.

    Args:
        real, generated: float [N, D] and [M, D], N and M at least 2.
        subsets: int, how many are drawn. Default 100.
        subset_size: int >= 2, images of each side in a subset, drawn without replacement; at
            most N and M are taken. Default 1000.
        seed: int; a subset depends on the seed and its index alone.

    Returns: dict:
        "mean", "std": float, over the subsets; a std of 0 where every subset holds all images.
        "subsets", "subset_size": int, as used.

    Raises:
        ValueError: no subset, a size below 2, or features that do not fit, see
            `unbiased_discrepancy`.

    Source: Binkowski et al., arXiv 1801.01401; checked against NVlabs/stylegan2-ada-pytorch
        metrics/kernel_inception_distance.py (mean) and mbinkowski/MMD-GAN gan/compute_scores.py.
    """
    real, generated = feature_pairs.checked_pair(real, generated)
    if subsets < 1 or subset_size < 2:
        raise ValueError(
            "Expected at least one subset of at least two images. Received: "
            f"subsets={subsets}, subset_size={subset_size}"
        )
    size = min(subset_size, len(real), len(generated))
    values = []
    for index in range(subsets):
        draw = np.random.default_rng([seed, index])
        x = real[draw.choice(len(real), size, replace=False)]
        y = generated[draw.choice(len(generated), size, replace=False)]
        values.append(unbiased_discrepancy(x, y))
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "subsets": subsets,
        "subset_size": size,
    }


def unbiased_discrepancy(real, generated) -> float:
    """MMD^2 of all images, see `kernel_distance`; float. Memory: [N, N], [M, M] and [N, M].

    Raises:
        ValueError: not [N, D] and [M, D], fewer than two of either, or values that are not finite.
    """
    x, y = feature_pairs.checked_pair(real, generated)
    return float(_off_diagonal_mean(x) + _off_diagonal_mean(y) - 2.0 * _kernel(x, y).mean())


def _kernel(x, y) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _off_diagonal_mean(x) -> float:
    values = _kernel(x, x)
    return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))
