"""Confusion counts, row = true class, from which measures of predicted classes are computed."""

import numpy as np


class Confusion:
    """Counts true against predicted classes, batch by batch.

    Args:
        num_classes: int K >= 1. Default None: as many as there are names.
        class_names: K different strings. Default "class 0", ...

    Raises:
        ValueError: no class, or names that are not one for each; in `add`, arrays of different
            shapes, or not of integers; a value that is no class.
    """

    def __init__(self, num_classes=None, *, class_names=None) -> None:
        num_classes = len(class_names or ()) if num_classes is None else num_classes
        if num_classes < 1:
            raise ValueError(f"Expected at least one class. Received: num_classes={num_classes}")
        self.num_classes = num_classes
        self.class_names = tuple(class_names or (f"class {index}" for index in range(num_classes)))
        if not len(self.class_names) == len(set(self.class_names)) == num_classes:
            raise ValueError(
                f"Expected a name of its own for each of the {num_classes} classes. Received: "
                f"class_names={list(self.class_names)}"
            )
        self.counts = np.zeros([num_classes, num_classes], np.int64)

    def add(self, labels, predictions, *, ignore_index=None) -> None:
        """Counts the entries of a batch.

        Args:
            labels, predictions: int arrays of one shape, values 0..K-1.
            ignore_index: int, label of entries that do not count, whatever is predicted there.
                None (default) = all count.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape:
            raise ValueError(
                "Expected a prediction for each label. Received: labels of shape "
                f"{labels.shape}, predictions of {predictions.shape}."
            )
        if ignore_index is not None:
            counted = labels != ignore_index
            labels, predictions = labels[counted], predictions[counted]
        for name, values in (("labels", labels), ("predictions", predictions)):
            if not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"Expected integers. Received: {name} of {values.dtype}.")
            if values.size and not 0 <= values.min() <= values.max() < self.num_classes:
                raise ValueError(
                    f"Expected classes 0 to {self.num_classes - 1}. Received: {name} from "
                    f"{values.min()} to {values.max()}."
                )
        places = labels.ravel().astype(np.int64) * self.num_classes + predictions.ravel()
        self.counts += np.bincount(places, minlength=self.num_classes**2).reshape(self.counts.shape)

    @property
    def per_class(self) -> np.ndarray:
        """int64 [K], entries of each true class."""
        return self.counts.sum(axis=1)

    @property
    def right(self) -> np.ndarray:
        """int64 [K], those of them that are predicted rightly."""
        return np.diag(self.counts)

    @property
    def accuracy(self) -> float:
        """float, share of right ones among all entries; NaN without any."""
        return float(share(self.right.sum(), self.counts.sum()))

    def by_name(self, prefix, values) -> dict[str, float]:
        """{"prefix/<class name>": float} of a value for each class."""
        return {
            f"{prefix}/{name}": float(value)
            for name, value in zip(self.class_names, values, strict=True)
        }


class ConfusionMetric:
    """Base of the metrics that count one confusion matrix; see metrics.metric.Metric.

    Args: those of `Confusion`.
    """

    def __init__(self, num_classes=None, *, class_names=None) -> None:
        self.class_names = Confusion(num_classes, class_names=class_names).class_names
        self.reset_state()

    def reset_state(self) -> None:
        self._counter = Confusion(class_names=self.class_names)

    def confusion(self) -> np.ndarray:
        return self._counter.counts.copy()


def share(part, whole) -> np.ndarray:
    """part / whole in float64, NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
