"""Run folders: what is a run, where its parts lie, and one writing process at a time."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.runs import checkpoint, whole_files

CONFIG = Path(".hydra") / "config.yaml"
MAX_SAME_SECOND = 1000


class RunFolder:
    """The parts of a run's folder.

    Args:
        path: the folder.

    Raises:
        FileNotFoundError: with `must_exist`, the folder is missing or is not that of a run.
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        self.path = Path(path)
        if must_exist and not self.config.is_file():
            found = "a folder without .hydra/config.yaml" if self.path.is_dir() else "no folder"
            raise FileNotFoundError(
                f"Expected the folder of a training run. Received: {str(path)!r}, {found}. "
                "Runs lie in outputs/<name>/<date>."
            )

    @property
    def config(self) -> Path:
        """The config the run was started with, interpolations unresolved."""
        return self.path / CONFIG

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The best checkpoint by a figure of the evaluation, where the run keeps one."""
        return self.checkpoints / "best"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def evaluation(self) -> Path:
        """Figures of scripts/evaluate.py."""
        return self.path / "evaluation"

    @property
    def image_class_names(self) -> Path:
        """Names of the classes of images by id, where the data have them."""
        older = self.path / "class_names.json"  # its name in runs of format 1
        return older if older.is_file() else self.path / "image_class_names.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def has_checkpoint(self) -> bool:
        return bool(checkpoint.CheckpointStore(self.checkpoints).steps())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; the lock falls with the process, however it ends.

        Raises:
            ValueError: another process holds it.
        """
        with open(self.path / ".lock", "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise ValueError(
                    f"Expected a run that no other process writes to. Received: {self.path}, in "
                    f"use by process {file.read().strip() or 'unknown'}. Wait for it or stop it."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def new_run_folder(parent: str | Path, time_stamp: str) -> Path:
    """Makes a folder of its own for a run: two runs started within a second get two folders.

    Raises:
        FileNotFoundError: it cannot be made there.
    """
    for suffix in ["", *(f"_{i}" for i in range(2, MAX_SAME_SECOND))]:
        path = Path(parent) / f"{time_stamp}{suffix}"
        try:
            path.mkdir(parents=True)
            return path
        except OSError as error:
            if not path.is_dir():
                raise FileNotFoundError(
                    f"Expected a place where a folder for the run can be made. Received: {path} "
                    f"({error.strerror}). Set output_root to a folder you may write to."
                ) from error
    raise FileExistsError(f"Expected a free name for a run in {parent}. Received: all taken.")


def newest_run(parent: str | Path) -> Path | None:
    """The newest run below a folder that has a whole checkpoint, or None."""
    runs = [RunFolder(path.parent.parent) for path in Path(parent).glob(f"*/{CONFIG}")]
    runs = [run for run in runs if run.has_checkpoint()]
    return max((run.path for run in runs), key=lambda path: path.name, default=None)


def drop_metrics_after(path: Path, step: int) -> None:
    """Removes the lines of `metrics.jsonl` beyond a step: a resumed run writes them again."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):  # the torn last line of a killed process
            continue
    with whole_files.written(path) as partial:
        partial.write_text("".join(kept))
