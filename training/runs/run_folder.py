"""Run folders: what is a run, where its parts lie, and one writing process at a time."""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from training.runs import checkpoint, json_files, locks, whole_files

CONFIG = Path(".hydra") / "config.yaml"
MAX_SAME_SECOND = 1000
MAX_NAME_BYTES = 255  # of a part of a run's name: the limit of file systems
LOCK, LOG = ".lock", "train.log"


class RunFolder:
    """The parts of a run's folder, all of which lie inside it.

    Args:
        path: the folder; it may be reached through links.

    Raises:
        FileNotFoundError: with `must_exist`, the folder is missing or is not that of a run.
        ValueError: with `must_exist`, something in it leads out of it, or is no file or folder.
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        self.path = Path(path)
        # Those of os.path: names that are too long for a file are not there.
        if must_exist and not os.path.isfile(self.config):
            found = (
                "a folder without .hydra/config.yaml" if os.path.isdir(self.path) else "no folder"
            )
            found = "a file" if os.path.isfile(self.path) else found
            raise FileNotFoundError(
                f"Expected the folder of a training run. Received: {str(path)!r}, {found}. "
                "Runs lie in outputs/<name>/<date>."
            )
        if must_exist:
            self.check_parts()

    def check_parts(self) -> None:
        """Refuses what would have a command read or write elsewhere, or wait for ever.

        A folder may come from someone else: a link in the place of `samples` or `train.log` would
        write to whatever it leads to.

        Raises:
            ValueError: a link that leads out of the folder, a pipe, a device.
        """
        inside = self.path.resolve()
        for folder, folders, names in os.walk(self.path):
            for part in (Path(folder, name) for name in (*folders, *names)):
                try:
                    mode = part.lstat().st_mode
                except FileNotFoundError:  # of a run in training, which drops old checkpoints
                    continue
                if stat.S_ISLNK(mode):
                    if (target := Path(os.path.realpath(part))).is_relative_to(inside):
                        continue
                    found = f"a link to {target}"
                elif stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                    continue
                else:
                    found = "neither a file nor a folder"
                raise ValueError(
                    f"Expected a run whose parts lie in its folder. Received: {part}, {found}. "
                    "Put the files themselves there; the folder of the run may be a link."
                )

    @property
    def config(self) -> Path:
        """The config the run was started with, interpolations unresolved."""
        return self.path / CONFIG

    @property
    def effective_config(self) -> Path:
        """The config the run has now: with what resuming has changed."""
        newest = self.config.with_name("effective.yaml")
        older = sorted(self.config.parent.glob("resumed_*/effective.yaml"))  # of version 0.2.0
        return next((p for p in (newest, *reversed(older)) if p.is_file()), self.config)

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

    @property
    def rollbacks(self) -> Path:
        """The batches it passes over, see training/loop/rollbacks.py."""
        return self.path / "rollbacks.json"

    @property
    def data_files(self) -> Path:
        """Names and sizes of the files it was trained on, see data_files.py."""
        return self.path / "data_files.json.gz"

    @property
    def start_from(self) -> Path:
        """What it took from the run that it started from, see fine_tuning.py."""
        return self.path / "start_from.json"

    def check_writable(self) -> None:
        """Raises ValueError where a command cannot write into the folder."""
        effective = os.access in os.supports_effective_ids
        if not os.access(self.path, os.W_OK | os.X_OK, effective_ids=effective):
            raise ValueError(
                f"Expected a run that can be written to. Received: {self.path}, which is "
                "read-only. Copy it to resume it; to use it as it is, name another place: out=DIR"
            )

    def has_checkpoint(self) -> bool:
        return bool(checkpoint.CheckpointStore(self.checkpoints).steps())

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Holds the run for this process; the lock falls with the process, however it ends.

        Raises:
            ValueError: another process holds it, or it cannot be written to.
        """
        return locks.held(self.path / LOCK)

    def in_use(self) -> bool:
        """Whether a process holds the run."""
        return locks.is_held(self.path / LOCK)


