"""Where runs and sweeps lie, and what a refused command changes in them: nothing."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import yaml

from tests.helpers import tiny, train_command
from training.runs import run_folder, starting
from training.tasks import steps

SMALL = train_command.SMALL


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


@pytest.fixture(scope="module")
def settings(data_root):
    return [*SMALL, *tiny.data_overrides(data_root)]


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    """A run of one step, in a folder in which a refused command has left its log."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    words = [*settings, f"hydra.run.dir={folder}"]
    assert "'batch_size': -1" in train_command.train(*words, "trainer.batch_size=-1")
    assert sorted(os.listdir(folder)) == [".lock", "train.log"]
    assert train_command.train(*words) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_a_run_has_its_config_once_it_trains(trained):
    hydra_folder = trained / ".hydra"
    assert sorted(os.listdir(hydra_folder)) == ["config.yaml", "hydra.yaml", "overrides.yaml"]
    assert "trainer.steps=1" in yaml.safe_load((hydra_folder / "overrides.yaml").read_text())
    choices = yaml.safe_load((hydra_folder / "hydra.yaml").read_text())["hydra"]["runtime"]
    assert choices["choices"]["segmenter"]
    config, choices = starting.load_run(run_folder.RunFolder(trained, must_exist=True))
    assert config.trainer.steps == 1 and choices["data"] == "synthetic_facades"
    assert (trained / ".lock").read_text() == ""


# --- Refused resumes --------------------------------------------------------------------------


@pytest.fixture
def one_file(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


@pytest.mark.parametrize(
    "override, expected",
    [
        ("data.root={file}/none", "{file}"),
        ("trainer.steps=0", "'steps': 0"),
        ("seed=5", "seed=5"),
        ("checkpoints.best_metric=eval/fid", "best_metric=eval/fid"),
        ("devices.device=gpu", "Expected a GPU"),
    ],
)
def test_a_refused_resume_leaves_the_run_as_it_was(override, expected, run, one_file):
    before = train_command.content(run, but=["train.log"])
    override, expected = (text.format(file=one_file) for text in (override, expected))
    assert expected in train_command.train(f"resume={run}", override, "trainer.steps_per_call=1")
    assert train_command.content(run, but=["train.log"]) == before
    last = (run / "train.log").read_text().splitlines()[-1]
    assert last.startswith("Error: ") and expected in last
    assert starting.load_run(run_folder.RunFolder(run))[0].trainer.steps == 1


def test_a_resume_that_does_not_fit_its_checkpoint_keeps_nothing(run):
    config = run / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("  - 6\n", "  - 8\n"))
    before = train_command.content(run / ".hydra")
    assert "shape" in str(train_command.train(f"resume={run}", "trainer.steps=2"))
    assert train_command.content(run / ".hydra") == before


def test_a_resume_that_starts_keeps_what_it_changes(run):
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b"\xff\n5\nnull\n[1]\n")  # which do not hinder it
    assert train_command.train(f"resume={run}", "trainer.steps=2") == 0
    assert starting.load_run(run_folder.RunFolder(run))[0].trainer.steps == 2
    assert "trainer.steps=2" in (run / "train.log").read_text()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert sorted(os.listdir(run / ".hydra"))[1] == "effective.yaml"


def test_a_run_in_use_is_left_as_it_was(run):
    before = train_command.content(run, but=["train.log", ".lock"])
    with run_folder.RunFolder(run).locked():
        message = train_command.train(f"resume={run}", "trainer.steps=9")
    assert f"in use by process {os.getpid()}" in message
    assert train_command.content(run, but=["train.log", ".lock"]) == before


@pytest.mark.parametrize(
    "value, expected",
    [
        ("", "Received: an empty text"),
        ("'  '", "Received: an empty text"),
        ("{file}", "file', a file"),
        ("{file}/x", "no folder"),
        ("{folder}/broken", "no folder"),
        ("{folder}", "without .hydra/config.yaml"),
    ],
)
def test_what_cannot_be_resumed_is_named(value, expected, tmp_path, one_file):
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    before = sorted(tmp_path.iterdir())
    value = value.format(file=one_file, folder=tmp_path)
    message = train_command.train(f"resume={value}", f"output_root={tmp_path / 'runs'}")
    assert expected in message and sorted(tmp_path.iterdir()) == before


def test_resume_and_a_folder_exclude_each_other(run, tmp_path):
    message = train_command.train(f"resume={run}", f"hydra.run.dir={tmp_path / 'other'}")
    assert "Received: both" in message and not (tmp_path / "other").exists()


# --- Folders that are used --------------------------------------------------------------------


