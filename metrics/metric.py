"""The interface of a metric, all that evaluation uses, in training and after it."""

from typing import Protocol

import numpy as np

Arrays = dict[str, np.ndarray]


class Metric(Protocol):
    """Figures of what was generated. A line of YAML names it (evaluate: `available`).

    `copy.copy` followed by `reset_state` gives a metric of its own, so `reset_state` makes new
    state. Metrics of classes may have `confusion()` -> int64 [K, K], row = true class, and
    `class_names`. Metrics whose `result` needs items have `names(spec, count)`, its names for so
    many items of batches as that spec says; the others name all figures from the start.
    While a run trains, metrics with `num_training`, `remembered` and `remember(batch)` are shown so
    many training items once, and `gap(here, training)` of two results takes the place of their
    differences; see training/watch/evaluation.py.
    """

    needs: frozenset[str]
    """What it must be given.

    Of the kind of task, as `Kind.provides` says: "features" (sets of images), "pairs" (each image
    beside its original), "hole", "label_map", "label".
    Of a network that predicts, the run's own or a judge: "prediction".
    Of the settings of scripts/evaluate.py: "features" and "lpips", the networks of these groups.
    As an argument of the constructor: "class_names".
    Of a run that trains, so that no command offers the metric: "training" items, "discriminator".
    """

    def reset_state(self) -> None:
        """Forgets all items."""

    def update_state(self, batch: Arrays, generated: Arrays) -> None:
        """Counts items: entries of the data, and what the network made of them.

        Metrics of "features" get other entries: "features" [N, D] and, if there are any, "label"
        [N] of real images, and the same with "logits" of generated ones, N of either its own.
        """

    def result(self) -> dict[str, float]:
        """Figures by name; NaN where there is nothing to count.

        Raises:
            ValueError: too few items. Unmeasurable: they lack something for good.
        """


class Unmeasurable(ValueError):
    """What the items of an evaluation lack for a metric, in words that follow "needs"."""
