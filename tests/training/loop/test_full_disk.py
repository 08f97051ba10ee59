"""A full disk ends no run for its logs, and a save that fails is tried again, or elsewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tests.helpers import tiny
from tests.training.loop.test_trainer import FiveLineTask, fit, total
from training.runs import starting

SCRIPT = tiny.ROOT / "tests/helpers/full_disk.py"


def run(*command):
    done = subprocess.run(
        [*command], capture_output=True, text=True, env=tiny.environment(), cwd=tiny.ROOT,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """Files may grow to 100 bytes for a while."""
    return run(sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("limited")))


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A file system of 2 MB, in a name space of its own."""
    folder, other = tmp_path_factory.mktemp("small"), tmp_path_factory.mktemp("other")
    mount = f"mount -t tmpfs -o size=2m tmpfs {folder}"
    space = ("unshare", "--mount", "--map-root-user", "sh", "-c")
    try:
        allowed = subprocess.run([*space, mount], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("no file system may be mounted here")
    return run(*space, f"{mount} && exec {sys.executable} {SCRIPT} {folder} {other}")


DISKS = ["limited", pytest.param("small_disk", marks=pytest.mark.slow)]


@pytest.fixture(params=DISKS)
def found(request):
    return request.getfixturevalue(request.param)


def test_logs_that_cannot_be_written_do_not_end_a_run(found):
    """Every line of metrics.jsonl is there afterwards; it is said once."""
    logs, whole = found["logging"], found["undisturbed"]
    assert not logs["error"] and logs["total"] == whole["total"]
    steps = [line["step"] for line in logs["logged"]]
    assert steps == [line["step"] for line in whole["logged"]] == sorted(steps)
    assert logs["steps"] == [12]
    assert found["stderr"].count("Traceback") == 0
    said = re.findall("(.*) of .*/logging cannot be written", found["stderr"])
    assert said and len(said) == len(set(said))
    assert found["stderr"].count("The log cannot be written") <= 4  # once for each log file
    assert logs["sheets"][-1] == "step_00000012.png"


def test_a_save_that_fails_is_tried_at_the_next_log(found):
    saving = found["saving"]
    assert not saving["error"] and saving["total"] == found["undisturbed"]["total"]
    assert saving["steps"] == [4, 10, 12]  # that of 8 failed
    assert not saving["partial"]
    assert "The checkpoint of step 8 could not be written" in found["stderr"]


def test_three_failures_in_a_row_end_the_run(found):
    never = found["never"]
    assert never["steps"] == [4] and not never["partial"]
    assert re.search(
        r"checkpoint of step 12 could not be written to .*never/checkpoints: .*"
        r"Expected: room for [0-9.]+ MB. Received: [0-9.,]+ MB free.*that of step 4.*resume",
        never["error"],
    )


def test_a_last_save_that_fails_is_an_error(found):
    assert "checkpoint of step 12 could not be written" in found["last"]["error"]
    assert found["last"]["steps"] == [4, 8]


@pytest.mark.slow
def test_a_fallback_on_another_disk_takes_what_the_first_refuses(small_disk):
    kept = small_disk["fallback"]
    assert not kept["error"] and kept["total"] == small_disk["undisturbed"]["total"]
    assert kept["steps"] == [4] and kept["kept"] == [8, 12]


def test_a_run_is_resumed_from_its_fallback(tmp_path, caplog):
    """The folder of the checkpoints is gone for good, a file in its place."""
    task, whole, resumed = FiveLineTask(), FiveLineTask(), FiveLineTask()
    fit(tmp_path / "whole", whole)
    folder = tmp_path / "run" / "checkpoints"

    def evaluate():
        if folder.is_dir():
            folder.rename(tmp_path / "gone")
            folder.write_text("")
        return {}, {}

    settings = {"evaluate_every_steps": 4, "checkpoint_every_steps": 4}
    fallback = tmp_path / "other" / "run"
    fit(tmp_path / "run", task, 7, evaluate, fallback=fallback, **settings)
    (path,) = fallback.iterdir()
    assert path.name == "step_00000007" and str(path) in caplog.text
    folder.unlink()
    store, _, _ = fit(tmp_path / "run", resumed, fallback=fallback, **settings)
    assert f"step 7 comes from the fallback {fallback}" in caplog.text
    assert total(resumed) == total(whole)
    assert store.steps() == [8, 12]
    later = FiveLineTask()
    fit(tmp_path / "run", later, 14, fallback=fallback, **settings)
    assert int(later.variables[1].numpy()) == 14  # from 12, not from the fallback


def test_runs_of_one_name_have_fallbacks_of_their_own(tmp_path):
    assert starting.fallback_of(tmp_path, None) is None
    found = {starting.fallback_of(tmp_path / each / "a" / "1", "b") for each in "xy"}
    assert len(found) == 2
    assert all(path.parent == Path("b").absolute() for path in found)
    assert all(path.name.startswith("a_1_") for path in found)


def test_events_before_and_after_a_full_disk_are_read(limited):
    steps = set()
    for path in limited["logging"]["events"]:
        try:
            steps |= {e.step for e in tf.compat.v1.train.summary_iterator(path)}
        except tf.errors.DataLossError:  # the torn end of the file that met the full disk
            continue
    assert {2, 4, 12} <= steps
