"""Measures a task on a fixed part of a split, while it trains and after."""

import numpy as np
import tensorflow as tf


class Evaluation:
    """Metrics of what a task generates for the first items of a split.

    Args:
        metrics: {name: metric}, see metrics.metric.Metric; None = left out.
        num_images: int, items at most; None = the whole split. Default None.
        batch_size: int, items at a time; results do not depend on it. Default 8.

    Raises:
        ValueError: a number below 1.
    """

    configurable = True

    def __init__(
        self, metrics: dict, *, num_images: int | None = None, batch_size: int = 8
    ) -> None:
        if batch_size < 1 or (num_images is not None and num_images < 1):
            raise ValueError(
                "num_images and batch_size must be at least 1. Received: "
                f"num_images={num_images}, batch_size={batch_size}"
            )
        self.metrics = {name: metric for name, metric in metrics.items() if metric is not None}
        self.num_images = num_images
        self.batch_size = batch_size

    def names(self, spec: dict[str, tf.TensorSpec], count: int) -> list[str]:
        """Names of what `measure` gives, known before it.

        Args:
            spec: of the batches.
            count: items of the split.

        Raises:
            ValueError: a metric cannot be measured on so many of such items.
        """
        names = []
        for metric in self.metrics.values():
            metric.reset_state()
            if hasattr(metric, "names"):
                names += metric.names(spec, min(count, self.num_images or count))
            else:
                names += metric.result()
        return [f"eval/{name}" for name in names]

    def measure(self, generate, dataset, preprocess=lambda batch: batch) -> dict[str, float]:
        """Results of all metrics, by "eval/<name>"; NaN where there is nothing to measure.

        Args:
            generate: (batch, seeds int32 [B]) -> dict, such as a compiled `task.generate`.
            dataset: batches of `batch_size` items with the key "valid", in fixed order.
            preprocess: last op on a batch.
        """
        self.observe(generate, dataset, preprocess)
        return {
            f"eval/{name}": value
            for metric in self.metrics.values()
            for name, value in metric.result().items()
        }

    def observe(self, generate, dataset, preprocess=lambda batch: batch) -> None:
        """Shows the metrics all items; arguments as `measure`."""
        for metric in self.metrics.values():
            metric.reset_state()
        first = 0
        for batch in dataset:
            if self.num_images is not None and first >= self.num_images:
                break
            seeds = tf.range(first, first + self.batch_size)
            entries = dict(batch)
            wanted = np.asarray(entries.pop("valid"))
            if self.num_images is not None:
                wanted = wanted & (seeds.numpy() < self.num_images)
            given = preprocess(entries)
            made = generate(given, seeds)
            for metric in self.metrics.values():
                metric.update_state(_rows(given, wanted), _rows(made, wanted))
            first += self.batch_size

    def confusions(self) -> dict:
        """Of the metrics that have one: {"eval/confusion": (counts, class names)}, as of the last
        `measure`; "eval/confusion_<name of the metric>" where there are several."""
        found = {name: m for name, m in self.metrics.items() if hasattr(m, "confusion")}
        return {
            f"eval/confusion_{name}" if len(found) > 1 else "eval/confusion": (
                metric.confusion(),
                metric.class_names,
            )
            for name, metric in found.items()
        }


def _rows(tensors, wanted) -> dict[str, np.ndarray]:
    return {name: np.asarray(tensor)[wanted] for name, tensor in tensors.items()}
