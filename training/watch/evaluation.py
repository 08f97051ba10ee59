"""Measures a task on a fixed part of a split, while it trains and after."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class Evaluation:
    """Metrics of what a task generates for the first items of a split.

    Args:
        metrics: {name: metric}, see metrics.metric.Metric; None = left out.
        num_images: int, items at most; None = the whole split. Default None.
        batch_size: int, items at a time; results do not depend on it. Default 8.
        gap: names of metrics that are measured on as many training items too. A figure x of these
            is followed by "x_train", and by "x_gap", how much it is more on the split than there.
            Default none.

    Raises:
        ValueError: a number below 1, or a gap of a metric that there is not.
    """

    configurable = True

    def __init__(
        self, metrics: dict, *, num_images: int | None = None, batch_size: int = 8,
        gap: Sequence[str] = (),
    ) -> None:  # fmt: skip
        if batch_size < 1 or (num_images is not None and num_images < 1):
            raise ValueError(
                "num_images and batch_size must be at least 1. Received: "
                f"num_images={num_images}, batch_size={batch_size}"
            )
        unknown = [name for name in gap if name not in metrics]
        if unknown:
            raise ValueError(
                f"gap must name metrics of the evaluation, {', '.join(metrics)}. Received: "
                f"gap={list(gap)}, unknown {unknown}"
            )
        self.metrics = {name: metric for name, metric in metrics.items() if metric is not None}
        self.gap = {name: self.metrics[name] for name in gap if name in self.metrics}
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
        for key, metric in self.metrics.items():
            metric.reset_state()
            if hasattr(metric, "names"):
                found = list(metric.names(spec, min(count, self.num_images or count)))
            else:
                found = list(metric.result())
            names += found
            if key in self.gap:
                names += gap_of(metric, *[dict.fromkeys(found, 0.0)] * 2)
        return [f"eval/{name}" for name in names]

    def measure(
        self, generate, dataset, preprocess=lambda batch: batch, training=None
    ) -> dict[str, float]:
        """Results of all metrics, by "eval/<name>"; NaN where there is nothing to measure.

        Args:
            generate: (batch, seeds int32 [B]) -> dict, such as a compiled `task.generate`.
            dataset: batches of `batch_size` items with the key "valid", in fixed order.
            preprocess: last op on a batch.
            training: such batches of the training split, for `gap`; None = it is not measured.
        """
        count = self.observe(generate, dataset, preprocess)
        values = {n: x for metric in self.metrics.values() for n, x in metric.result().items()}
        if training is not None and self.gap:
            seen = Evaluation(self.gap, num_images=count, batch_size=self.batch_size)
            seen.observe(generate, training, preprocess)
            for metric in self.gap.values():
                values |= gap_of(metric, values, metric.result())
        return {f"eval/{name}": value for name, value in values.items()}

    def remember(self, training, preprocess=lambda batch: batch) -> None:
        """Shows training items, once, to the metrics that compare with them.

        Args:
            training: number -> batches of so many training items.
            preprocess: last op on a batch.
        """
        for metric in self.metrics.values():
            if hasattr(metric, "remember") and not metric.remembered:
                for batch in training(metric.num_training):
                    entries = dict(batch)
                    wanted = np.asarray(entries.pop("valid"))
                    metric.remember(_rows(preprocess(entries), wanted))

    def observe(self, generate, dataset, preprocess=lambda batch: batch) -> int:
        """Shows the metrics all items; arguments as `measure`. Returns how many there were."""
        for metric in self.metrics.values():
            metric.reset_state()
        first, count = 0, 0
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
            count += int(np.sum(wanted))
        return count

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


def gap_of(metric, here: dict, training: dict) -> dict[str, float]:
    """What a metric's results on a split and on training items say together, by name."""
    if hasattr(metric, "gap"):
        return {f"{n}_train": x for n, x in training.items()} | metric.gap(here, training)
    found = {name: value for name, value in training.items() if "/" not in name}
    gaps = {f"{name}_gap": here[name] - value for name, value in found.items()}
    return {f"{name}_train": value for name, value in found.items()} | gaps


def _rows(tensors, wanted) -> dict[str, np.ndarray]:
    return {name: np.asarray(tensor)[wanted] for name, tensor in tensors.items()}
