"""How often a class is told right, over as many batches as there are."""

import numpy as np


class ClassAccuracy:
    """Counts true against predicted classes, batch by batch.

    Args:
        num_classes: int >= 1.

    Call of `update_state(labels, predictions)`:
        int arrays of one shape, values 0..num_classes-1.

    `result()` returns a dict:
        "count": int, entries so far.
        "accuracy": float, share of right ones; NaN without any.
        "count_per_class": int64 [K], entries of each true class.
        "accuracy_per_class": float64 [K], share of right ones among those of a true class; NaN for
            a class without any.
        "confusion": int64 [K, K]; row = true class, column = predicted class.

    Raises:
        ValueError: no class; arrays of different shapes, or not of integers; a value that is no
            class.
    """

    def __init__(self, num_classes):
        if num_classes < 1:
            raise ValueError(f"Expected at least one class. Received: num_classes={num_classes}")
        self.num_classes = num_classes
        self.reset_state()

    def reset_state(self):
        """Forgets all entries."""
        self._confusion = np.zeros([self.num_classes, self.num_classes], np.int64)

    def update_state(self, labels, predictions):
        """Counts the entries of a batch."""
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.shape != predictions.shape:
            raise ValueError(
                "Expected a prediction for each label. Received: labels of shape "
                f"{labels.shape}, predictions of {predictions.shape}."
            )
        for name, values in (("labels", labels), ("predictions", predictions)):
            if not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"Expected integers. Received: {name} of {values.dtype}.")
            if values.size and not 0 <= values.min() <= values.max() < self.num_classes:
                raise ValueError(
                    f"Expected classes 0 to {self.num_classes - 1}. Received: {name} from "
                    f"{values.min()} to {values.max()}."
                )
        np.add.at(self._confusion, (labels.ravel(), predictions.ravel()), 1)

    def result(self):
        """The figures so far, see the class."""
        per_class, right = self._confusion.sum(axis=1), np.diag(self._confusion)
        return {
            "count": int(per_class.sum()),
            "accuracy": float(_share(right.sum(), per_class.sum())),
            "count_per_class": per_class,
            "accuracy_per_class": _share(right, per_class),
            "confusion": self._confusion.copy(),
        }


def _share(part, whole):
    """part / whole in float64, NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