def check_name(name: object) -> None:
    """Refuses names of runs that are no folder below another one.

    Raises:
        ValueError: a name that leads elsewhere, or that no file system takes.
    """
    text = name if isinstance(name, str) else ""
    for part in text.split("/"):
        odd = part in ("", ".", "..") or not part.isprintable() or part != part.strip()
        if odd or len(os.fsencode(part)) > MAX_NAME_BYTES:
            raise ValueError(
                "name must be the name of a folder, or names with / between them, each of 1 to "
                f"{MAX_NAME_BYTES} bytes that can be printed, none of them . or .. Received: "
                f"name={name!r}"
            )


def make(path: Path, *, exist_ok: bool = True) -> None:
    """Makes a folder and those above it.

    Raises:
        FileNotFoundError: it cannot be made there.
        FileExistsError: without `exist_ok`, it is there.
    """
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if os.path.isdir(path):
            raise
        raise FileNotFoundError(
            f"Expected a place where a folder for the run can be made. Received: {path} "
            f"({error.strerror}). Set output_root to a folder you may write to."
        ) from error


def new_run_folder(parent: str | Path, time_stamp: str) -> Path:
    """Makes a folder of its own for a run: two runs started within a second get two folders.

    Raises:
        FileNotFoundError: it cannot be made there.
    """
    for suffix in ["", *(f"_{i}" for i in range(2, MAX_SAME_SECOND))]:
        path = Path(parent) / f"{time_stamp}{suffix}"
        with contextlib.suppress(FileExistsError):
            make(path, exist_ok=False)
            return path
    raise FileExistsError(f"Expected a free name for a run in {parent}. Received: all taken.")


def refuse_used(path: str | Path, setting: str) -> None:
    """Refuses a folder that holds anything but what a refused command leaves.

    Raises:
        ValueError: it holds something; `setting` is what named it.
    """
    path = Path(path)
    held = sorted(os.listdir(path)) if os.path.isdir(path) else []
    held = [name for name in held if name not in (LOCK, LOG)]
    if not held:
        return
    is_run = RunFolder(path).config.is_file()
    advice = f"To go on with it: resume={path}. For a new one" if is_run else "For a run"
    raise ValueError(
        f"Expected {setting} to be a new or an empty folder. Received: {path}, which holds "
        f"{'a run' if is_run else ', '.join(held[:3])}. {advice}, name another folder."
    )


def newest_run(parent: str | Path, *, or_in_use: bool = False) -> Path | None:
    """The newest run below a folder that has a checkpoint, or None.

    Args:
        parent: folder of runs.
        or_in_use: whether one that a process holds counts without a checkpoint.
    """
    runs = [RunFolder(path) for path in Path(parent).glob("*") if path.is_dir()]
    runs = [
        run
        for run in runs
        if (run.config.is_file() and run.has_checkpoint()) or (or_in_use and run.in_use())
    ]
    # Of one second: "..._2" to "..._10", in this order.
    by_age = max(runs, key=lambda run: _age(run.path.name), default=None)
    return by_age.path if by_age else None


def _age(name) -> tuple:
    return name[: len("2026-01-01_00-00-00")], len(name), name


def metrics_lines(path: Path) -> Iterator[dict]:
    """The whole lines of a `metrics.jsonl`: {"step": int, name: number}.

    What is no such line is left out: the torn last one of a killed process, damaged ones.
    """
    if not path.is_file():
        return
    for line in path.read_bytes().split(b"\n"):
        try:
            logged = json_files.parsed(line)
        except ValueError:
            continue
        if isinstance(logged, dict) and type(logged.get("step")) is int:
            if all(map(json_files.is_number, logged.values())):
                yield logged


def drop_metrics_after(path: Path, step: int) -> None:
    """Removes the lines of `metrics.jsonl` beyond a step: a resumed run writes them again."""
    if not path.is_file():
        return
    kept = [json.dumps(logged) + "\n" for logged in metrics_lines(path) if logged["step"] <= step]
    with whole_files.written(path) as partial:
        partial.write_text("".join(kept))
