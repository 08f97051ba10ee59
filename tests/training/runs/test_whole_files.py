"""Files of runs are whole or not there."""

import pytest

from training.runs import whole_files


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "names.json"
    with whole_files.written(path) as partial:
        partial.write_text("[]")
        assert not path.exists() and partial.parent == path.parent
    assert path.read_text() == "[]" and list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "names.json"
    path.write_text("old")
    with pytest.raises(KeyError), whole_files.written(path) as partial:
        partial.write_text("ne")
        raise KeyError("w")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
