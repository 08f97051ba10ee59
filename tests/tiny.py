"""A tiny data set and the overrides that shrink any semantic experiment to seconds."""

import os
import subprocess
import sys
from pathlib import Path

from data import synthetic_facades

ROOT = Path(__file__).resolve().parent.parent
SIZE = 32
GENERATOR = ["width=4", "multipliers=[2,1]", "upsample=[true,true]", "normalizer.hidden=8"]
DISCRIMINATOR = ["discriminator.width=4", "discriminator.depth=2"]
OVERRIDES = [
    f"data.image_size=[{SIZE},{SIZE}]",
    *(f"generator.{setting}" for setting in GENERATOR),
    *DISCRIMINATOR,
    "trainer.batch_size=2",
]


def write_data(root):
    """24 training and 6 validation pairs of 32 px; returns the folder."""
    return synthetic_facades.ensure_written(
        root, image_size=SIZE, train_count=24, validation_count=6, seed=0
    )


def data_overrides(root):
    return [
        f"data.root={root}",
        f"data.source.image_size={SIZE}",
        "data.source.train_count=24",
        "data.source.validation_count=6",
    ]


def command(script, *overrides, **settings):
    """Runs a command of the project in a process of its own; returns the finished process."""
    return subprocess.run(
        [sys.executable, str(ROOT / script), *overrides],
        capture_output=True, text=True, env=environment(), cwd=ROOT, check=False, **settings,
    )  # fmt: skip


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