def test_hydra_writes_no_config_over_that_of_a_run(run):
    before = train_command.content(run)
    message = train_command.train(f"resume={run}", "hydra.output_subdir=.hydra")
    assert "hydra.output_subdir must be null" in message
    assert train_command.content(run) == before


@pytest.mark.parametrize("flags, key", [([], "hydra.run.dir"), (["-m"], "hydra.sweep.dir")])
def test_a_used_folder_is_refused_before_anything_is_written(flags, key, run, settings, tmp_path):
    before = train_command.content(tmp_path)
    message = train_command.train(*flags, *settings, "seed=1", f"{key}={run}")
    assert f"{key} to be a new" in message and f"{run}, which holds a run" in message
    assert f"resume={run}" in message
    message = train_command.train(*flags, *settings, f"{key}={tmp_path}")
    assert f"Received: {tmp_path}, which holds run" in message
    assert train_command.content(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("place", ["hydra.run.dir={}/a/b", "output_root={} resume=auto"])
def test_of_two_commands_at_once_with_one_place_one_trains(place, settings, tmp_path):
    words = [*settings, *place.format(tmp_path).split(), "trainer.steps=100000"]
    words += ["trainer.preview_every_steps=0", "trainer.checkpoint_every_steps=1"]
    children = [
        subprocess.Popen(
            [sys.executable, str(tiny.ROOT / "train.py"), *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=tiny.environment(),
        )
        for _ in range(2)
    ]  # fmt: skip
    while all(child.poll() is None for child in children):
        time.sleep(0.05)
    refused, training = sorted(children, key=lambda child: child.poll() is None)
    message = refused.communicate()[1]
    assert "holds a run" in message or f"in use by process {training.pid}" in message
    while not list(tmp_path.glob("*/*/checkpoints/step_*")):
        assert training.poll() is None
        time.sleep(0.05)
    training.terminate()
    training.communicate(timeout=120)
    assert training.returncode == 128 + signal.SIGTERM
    assert len(list(tmp_path.glob("*/*"))) == 1


# --- resume=auto ------------------------------------------------------------------------------


def test_auto_refuses_a_run_that_trains_and_has_no_checkpoint_yet(settings, tmp_path):
    parent = tmp_path / "segment_synthetic"
    (parent / "2026-01-01_00-00-00").mkdir(parents=True)
    words = [*settings, f"output_root={tmp_path}", "resume=auto"]
    with run_folder.RunFolder(parent / "2026-01-01_00-00-00").locked():
        message = train_command.train(*words)
    assert f"2026-01-01_00-00-00, in use by process {os.getpid()}" in message
    assert sorted(os.listdir(parent)) == ["2026-01-01_00-00-00"]
    # That one has died before its first checkpoint: there is nothing to go on with.
    assert "batch_size" in train_command.train(*words, "trainer.batch_size=-1")
    assert len(list(parent.glob("*/train.log"))) == 1


def test_of_several_at_once_one_chooses_at_a_time(settings, tmp_path):
    """The second command waits until the first one holds the run that it has chosen."""
    parent = tmp_path / "segment_synthetic"
    (parent / "first").mkdir(parents=True)
    descriptor = os.open(parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    held = run_folder.RunFolder(parent / "first").locked()

    def first_command():
        time.sleep(1)
        held.__enter__()
        os.close(descriptor)

    thread = threading.Thread(target=first_command)
    thread.start()
    message = train_command.train(*settings, f"output_root={tmp_path}", "resume=auto")
    thread.join()
    assert "first, in use by process" in message
    held.__exit__(None, None, None)


# --- Names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../../escape", "/absolute", "a//b", "a/./b", "a/", "''", "'  '", ".", "..", '"a\tb"',
     "n" * 256, "é" * 128, "[a,b]", "{a: b}", "5.5.5/../x"],
)  # fmt: skip
def test_a_name_that_is_no_folder_below_output_root_is_refused(name, tmp_path):
    quoted = name if name[0] in "[{'\"" else f"'{name}'"
    message = train_command.train(*SMALL, f"name={quoted}", f"output_root={tmp_path}/runs")
    assert "name must be" in message and "Received: name=" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a/b", "lr=2e-4", "with space", "照片", "n" * 255, "v1.2"])
def test_other_names_are_fine(name):
    run_folder.check_name(name)


def test_an_output_root_that_is_a_file_or_empty_is_named(one_file):
    message = train_command.train(*SMALL, f"output_root={one_file}")
    assert str(one_file) in message and "Set output_root" in message
    assert "output_root must be a folder" in train_command.train(*SMALL, "output_root=")


# --- Sweeps -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_failure_of_a_sweep_is_said_at_once_and_in_its_log(settings, tmp_path, capfd):
    words = ["-m", *settings, f"output_root={tmp_path}", "trainer.batch_size=-1,2,-3"]
    seen = train_command.train(*words)
    (sweep,) = tmp_path.glob("*/sweep_*")
    output = capfd.readouterr()
    for job, size in ((0, -1), (2, -3)):
        (line,) = (text for text in output.err.splitlines() if text.startswith(f"Job {job} failed"))
        assert f"trainer.batch_size={size}" in line
        last = (sweep / str(job) / "train.log").read_text().splitlines()[-1]
        assert f"'batch_size': {size}" in last and last in output.err
        assert "Traceback" in (sweep / str(job) / "train.log").read_text()
        assert not (sweep / str(job) / ".hydra").exists()
        assert line in seen
    assert "Traceback" not in output.err and f"2 of 3 jobs failed: {sweep}" in seen
    assert (sweep / "1" / "checkpoints").is_dir()
    assert "Failed" not in (sweep / "1" / "train.log").read_text()


def test_an_error_that_is_no_users_is_logged_too(settings, tmp_path, monkeypatch, capfd):
    def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(steps, "spec_after", broken)
    message = train_command.train("-m", *settings, f"output_root={tmp_path}", "seed=1,2")
    assert "2 of 2 jobs failed" in message
    assert capfd.readouterr().err.count("Traceback") == 2
    with pytest.raises(RuntimeError, match="a defect"):
        train_command.train(*settings, f"output_root={tmp_path}")
    logs = list(tmp_path.glob("**/train.log"))
    assert len(logs) == 3
    assert all(log.read_text().splitlines()[-1] == "Error: a defect" for log in logs)


def test_an_interruption_ends_a_sweep(settings, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "spec_after", interrupted)
    assert train_command.train("-m", *settings, f"output_root={tmp_path}", "seed=1,2") == 130
    (sweep,) = tmp_path.glob("*/sweep_*")
    assert (sweep / "0").is_dir() and not (sweep / "1").exists()


@pytest.mark.slow
def test_sweeps_of_one_second_get_their_own_folders(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(starting, "now", lambda: "2026-01-01_00-00-00")
    for _ in range(2):
        train_command.train("-m", *settings, f"output_root={tmp_path}", "trainer.batch_size=-1")
    names = ["sweep_2026-01-01_00-00-00", "sweep_2026-01-01_00-00-00_2"]
    assert sorted(os.listdir(tmp_path / "segment_synthetic")) == names
    assert all((tmp_path / "segment_synthetic" / name / "0").is_dir() for name in names)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["resume=auto"], "A sweep cannot be resumed"),
        (["hydra.sweep.subdir=../x"], "hydra.sweep.subdir=../x"),
        (["hydra.sweep.subdir=/x"], "hydra.sweep.subdir=/x"),
        (["hydra.sweep.dir=/dev/null"], "can be made. Received: /dev/null"),
        (["hydra.sweep.dir=" + "s" * 300], "too long"),
    ],
)
def test_sweeps_that_cannot_be_make_no_folder(words, expected, tmp_path):
    message = train_command.train("-m", *SMALL, "seed=1,2", f"output_root={tmp_path}/o", *words)
    assert expected in message and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_jobs_of_one_folder_do_not_train_into_each_other(settings, tmp_path):
    words = ["-m", *settings, f"hydra.sweep.dir={tmp_path}/s", "hydra.sweep.subdir=x", "seed=1,2"]
    message = train_command.train(*words)
    assert "1 of 2 jobs failed" in message
    config, _ = starting.load_run(run_folder.RunFolder(tmp_path / "s" / "x"))
    assert config.seed == 1
    assert "holds a run" in (tmp_path / "s" / "x" / "train.log").read_text().splitlines()[-1]


# --- Commands that train nothing --------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["--cfg", "all", "--resolve"], ["--cfg", "hydra", "--resolve"], ["--help"], ["--hydra-help"],
     ["--info", "all"], ["-sc", "query=trainer"], ["--version"]],
    ids=lambda words: words[0] + words[-1],
)  # fmt: skip
def test_questions_make_no_folder(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train_command.train(*SMALL, f"output_root={tmp_path}/runs", *words)
    assert not list(tmp_path.iterdir())


def test_a_lock_that_a_process_holds_is_seen_without_being_taken(tmp_path):
    run = run_folder.RunFolder(tmp_path)
    assert not run.in_use() and not list(tmp_path.iterdir())
    with run.locked():
        assert run.in_use()
    assert not run.in_use()
    with open(tmp_path / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
