"""Nothing in the folder of a run leads out of it, for any command; the folder itself may be a link.

And a run that cannot be written to.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from scripts.comparing import comparison
from scripts.evaluating import evaluation
from scripts.sampling import sampling
from tests.helpers import saved_run, tiny, train_command
from training.runs import run_folder

PARTS = [
    ".lock", "train.log", "metrics.jsonl", "samples", "checkpoints", "tensorboard", "evaluation",
    ".hydra", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/effective.yaml",
    "image_class_names.json", "checkpoints/step_00000002", "checkpoints/best",
    "checkpoints/step_00000002/manifest.json", "samples/step_00000003.png",
    ".metrics.jsonl.partial", "tensorboard/evaluation_x", "evaluation/x.json",
]  # fmt: skip
QUICK = (".lock", "samples", ".hydra/config.yaml", "checkpoints/step_00000002/manifest.json")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


@pytest.fixture(scope="module")
def generator_run(data_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "run"
    return saved_run.saved(folder, *tiny.OVERRIDES, *tiny.data_overrides(data_root))


@pytest.fixture
def run(generator_run, tmp_path):
    return shutil.copytree(generator_run, tmp_path / "run")


def replaced(path, make):
    """Puts something else in the place of a part of a run."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    make(path)


@pytest.mark.parametrize("kept", [True, False], ids=["what_is_there", "nothing"])
@pytest.mark.parametrize(
    "part", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in PARTS]
)
def test_a_part_that_leads_out_of_the_run_is_refused(part, kept, run, tmp_path):
    place, target = run / part, tmp_path / "mine"
    if kept and place.exists():
        shutil.copytree(place, target) if place.is_dir() else shutil.copy(place, target)
    elif kept:
        target.write_text("precious")
    replaced(place, lambda path: path.symlink_to(target))
    before = train_command.content(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match="run"):
        run_folder.RunFolder(run, must_exist=True)
    message = train_command.train(f"resume={run}", "trainer.steps=3")
    assert f"{place}, a link to {target}" in message or "without .hydra/config.yaml" in message
    assert train_command.content(tmp_path) == before and target.exists() == kept


def commands(run):
    yield lambda: sampling.sample(saved_run.compose("sample", f"run={run}", "count=1"))
    yield lambda: evaluation.evaluate(saved_run.compose("evaluate", f"run={run}", "metrics=[kid]"))
    yield lambda: comparison.opened([str(run), str(run)])


def test_every_command_refuses_it(run, tmp_path):
    (run / "samples").symlink_to(tmp_path)
    before = train_command.content(tmp_path)
    for command in commands(run):
        with pytest.raises(ValueError, match=f"samples, a link to {tmp_path}"):
            command()
    assert train_command.content(tmp_path) == before


@pytest.mark.parametrize("part", [".lock", "train.log", "metrics.jsonl", "image_class_names.json"])
def test_a_pipe_does_not_make_a_command_wait(part, run):
    replaced(run / part, os.mkfifo)
    message = train_command.train(f"resume={run}")
    assert f"{run / part}, neither a file nor a folder" in message


@pytest.mark.parametrize("part", ["train.log", ".lock"])
def test_a_folder_with_nothing_but_a_link_is_refused_for_a_new_run(part, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / part).symlink_to(tmp_path / "mine")
    message = train_command.train(*train_command.SMALL, f"hydra.run.dir={tmp_path / 'run'}")
    assert f"a link to {tmp_path / 'mine'}" in message and not (tmp_path / "mine").exists()


def test_links_within_a_run_and_to_a_run_are_fine(run, tmp_path):
    (run / "checkpoints" / "newest").symlink_to("step_00000002")
    (tmp_path / "link").symlink_to(run)
    run_folder.RunFolder(tmp_path / "link", must_exist=True)


def test_a_lock_that_is_another_file_keeps_its_text(tmp_path):
    """A hard link to a file of the user is no link to see."""
    for text in ("precious", "9" * 30, ""):
        (tmp_path / "mine").write_text(text)
        (tmp_path / ".lock").unlink(missing_ok=True)
        os.link(tmp_path / "mine", tmp_path / ".lock")
        expected = (
            pytest.raises(ValueError, match="lock file") if text else contextlib.nullcontext()
        )
        with expected, run_folder.RunFolder(tmp_path).locked():
            pass
        assert (tmp_path / "mine").read_text() == text


def test_a_lock_that_cannot_be_one_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(ValueError, match=f"Received: {tmp_path}, .lock: Is a directory"):
        run_folder.RunFolder(tmp_path).locked().__enter__()


def test_of_many_at_the_same_instant_one_holds_the_lock(tmp_path):
    barrier, done, held = threading.Barrier(8), threading.Barrier(8), []

    def command():
        barrier.wait()
        with contextlib.suppress(ValueError), contextlib.ExitStack() as stack:
            try:
                stack.enter_context(run_folder.RunFolder(tmp_path).locked())
                held.append(threading.get_ident())
            finally:
                done.wait()

    for _ in range(5):
        held.clear()
        threads = [threading.Thread(target=command) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1


# --- Read-only and in use ---------------------------------------------------------------------


@pytest.fixture
def read_only(generator_run, data_root):
    """A run that this process cannot write to, even where it is that of root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(generator_run, folder / "run")
        shutil.copytree(data_root, folder / "facades")
        (folder / "run" / "samples").mkdir()
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        for path in [folder, *folder.rglob("*")]:
            if path.name != "out":
                path.chmod(0o555 if path.is_dir() else 0o444)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder / "run"
        finally:
            os.seteuid(user)
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o777)


def test_a_read_only_run_is_used_and_not_resumed(read_only):
    before = train_command.content(read_only)
    message = train_command.train(f"resume={read_only}")
    assert f"{read_only}, which is read-only" in message
    settings = [f"run={read_only}", "count=1", f"data_root={read_only.parent}/facades"]
    with pytest.raises(ValueError, match=f"{read_only}, which is read-only.*out=DIR"):
        sampling.sample(saved_run.compose("sample", *settings))
    out = read_only.parent / "out" / "made"
    sampling.sample(saved_run.compose("sample", *settings, f"out={out}"))
    assert list(out.rglob("*.png")) and train_command.content(read_only) == before


def test_a_run_in_use_is_sampled(run):
    with run_folder.RunFolder(run).locked():
        sampling.sample(saved_run.compose("sample", f"run={run}", "count=1"))
    assert list((run / "samples").rglob("*.png"))
