"""Frechet distance between features of real and of generated images, of all and of each class."""

import numpy as np

from metrics import metric
from metrics.distances import feature_pairs


class FID(feature_pairs.FeatureMetric):
    """`frechet_distance_of_features`. `result()`: "fid"."""

    def result(self) -> dict[str, float]:
        return {"fid": frechet_distance_of_features(*self.features())}


class IntraFID(feature_pairs.FeatureMetric):
    """`intra_class_frechet_distance`, of images that were asked for by class.

    Args:
        class_names: of the labels, by id. Default: their numbers.

    `result()`: "intra_fid", the mean over the classes; "intra_fid/<name>" of each, NaN where it
        has fewer than two images on either side.
    """

    needs = frozenset({"features", "label", "class_names"})

    def __init__(self, *, class_names=None) -> None:
        super().__init__()
        self.class_names = class_names

    def result(self) -> dict[str, float]:
        real, made = self.sets()
        if not ("label" in real and "label" in made):
            raise metric.Unmeasurable("images that were asked for by class")
        count = 1 + max(int(real["label"].max()), int(made["label"].max()))
        fewest = (np.bincount(arrays["label"], minlength=count) for arrays in (real, made))
        if np.minimum(*fewest).max() < 2:
            raise metric.Unmeasurable("a class with two real and two generated images")
        found = intra_class_frechet_distance(
            real["features"], real["label"], made["features"], made["label"], count
        )
        # Classes without images are last.
        of_each = zip(self.class_names or range(count), found["per_class"], strict=False)
        return {"intra_fid": found["mean"]} | {f"intra_fid/{n}": float(v) for n, v in of_each}


