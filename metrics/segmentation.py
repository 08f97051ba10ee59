"""How well label maps are predicted, over as many batches as there are."""

import numpy as np

from metrics import accuracy


class SegmentationScores:
    """Counts true against predicted classes of pixels, batch by batch, in one confusion matrix h.

        IoU_k = h_kk / (sum_j h_kj + sum_j h_jk - h_kk)

    Args:
        num_classes: int >= 1.
        ignore_index: int, label of pixels that do not count, whatever is predicted there; None =
            all count. Default 255.

    Call of `update_state(labels, predictions)`:
        int arrays of one shape, values 0..num_classes-1; in `labels` also ignore_index.

    `result()` returns a dict:
        "count": int, pixels that count.
        "accuracy": float, share of right ones among them; NaN without any.
        "mean_iou": float, mean IoU of the classes present in `labels`; NaN without any.
        "iou_per_class": float64 [K]; 0 for a class that is predicted but absent from `labels`, NaN
            for one that is in neither.
        "count_per_class": int64 [K], pixels of each true class.
        "confusion": int64 [K, K]; row = true class, column = predicted class.

    Raises:
        ValueError: as ClassAccuracy.

    Source: Everingham et al., IJCV 88 (2010); kazuto1011/deeplab-pytorch, libs/utils/metric.py.
    """

    def __init__(self, num_classes, *, ignore_index=255):
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self._classes = accuracy.ClassAccuracy(num_classes)

    def reset_state(self):
        """Forgets all pixels."""
        self._classes.reset_state()

    def update_state(self, labels, predictions):
        """Counts the pixels of a batch."""
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if self.ignore_index is not None and labels.shape == predictions.shape:
            counted = labels != self.ignore_index
            labels, predictions = labels[counted], predictions[counted]
        self._classes.update_state(labels, predictions)

    def result(self):
        """The figures so far, see the class."""
        counts = self._classes.result()
        confusion, present = counts["confusion"], counts["count_per_class"] > 0
        right = np.diag(confusion)
        union = confusion.sum(axis=0) + confusion.sum(axis=1) - right
        iou = np.where(union > 0, right / np.maximum(union, 1), np.nan)
        return {
            "count": counts["count"],
            "accuracy": counts["accuracy"],
            "mean_iou": float(iou[present].mean()) if present.any() else float("nan"),
            "iou_per_class": iou,
            "count_per_class": counts["count_per_class"],
            "confusion": confusion,
        }
