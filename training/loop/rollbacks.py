"""Steps that made a run not finite: which batches it passes over, and how often it may go back."""

import json
import math
from pathlib import Path
from typing import Any

from training.runs import json_files, whole_files

MOST_TO_ONE_CHECKPOINT = 3


class Rollbacks:
    """The record of a run's rollbacks, from which the batches of each step follow.

    A run that is resumed reads it and passes over the same batches.

    Args:
        path: JSON file of the run; None = there is none, and nothing is written.
        writes: whether this process writes it.

    Raises:
        ValueError: the file is damaged.
    """

    def __init__(self, path: Path | None, writes: bool) -> None:
        self.path = path
        self.writes = writes
        self.records: list[dict[str, Any]] = []
        if path is not None and path.is_file():
            try:
                self.records = json_files.read(path)
                self._skipped = sorted({int(record["skipped"]) for record in self.records})
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    "Expected the record of the batches that this run passes over. Received: "
                    f"{path}, {type(error).__name__}: {error}. Without it the run would go on with "
                    "other data; restore the file from a copy, or start a new run."
                ) from error
        else:
            self._skipped = []

    def batches_of(self, step: int) -> int:
        """The step whose batches, in a run without rollbacks, this one takes."""
        for skipped in self._skipped:
            step += skipped <= step
        return step

    def until_jump(self, step: int) -> float:
        """Steps from this one on whose batches follow each other; math.inf where all do."""
        first = self.batches_of(step)
        return min((skipped - first for skipped in self._skipped if skipped > first),
                   default=math.inf)  # fmt: skip

    def add(self, step: int, restored: int, reason: str) -> bool:
        """Passes over the batches of a step from now on.

        Args:
            step: what was not finite, counted from 0.
            restored: step of the checkpoint to go back to.
            reason: what was not finite.

        Returns:
            Whether it is worth a try; False when as many as may have gone to that checkpoint.
        """
        if sum(r["restored"] == restored for r in self.records) >= MOST_TO_ONE_CHECKPOINT:
            return False
        skipped = self.batches_of(step)
        record = {"step": step + 1, "restored": restored, "skipped": skipped, "reason": reason}
        self.records.append(record)
        self._skipped = sorted({*self._skipped, skipped})
        if self.writes and self.path is not None:
            with whole_files.written(self.path) as partial:
                partial.write_text(json.dumps(self.records, indent=1) + "\n")
        return True