def frechet_distance(real, generated) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians.

        d^2 = |mu_r - mu_g|^2 + Tr(S_r + S_g - 2 (S_r S_g)^(1/2))

    The last trace is that of the symmetric root (S_r^(1/2) S_g S_r^(1/2))^(1/2), which is the sum
    of the singular values of L_r^T L_g for any S = L L^T. L comes from the eigen-decomposition
    of S, with the eigenvalues below the rounding of S (D * 2.2e-16 * the largest, the rank rule of
    `numpy.linalg.matrix_rank`) left out. So nothing is complex, fewer images than features need
    no offset on the diagonal, and no root is taken of the rounding of a zero.

    Few images give a distance that is too high, also between images of one source: compare
    distances of equal counts only, and give the counts with them.

    Args:
        real, generated: dicts of "mean" [D] and "covariance" [D, D], symmetric.

    Returns: float >= 0, in squared units of the features.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, a covariance that is not
            symmetric or has an eigenvalue clearly below zero.

    Source: Dowson, Landau, J. Multivariate Analysis 12(3), 1982; Heusel et al., arXiv 1706.08500;
        checked against mseitzer/pytorch-fid fid_score.py, which takes `scipy.linalg.sqrtm` of the
        product instead.
    """
    (mean_r, covariance_r), (mean_g, covariance_g) = _checked(real), _checked(generated)
    if mean_r.shape != mean_g.shape:
        raise ValueError(
            f"Expected as many features of both. Received: {mean_r.size} real and {mean_g.size} "
            "generated. Take both from the same network."
        )
    root = _root_trace(_factor(covariance_r), _factor(covariance_g))
    apart = mean_r - mean_g
    distance = apart @ apart + np.trace(covariance_r) + np.trace(covariance_g) - 2.0 * root
    return max(float(distance), 0.0)


def frechet_distance_of_features(real, generated) -> float:
    """`frechet_distance` of features at hand: faster, and without any covariance.

    For L it takes the centred features over sqrt(n - 1), transposed; or, of more images than
    features, the triangle of their QR decomposition. The work is that of an N x M matrix for few
    images, so classes of some images each are measured quickly.

    Args:
        real, generated: float [N, D] and [M, D], N and M at least 2.

    Returns: float >= 0.

    Raises:
        ValueError: shapes that do not fit, fewer than two images, values that are not finite.
    """
    real, generated = feature_pairs.checked_pair(real, generated)
    apart = real.mean(axis=0) - generated.mean(axis=0)
    left, right = _factor_of_features(real), _factor_of_features(generated)
    traces = np.sum(left**2) + np.sum(right**2)
    return max(float(apart @ apart + traces - 2.0 * _root_trace(left, right)), 0.0)


def intra_class_frechet_distance(
    real, real_labels, generated, generated_labels, num_classes
) -> dict:
    """Frechet distance of each class by itself, and the mean over the classes.

    Args:
        real, generated: float [N, D] and [M, D], features.
        real_labels, generated_labels: int [N] and [M], 0..num_classes-1.
        num_classes: int K.

    Returns: dict:
        "mean": float, over the classes that could be measured.
        "classes": int, how many these are.
        "per_class": float64 [K]; NaN for a class with fewer than two images on either side.
        "count_real", "count_generated": int64 [K].

    Raises:
        ValueError: labels that do not fit the features or are no class; no class with two images
            on both sides.

    Source: Miyato, Koyama, arXiv 1802.05637, section 4 (5,000 generated images of each class).
    """
    real, real_labels = _labelled("real", real, real_labels, num_classes)
    generated, generated_labels = _labelled("generated", generated, generated_labels, num_classes)
    counts_real = np.bincount(real_labels, minlength=num_classes)
    counts_generated = np.bincount(generated_labels, minlength=num_classes)
    per_class = np.full([num_classes], np.nan)
    measured = np.flatnonzero(np.minimum(counts_real, counts_generated) >= 2)
    if not measured.size:
        raise ValueError(
            "Expected a class with two real and two generated images at least. Received: "
            f"{counts_real.tolist()} real and {counts_generated.tolist()} generated ones."
        )
    for index in measured:
        per_class[index] = frechet_distance_of_features(
            real[real_labels == index], generated[generated_labels == index]
        )
    return {
        "mean": float(per_class[measured].mean()),
        "classes": int(measured.size),
        "per_class": per_class,
        "count_real": counts_real,
        "count_generated": counts_generated,
    }


def _checked(statistics) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance in float64."""
    mean = np.asarray(statistics["mean"], np.float64)
    covariance = np.asarray(statistics["covariance"], np.float64)
    if mean.ndim != 1 or not mean.size or covariance.shape != (mean.size, mean.size):
        raise ValueError(
            "Expected a mean of shape [D] and a covariance of shape [D, D]. Received: "
            f"{mean.shape} and {covariance.shape}."
        )
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(covariance))):
        raise ValueError("Expected finite statistics. Received: some values that are not.")
    if not np.allclose(covariance, covariance.T, rtol=0.0, atol=1e-6 * np.abs(covariance).max()):
        raise ValueError("Expected a symmetric covariance. Received: one that is not.")
    return mean, (covariance + covariance.T) / 2


def _factor(covariance) -> np.ndarray:
    """L [D, rank] with L L^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    largest = np.abs(values).max()
    if values[0] < -1e-6 * largest:
        raise ValueError(
            "Expected a covariance without negative eigenvalues. Received: one with "
            f"{values[0]:.3g}, the largest being {largest:.3g}."
        )
    kept = values > len(values) * np.finfo(np.float64).eps * largest
    return vectors[:, kept] * np.sqrt(values[kept])


def _factor_of_features(features) -> np.ndarray:
    """L [D, min(N, D)] with L L^T = their covariance."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(centred) > centred.shape[1]:
        centred = np.linalg.qr(centred, mode="r")
    return centred.T


def _root_trace(left, right) -> float:
    """Tr (L L^T R R^T)^(1/2), the sum of the singular values of L^T R."""
    product = left.T @ right
    return np.linalg.svd(product, compute_uv=False).sum() if product.size else 0.0


def _labelled(name, features, labels, num_classes) -> tuple[np.ndarray, np.ndarray]:
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"Expected {name} features [N, D] with a label for each. Received: features of shape "
            f"{features.shape}, labels of {labels.shape}."
        )
    integers = np.issubdtype(labels.dtype, np.integer)
    if not integers or (labels.size and not 0 <= labels.min() <= labels.max() < num_classes):
        raise ValueError(
            f"Expected {name} labels as integers 0 to {num_classes - 1}. Received: {labels.dtype} "
            f"from {labels.min()} to {labels.max()}."
        )
    return features, labels
