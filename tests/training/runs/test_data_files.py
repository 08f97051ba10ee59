"""A run that goes on says how its data differ from those it was trained on."""

import gzip
import shutil
from pathlib import Path

import pytest

from data.labels import label_maps
from tests.helpers import pairs
from training.runs import data_files, run_folder


@pytest.fixture
def run(tmp_path):
    pairs.write(tmp_path / "data")
    run = run_folder.RunFolder(tmp_path / "run")
    data_files.keep(run, data_files.of(pairs.make(tmp_path / "data")))
    return run


def said(run, caplog, root, **changes):
    caplog.clear()
    data_files.warn_of_changes(run, data_files.of(pairs.make(root, **changes)))
    return caplog.text


def test_nothing_is_said_of_the_same_files_wherever_they_lie(run, caplog, tmp_path):
    assert said(run, caplog, tmp_path / "data") == ""
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    assert said(run, caplog, tmp_path / "copy") == ""


def test_it_names_what_was_added_is_gone_or_has_another_size(run, caplog, tmp_path):
    root = tmp_path / "data"
    record = pairs.make(root).source.records("train")[0]
    with open(record.photo, "ab") as file:
        file.write(b"more")
    assert f"train: 1 of another size: {record.name}" in said(run, caplog, root)
    for path in map(Path, (record.photo, record.label_map)):
        path.rename(path.with_stem("other"))
    text = said(run, caplog, root)
    assert "train: 1 added: " in text and "other" in text
    assert f"train: 1 gone: {record.name}" in text
    data_files.keep(run, data_files.of(pairs.make(root)))
    assert said(run, caplog, root) == ""


def test_another_encoding_is_said(run, caplog, tmp_path):
    other = label_maps.LabelEncoding(pairs.CLASSES, check="none", ignore_index=3)
    assert "the encoding of label maps" in said(run, caplog, tmp_path / "data", encoding=other)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", gzip.compress(b"[]"), gzip.compress(b'{"items": 5}'), gzip.compress(b"[" * 9999),
     gzip.compress(b'{"items": {"train": [5]}}'), gzip.compress(b"{}")[:-3]],
)  # fmt: skip
def test_a_damaged_list_is_said(content, run, caplog, tmp_path):
    run.data_files.write_bytes(content)
    assert "data_files.json.gz is damaged" in said(run, caplog, tmp_path / "data")


def test_a_run_without_a_list_is_as_it_was(run, caplog, tmp_path):
    run.data_files.unlink()
    assert said(run, caplog, tmp_path / "data") == ""
