"""Frechet distance between features of real and of generated images, of all and of each class."""

import numpy as np

from metrics import metric
from metrics.distances import feature_pairs


class FID(feature_pairs.FeatureMetric):
    """`frechet_distance_of_features`. `result()`: "fid"."""

    configurable = True

    def result(self) -> dict[str, float]:
        return {"fid": frechet_distance_of_features(*self.features())}


class IntraFID(feature_pairs.FeatureMetric):
    """`intra_class_frechet_distance`, of images that were asked for by class.

    Args:
        class_names: of the labels, by id. Default: their numbers.

    `result()`: "intra_fid", the mean over the classes; "intra_fid/<name>" of each, NaN where it
        has fewer than two images on either side.
    """

    configurable = True

    needs = frozenset({"features", "label", "class_names"})

    def __init__(self, *, class_names=None) -> None:
        super().__init__()
        self.class_names = class_names

    def result(self) -> dict[str, float]:
        real, made = self.sets()
        if not ("label" in real and "label" in made):
            raise metric.Unmeasurable("images that were asked for by class")
        count = 1 + max(int(real["label"].max()), int(made["label"].max()))
        found = intra_class_frechet_distance(
            real["features"], real["label"], made["features"], made["label"], count
        )
        # Classes without images are last.
        of_each = zip(self.class_names or range(count), found["per_class"], strict=False)
        return {"intra_fid": found["mean"]} | {f"intra_fid/{n}": float(v) for n, v in of_each}


def frechet_distance_of_features(real, generated) -> float:
    """Squared Frechet (2-Wasserstein) distance of the Gaussians of two sets of features.

        d^2 = |mu_r - mu_g|^2 + Tr(S_r + S_g - 2 (S_r S_g)^(1/2))

    The last trace is that of the symmetric root (S_r^(1/2) S_g S_r^(1/2))^(1/2), which is the sum
    of the singular values of L_r^T L_g for any S = L L^T. L are the centred features over
    sqrt(n - 1), transposed; or, of more images than features, the triangle of their QR
    decomposition. So no covariance is formed, nothing is complex, and fewer images than features
    need no offset on the diagonal. The work is that of an N x M matrix for few images, so classes
    of some images each are measured quickly.

    Few images give a distance that is too high, also between images of one source: compare
    distances of equal counts only, and give the counts with them.

    Args:
        real, generated: float [N, D] and [M, D], N and M at least 2.

    Returns: float >= 0, in squared units of the features.

    Raises:
        ValueError: shapes that do not fit, fewer than two images, values that are not finite.

    Source: Dowson, Landau, J. Multivariate Analysis 12(3), 1982; Heusel et al., arXiv 1706.08500;
        checked against mseitzer/pytorch-fid fid_score.py, which takes `scipy.linalg.sqrtm` of the
        product of the covariances instead.
    """
    real, generated = feature_pairs.checked_pair(real, generated)
    apart = real.mean(axis=0) - generated.mean(axis=0)
    left, right = _factor_of_features(real), _factor_of_features(generated)
    traces = np.sum(left**2) + np.sum(right**2)
    # Tr (L L^T R R^T)^(1/2) is the sum of the singular values of L^T R.
    root = np.linalg.svd(left.T @ right, compute_uv=False).sum()
    return max(float(apart @ apart + traces - 2.0 * root), 0.0)


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
        "per_class": float64 [K]; NaN for a class with fewer than two images on either side.

    Raises:
        ValueError: labels that do not fit the features or are no class.
        Unmeasurable: no class with two images on both sides.

    Source: Miyato, Koyama, arXiv 1802.05637, section 4 (5,000 generated images of each class).
    """
    real, real_labels = _labelled("real", real, real_labels, num_classes)
    generated, generated_labels = _labelled("generated", generated, generated_labels, num_classes)
    counts_real = np.bincount(real_labels, minlength=num_classes)
    counts_generated = np.bincount(generated_labels, minlength=num_classes)
    per_class = np.full([num_classes], np.nan)
    measured = np.flatnonzero(np.minimum(counts_real, counts_generated) >= 2)
    if not measured.size:
        raise metric.Unmeasurable(
            "a class with two real and two generated images at least. Received: "
            f"{counts_real.tolist()} real and {counts_generated.tolist()} generated ones"
        )
    for index in measured:
        per_class[index] = frechet_distance_of_features(
            real[real_labels == index], generated[generated_labels == index]
        )
    return {"mean": float(per_class[measured].mean()), "per_class": per_class}


def _factor_of_features(features) -> np.ndarray:
    """L [D, min(N, D)] with L L^T = their covariance."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(centred) > centred.shape[1]:
        centred = np.linalg.qr(centred, mode="r")
    return centred.T


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
