"""The best checkpoint of a run: the whole state at which a figure of its evaluation was best."""

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.runs import checkpoint

HIGHEST, LOWEST = "highest", "lowest"
AUTO = "auto"
SIGNAL = "eval/sliced_wasserstein"
"""What `best_metric: auto` stands for, where it is measured; the lowest is best."""


class BestCheckpoint:
    """Keeps one checkpoint, that of the best evaluation so far.

    The figures lie in the checkpoint's own manifest, so that they cannot disagree with its
    weights, and nothing but the folder is remembered: a resumed run goes on from what lies there.
    A new best is whole before the old one goes.

    Args:
        folder: where it lives.
        metric: name of the figure, such as "eval/mean_iou".
        best_is: "highest" or "lowest".
        patience: evaluations without a better figure after which `stalled` is true once; None =
            never. They are counted from the start of the process.

    Raises:
        ValueError: another `best_is`; in `check` and `offer`, a figure that there is not.
        CheckpointError: in `offer`, the checkpoint cannot be written.
    """

    def __init__(
        self, folder: str | Path, metric: str, *, best_is: str = HIGHEST,
        patience: int | None = None,
    ) -> None:  # fmt: skip
        if patience is not None and patience < 1:
            raise ValueError(
                "checkpoints.patience must be at least 1, or null. Received: "
                f"checkpoints.patience={patience}"
            )
        if best_is not in (HIGHEST, LOWEST):
            raise ValueError(
                f"checkpoints.best_is must be {HIGHEST} or {LOWEST}. Received: best_is={best_is}"
            )
        self.store = checkpoint.CheckpointStore(folder, keep=1)
        self.metric = metric
        self.best_is = best_is
        self.patience = patience
        self.waited = 0

    def check(self, names: Iterable[str]) -> None:
        """Raises ValueError where the figure is none of those that the evaluation gives."""
        names = list(names)
        if self.metric in names:
            return
        matches = difflib.get_close_matches(str(self.metric), names, n=1)
        hint = f" Did you mean {matches[0]!r}?" if matches else ""
        raise ValueError(
            "checkpoints.best_metric must be a figure that the evaluation gives. Received: "
            f"best_metric={self.metric}.{hint} It gives: {', '.join(names)}."
        )

    def step(self) -> int | None:
        """The step of the best checkpoint, None where there is none."""
        steps = self.store.steps()
        return max(steps, key=lambda step: (self._score(step), -step), default=None)

    def offer(self, step: int, values: dict[str, float], owners: dict[str, Any]) -> bool:
        """Saves the state if its figure beats the best so far; equal is not better, NaN never is.

        Args:
            step: the training step.
            values: figures of an evaluation at this step.
            owners: owner name -> object with `.variables`.

        Returns:
            Whether it is the new best.
        """
        self.check(values)
        best, score = self.step(), self._sign() * values[self.metric]
        better = not math.isnan(score) and (best is None or score > self._score(best))
        # The same step again, after a resume from an earlier one, is the same state.
        better = better and step not in self.store.steps()
        self.waited = 0 if better else self.waited + 1
        if better:
            self.store.save(step, owners, figures=values)
            best = step
        for other in self.store.steps():
            if other != best:  # also what a process killed right here has left
                self.store.drop(other)
        return better

    def stalled(self) -> bool:
        """Whether the last evaluation was the one at which patience ended."""
        return self.waited == self.patience

    def _score(self, step) -> float:
        """The figure of a kept checkpoint, the more the better."""
        return self._sign() * self.store.figures(step).get(self.metric, -self._sign() * math.inf)

    def _sign(self) -> float:
        return 1.0 if self.best_is == HIGHEST else -1.0
