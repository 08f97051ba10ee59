"""Run folders: unique, recognised, used by one process at a time."""

import os

import pytest

from training.runs import run_folder


def make_run(path, checkpoint=True):
    (path / ".hydra").mkdir(parents=True)
    (path / ".hydra" / "config.yaml").write_text("{}")
    if checkpoint:
        (path / "checkpoints" / "step_00000001").mkdir(parents=True)
        (path / "checkpoints" / "step_00000001" / "manifest.json").write_text("{}")
    return path


def test_runs_of_the_same_second_get_their_own_folders(tmp_path):
    paths = {run_folder.new_run_folder(tmp_path, "2026-01-01_00-00-00") for _ in range(3)}
    assert len(paths) == 3 and all(path.is_dir() for path in paths)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="can be made.*file.*Set output_root"):
        run_folder.new_run_folder(tmp_path / "file", "now")


@pytest.mark.parametrize("place", ["n" * 300, "/".join(["n" * 200] * 30)])
def test_a_place_with_too_long_a_name_is_named(place, tmp_path):
    run_folder.refuse_used(tmp_path / place, "hydra.run.dir")
    with pytest.raises(FileNotFoundError, match="can be made.*too long.*Set output_root"):
        run_folder.make(tmp_path / place)
    with pytest.raises(FileNotFoundError, match="folder of a training run.*no folder"):
        run_folder.RunFolder(tmp_path / place, must_exist=True)


def test_a_part_that_goes_while_it_is_looked_at_is_passed_over(tmp_path, monkeypatch):
    make_run(tmp_path)
    listed = [*os.walk(tmp_path), (str(tmp_path / "checkpoints"), ["step_00000002"], ["gone"])]
    monkeypatch.setattr(run_folder.os, "walk", lambda path: listed)
    run_folder.RunFolder(tmp_path, must_exist=True)


def test_no_free_name_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "MAX_SAME_SECOND", 2)
    run_folder.new_run_folder(tmp_path, "now")
    with pytest.raises(FileExistsError, match="a free name"):
        run_folder.new_run_folder(tmp_path, "now")


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder of a training run.*no folder"):
        run_folder.RunFolder(tmp_path / "nothing", must_exist=True)
    with pytest.raises(FileNotFoundError, match="without .hydra/config.yaml"):
        run_folder.RunFolder(tmp_path, must_exist=True)


def test_the_newest_run_with_a_checkpoint_is_found(tmp_path):
    assert run_folder.newest_run(tmp_path) is None
    make_run(tmp_path / "2026-01-01_00-00-00")
    expected = make_run(tmp_path / "2026-01-02_00-00-00")
    make_run(tmp_path / "2026-01-03_00-00-00", checkpoint=False)
    assert run_folder.newest_run(tmp_path) == expected
    for number in (9, 10):
        expected = make_run(tmp_path / f"2026-01-02_00-00-00_{number}")
    assert run_folder.newest_run(tmp_path) == expected


def test_a_run_in_use_counts_without_a_checkpoint_where_asked_for(tmp_path):
    expected = make_run(tmp_path / "2026-01-01_00-00-00")
    starting = tmp_path / "2026-01-03_00-00-00"
    starting.mkdir()
    with run_folder.RunFolder(starting).locked():
        assert run_folder.newest_run(tmp_path) == expected
        assert run_folder.newest_run(tmp_path, or_in_use=True) == starting
    assert run_folder.newest_run(tmp_path, or_in_use=True) == expected


def test_a_second_process_is_kept_out(tmp_path):
    run = run_folder.RunFolder(tmp_path)
    with run.locked():
        with pytest.raises(ValueError, match=f"in use by process {os.getpid()}"):
            with run.locked():
                pass
    with run.locked():
        pass
