"""A process whose disk is full for a while as it trains: python full_disk.py FOLDER [OTHER_DISK].

By the largest size of a file that the process may write; or, where the folder has a file system of
its own (OTHER_DISK is given), by filling that. Prints what happened as JSON.
"""

import contextlib
import json
import logging
import os
import resource
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.training.loop.test_trainer import FiveLineTask, fit, total  # noqa: E402
from training.runs import checkpoint  # noqa: E402

FOLDER = Path(sys.argv[1])
OTHER_DISK = Path(sys.argv[2]) if sys.argv[2:] else None
FILLER = FOLDER / "filler"


def fill():
    if OTHER_DISK is None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        return
    with contextlib.suppress(OSError), open(FILLER, "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    FILLER.unlink(missing_ok=True)


def trained(name, fills_at, frees_at, steps=12, **settings):
    """What a run of that name leaves, on a disk that is full between two evaluations."""
    task = FiveLineTask()

    def evaluate():
        step = int(task.variables[1].numpy())
        fill() if step == fills_at else free() if step == frees_at else None
        return {"eval/step": step}, {}

    intervals = {
        "steps_per_call": 2, "log_every_steps": 2, "evaluate_every_steps": 4,
        "preview_every_steps": 2, "checkpoint_every_steps": 4,
    }  # fmt: skip
    folder, error = FOLDER / name, ""
    folder.mkdir(parents=True)
    handler = logging.FileHandler(folder / "train.log")
    logging.getLogger().addHandler(handler)
    try:
        fit(folder, task, steps, evaluate, **(intervals | settings))
    except checkpoint.CheckpointError as raised:
        error = str(raised)
    finally:
        free()
        logging.getLogger().removeHandler(handler)
    checkpoints = folder / "checkpoints"
    return {
        "error": error,
        "total": total(task).hex(),
        "steps": checkpoint.CheckpointStore(checkpoints).steps(),
        "partial": [path.name for path in checkpoints.glob(".*")],
        "logged": [
            json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
        ],
        "log": (folder / "train.log").read_text(),
        "sheets": sorted(path.name for path in (folder / "samples").iterdir()),
        "events": [str(path) for path in sorted((folder / "tensorboard").iterdir())],
    }


def main():
    logging.getLogger().setLevel(logging.INFO)
    found = {
        "undisturbed": trained("undisturbed", -1, -1),
        "logging": trained("logging", 4, 8, checkpoint_every_steps=0),
        "saving": trained("saving", 4, 8),
        "never": trained("never", 4, -1, steps=24),
        "last": trained("last", 8, -1),
    }
    if OTHER_DISK is not None:
        kept = OTHER_DISK / "fallback"
        found["fallback"] = trained("fallback", 4, -1, fallback=kept)
        found["fallback"]["kept"] = checkpoint.CheckpointStore(kept).steps()
        shutil.rmtree(kept)
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
