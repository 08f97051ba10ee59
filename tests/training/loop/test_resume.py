"""A run that is killed, or asked to stop, and resumed ends with the bytes of one that was not."""

import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import saved_variables, tiny

STEPS = 8
# State beside networks and optimizers, steps that differ from others, and several batches a step.
STATEFUL = [
    "task.accumulate_steps=2",
    "regularizer=lecam",
    "loss.discriminator_terms.lecam.start_step=2",
    "+loss.discriminator_terms.r1={_target_: losses.gradient_penalty.R1, every: 3}",
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


def arguments(data_root, output_root):
    return [
        *tiny.OVERRIDES,
        *tiny.data_overrides(data_root),
        f"output_root={output_root}",
        f"trainer.steps={STEPS}",
        "trainer.steps_per_call=1",
        "trainer.log_every_steps=1",
        "trainer.checkpoint_every_steps=2",
        "trainer.preview_every_steps=0",
        "summaries.rows=2",
        "task.averaging.calibration_batches=2",
        *STATEFUL,
        "resume=auto",
    ]


def final_variables(output_root):
    (path,) = output_root.glob(f"*/*/checkpoints/step_{STEPS:08d}")
    return saved_variables.of(path)


def start_and_signal(data_root, output_root, number):
    """Starts a run and signals it once its first checkpoint is there; returns the exit code."""
    child = subprocess.Popen(
        [sys.executable, str(tiny.ROOT / "train.py"), *arguments(data_root, output_root)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=tiny.environment(),
    )  # fmt: skip
    while child.poll() is None and not list(output_root.glob("*/*/checkpoints/step_*")):
        time.sleep(0.02)
    child.send_signal(number)
    output, _ = child.communicate()
    return child.returncode, output


@pytest.fixture(scope="module")
def unstopped(data_root, tmp_path_factory):
    output_root = tmp_path_factory.mktemp("unstopped")
    done = tiny.command("train.py", *arguments(data_root, output_root))
    assert done.returncode == 0, done.stderr
    return final_variables(output_root)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_stopped_run_resumes_exactly(number, data_root, unstopped, tmp_path):
    code, output = start_and_signal(data_root, tmp_path, number)
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 128 + signal.SIGTERM
        assert "To go on: python train.py resume=" in output
    (run,) = tmp_path.glob("*/*")
    steps = [int(p.name[5:]) for p in (run / "checkpoints").glob("step_*")]
    assert 0 < max(steps) < STEPS, "the signal came too late to test anything"

    resumed = tiny.command("train.py", *arguments(data_root, tmp_path))
    assert resumed.returncode == 0, resumed.stderr
    assert list(tmp_path.glob("*/*")) == [run]
    assert (run / ".hydra" / "overrides.yaml").is_file()
    assert (run / ".hydra" / "effective.yaml").is_file()
    final = final_variables(tmp_path)
    assert final.keys() == unstopped.keys()
    assert "objective.discriminator_terms.lecam/00000" in final
    for name, value in final.items():
        assert value.tobytes() == unstopped[name].tobytes(), name
