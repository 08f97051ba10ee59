"""How often a class is predicted right, over all batches."""

from metrics import confusion


class ClassAccuracy(confusion.ConfusionMetric):
    """Share of the items whose class is predicted right, and that of the items of each class.

    Args:
        num_classes: int K >= 1. Default None: as many as there are names.
        class_names: K different strings. Default "class 0", ...

    Call of `update_state(batch, generated)`:
        batch: "label" int [B], values 0..K-1.
        generated: "prediction" int [B], likewise.
    `result()`: dict of floats "class_accuracy", NaN without any item, and for each class
        "class_accuracy/<name>", NaN for a class without any.
    `confusion()`: int64 [K, K], a copy; row = true class, column = predicted class.
    `reset_state()`: forgets all items.

    Raises:
        ValueError: as metrics.confusion.Confusion.
    """

    configurable = True

    needs = frozenset({"label", "prediction", "class_names"})

    def update_state(self, batch, generated) -> None:
        self._counter.add(batch["label"], generated["prediction"])

    def result(self) -> dict[str, float]:
        counter = self._counter
        of_each = confusion.share(counter.right, counter.per_class)
        return {"class_accuracy": counter.accuracy} | counter.by_name("class_accuracy", of_each)
