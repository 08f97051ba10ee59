"""Trainings killed again and again, at random instants, end with the bytes of one left alone.

`TESSERA_KILLS=20` kills a training of every kind and precision so often; without it two trainings
are killed twice.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import saved_variables, tiny

KILLS = int(os.environ.get("TESSERA_KILLS", "2"))
STEPS = 100

KINDS = {
    "spade_synthetic": [*tiny.OVERRIDES, "task.averaging.calibration_batches=2"],
    "class_synthetic": [*tiny.CLASS_OVERRIDES, "task.averaging.calibration_batches=2"],
    "unconditional_synthetic": tiny.CLASS_OVERRIDES,
    "inpaint_synthetic": tiny.INPAINTING_OVERRIDES,
    "segment_synthetic": tiny.SEGMENTER_OVERRIDES[1:],
    "classify_synthetic": tiny.CLASSIFIER_OVERRIDES,
}
PRECISIONS = ("float32", "mixed_bfloat16")
TRAININGS = [("spade_synthetic", "mixed_bfloat16"), ("class_synthetic", "float32")]
if "TESSERA_KILLS" in os.environ:
    TRAININGS = [(kind, precision) for kind in KINDS for precision in PRECISIONS]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


def arguments(kind, precision, data_root, output_root):
    return [
        f"experiment={kind}", *KINDS[kind], *tiny.data_overrides(data_root),
        f"output_root={output_root}", f"devices.precision={precision}", "trainer.batch_size=2",
        f"trainer.steps={STEPS}", "trainer.steps_per_call=1", "trainer.log_every_steps=5",
        "trainer.checkpoint_every_steps=2", "trainer.preview_every_steps=50",
        "trainer.evaluate_every_steps=0", "evaluation=null", "summaries.rows=2", "resume=auto",
    ]  # fmt: skip


def killed(command, delay):
    """Starts the training and kills it `delay` seconds after its first step is near.

    Returns:
        Whether it was still running.
    """
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=tiny.environment(),
    )  # fmt: skip
    for line in child.stdout:
        if "Training from step" in line or "nothing is left to do" in line:
            break
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("kind, precision", TRAININGS)
def test_a_training_survives_kills(kind, precision, data_root, tmp_path):
    alone = arguments(kind, precision, data_root, tmp_path / "alone")
    done = tiny.command("train.py", *alone)
    assert done.returncode == 0, done.stderr
    command = [
        sys.executable, str(tiny.ROOT / "train.py"),
        *arguments(kind, precision, data_root, tmp_path / "killed"),
    ]  # fmt: skip
    draw = random.Random(f"{kind} {precision}")
    kills = sum(killed(command, draw.uniform(0, 6)) for _ in range(KILLS))
    done = tiny.command("train.py", *command[2:])
    assert done.returncode == 0, done.stderr
    assert kills > 0
    (expected,) = (tmp_path / "alone").glob(f"*/*/checkpoints/step_{STEPS:08d}")
    (found,) = (tmp_path / "killed").glob(f"*/*/checkpoints/step_{STEPS:08d}")
    assert saved_variables.bytes_of(found) == saved_variables.bytes_of(expected)
