"""How well label maps are predicted, over as many batches as there are."""

from metrics import confusion


class SegmentationScores(confusion.ConfusionMetric):
    """Intersection over union of each class and its mean, from one confusion matrix h of pixels.

        IoU_k = h_kk / (sum_j h_kj + sum_j h_jk - h_kk)

    Args:
        num_classes: int K >= 1. Default None: as many as there are names.
        class_names: K different strings. Default "class 0", ...
        ignore_index: int, label of pixels that do not count, whatever is predicted there; None =
            all count. Default 255.

    Call of `update_state(batch, generated)`:
        batch: "label_map" int [B, H, W], values 0..K-1 or ignore_index.
        generated: "prediction" int [B, H, W], values 0..K-1.
    `result()`: dict of floats
        "mean_iou": mean IoU of the classes present in the label maps; NaN without any.
        "pixel_accuracy": share of right ones among the pixels that count; NaN without any.
        "iou/<name>" of each class: 0 for one that is predicted but absent from the label maps, NaN
            for one that is in neither.
    `confusion()`: int64 [K, K], a copy; row = true class, column = predicted class.
    `reset_state()`: forgets all pixels.

    Raises:
        ValueError: as metrics.confusion.Confusion.

    Source: Everingham et al., IJCV 88 (2010); kazuto1011/deeplab-pytorch, libs/utils/metric.py.
    """

    configurable = True

    needs = frozenset({"label_map", "prediction", "class_names"})

    def __init__(self, num_classes=None, *, class_names=None, ignore_index=255) -> None:
        self.ignore_index = ignore_index
        super().__init__(num_classes, class_names=class_names)

    def update_state(self, batch, generated) -> None:
        self._counter.add(
            batch["label_map"], generated["prediction"], ignore_index=self.ignore_index
        )

    def result(self) -> dict[str, float]:
        counts, present = self._counter.counts, self._counter.per_class > 0
        right = self._counter.right
        iou = confusion.share(right, counts.sum(axis=0) + counts.sum(axis=1) - right)
        return {
            "mean_iou": float(iou[present].mean()) if present.any() else float("nan"),
            "pixel_accuracy": self._counter.accuracy,
        } | self._counter.by_name("iou", iou)
