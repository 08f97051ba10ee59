"""Signals: before training, while it trains, again, ignored; of a closed terminal too."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import tiny
from training.loop import console, signals

SCRIPT = """
import os, signal, sys, time
from training.loop import console, signals
with signals.StopRequest().listening() as stop:
    if sys.argv[1] == "building":
        try:
            print("ready", flush=True)
            time.sleep(30)
        except signals.StoppedEarly as early:
            sys.exit(128 + early.number)
    stop.training_begins()
    print("ready", flush=True)
    while not stop:
        time.sleep(0.01)
    console.say("noted")
    time.sleep(float(sys.argv[2]))
    sys.exit(128 + stop.received)
"""


def child(state, seconds=0.0, **settings):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, state, str(seconds)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=tiny.environment(), cwd=tiny.ROOT, **settings,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("state", ["building", "training"])
@pytest.mark.parametrize("number", signals.WATCHED, ids=lambda number: number.name)
def test_the_first_signal_ends_in_good_order(state, number):
    process = child(state)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_second_signal_leaves_at_once(number):
    process = child("training", 30)
    process.send_signal(signal.SIGHUP)
    while process.stdout.readline() != "noted\n":
        pass
    process.send_signal(number)
    process.communicate(timeout=5)
    assert process.returncode == -number


def test_a_terminal_that_closes_sends_sighup_twice_and_takes_the_output_along():
    """Neither kills a run that saves, nor does what it would print."""
    process = child("training", 0.5)
    process.stdout.close()
    process.stderr.close()
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
    assert process.wait(timeout=20) == 128 + signal.SIGHUP


def test_ignored_by_nohup_stays_ignored():
    process = child("training", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_signal_lost_in_other_code_still_stops_before_the_first_step():
    with signals.StopRequest().listening() as stop:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except KeyboardInterrupt:
            pass  # as code of others may do
        with pytest.raises(signals.StoppedEarly) as early:
            stop.training_begins()
    assert early.value.number == signal.SIGTERM


def test_what_cannot_be_printed_is_no_error(monkeypatch):
    full = open("/dev/full", "w", buffering=1)  # noqa: SIM115 (it cannot be closed)
    monkeypatch.setattr(sys, "stdout", full)
    console.say("lost")
    assert sys.stdout is not full
    sys.stdout.close()
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        full.close()


# A run of train.py itself.


def start(data_root, output_root):
    return subprocess.Popen(
        [sys.executable, str(tiny.ROOT / "train.py"), *tiny.OVERRIDES,
         *tiny.data_overrides(data_root), f"output_root={output_root}", "trainer.steps=100000",
         "trainer.steps_per_call=1", "trainer.preview_every_steps=0", "summaries.rows=2",
         "task.averaging.calibration_batches=1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=tiny.environment(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


def until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def signalled(data_root, tmp_path, number, text):
    """Signals a training once it has printed a text; what else it prints before it ends."""
    process = start(data_root, tmp_path)
    until(process, text)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number, output
    return output


@pytest.mark.slow
@pytest.mark.parametrize("number", signals.WATCHED, ids=lambda number: number.name)
def test_a_signal_right_after_training_begins_saves(data_root, tmp_path, number):
    output = signalled(data_root, tmp_path, number, "Training from step 0")
    assert "To go on: python train.py resume=" in output
    assert list(tmp_path.glob("*/*/checkpoints/step_*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", signals.WATCHED, ids=lambda number: number.name)
def test_a_signal_while_it_is_built_ends_the_run_in_words(data_root, tmp_path, number):
    output = signalled(data_root, tmp_path, number, "TensorFlow")
    assert "Stopped before the first step; there is nothing to save." in output
    assert "Traceback" not in output
    assert not list(tmp_path.glob("*/*/checkpoints/step_*"))


def test_used_up_cpu_time_does_not_end_the_process_after_it_has_stopped():
    before = signal.getsignal(signal.SIGXCPU)
    try:
        with signals.StopRequest().listening() as stop:
            stop.training_begins()
            signal.raise_signal(signal.SIGXCPU)
        signal.raise_signal(signal.SIGXCPU)
        assert stop.received == signal.SIGXCPU
    finally:
        signal.signal(signal.SIGXCPU, before)
