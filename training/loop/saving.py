"""Checkpoints of the loop: saved, tried again, saved elsewhere, and saved before an error."""

import logging

from training.loop import failures
from training.runs import checkpoint

log = logging.getLogger(__name__)

MAX_FAILED = 3


class Saving:
    """What becomes of the state of a task on a disk that may be full.

    Args:
        store: where checkpoints go.
        task: a built task.
        writes: whether this process writes files.
    """

    def __init__(self, store, task, writes) -> None:
        self.store = store
        self.task = task
        self.writes = writes
        self.failed = 0
        """Tries in a row that have failed."""

    def newest(self) -> int | None:
        """The step of the newest checkpoint, None where there is none."""
        return max((step for each in self.store.stores() for step in each.steps()), default=None)

    def restore(self) -> int:
        """Puts the newest checkpoint into the task, that of the run or of its fallback.

        Returns:
            The step of it; 0 where there is none.

        Raises:
            CheckpointError: there are some, and none can be used.
        """
        stores = [each for each in self.store.stores() if each.steps()]
        stores.sort(key=lambda each: each.steps()[-1], reverse=True)
        for left, store in zip(range(len(stores), 0, -1), stores, strict=True):
            try:
                step = store.restore(self.task.state())
            except checkpoint.CheckpointError as error:
                if left == 1:
                    raise
                log.warning("%s", error)
                continue
            if store is not self.store:
                log.warning("The state of step %d comes from the fallback %s.", step, store.folder)
            return step
        return 0

    def save(self, step: int, *, last: bool = False) -> None:
        """Writes a checkpoint; what the disk refuses is tried again, up to a limit.

        Args:
            step: the training step.
            last: whether no other try follows.

        Raises:
            CheckpointError: a value is not finite; or the disk refuses, and it is the last try or
                the third in a row.
        """
        if not self.writes:
            return
        try:
            self.store.save(step, self.task.state())
            self.failed = 0
        except checkpoint.UnwritableError as error:
            self.failed += 1
            if last or self.failed >= MAX_FAILED:
                raise
            log.error(
                "%s Training goes on and the next log interval tries again; %d failures in a row "
                "end the run.", error, MAX_FAILED,
            )  # fmt: skip

    def wants(self, step: int, error: Exception) -> bool:
        """Whether a state is to be saved before this error ends the run."""
        # Not finite, or not writable: tried before.
        hopeless = isinstance(error, failures.NonFiniteMetricError | checkpoint.CheckpointError)
        saved = any(step in store.steps() for store in self.store.stores())
        return self.writes and not hopeless and step > 0 and not saved

    def rescue(self, step: int) -> None:
        """Saves before an error ends the run; what fails here does not hide that error."""
        try:
            path = self.store.save(step, self.task.state())
            log.error("An error ends the run. Its state at step %d is saved in %s", step, path)
        except checkpoint.CheckpointError as error:
            log.error("%s", error)
