"""Photographs in any folders: names, splits, and what is wrong with the folder."""

import numpy as np
import pytest
from PIL import Image

from data.sources import photo_folder, splits


def write(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 5, 3), number, np.uint8)).save(path)
    return root


def test_any_layout_with_a_tenth_by_hash(tmp_path):
    write(tmp_path, *(f"{i}.jpg" for i in range(100)), *(f"a/b{i % 3}/{i}.PNG" for i in range(100)))
    write(tmp_path, "x.bmp", "x.webp", ".cache/hidden.jpg")
    (tmp_path / "notes.txt").write_text("no photograph")
    source = photo_folder.PhotoFolder(tmp_path)
    assert set(source.splits) == {"train", "validation"} and source.image_class_names == ()
    names = {split: [r.name for r in source.records(split)] for split in source.splits}
    every = names["train"] + names["validation"]
    assert len(every) == len(set(every)) == 202
    assert {"x.bmp", "x.webp", "7", "a/b1/7"} <= set(every)
    assert 8 <= len(names["validation"]) <= 34
    rule = splits.HashedSplits()
    assert all(rule.split_of(name) == split for split, found in names.items() for name in found)
    record = source.records("train")[0]
    assert record.label is None and record.label_map is None and source.contents("train") is None


def test_other_splits_and_a_folder_below(tmp_path):
    write(tmp_path, "p/train/1.png", "p/train/2.png", "p/validation/1.png", "other/3.png")
    source = photo_folder.PhotoFolder(tmp_path, photos="p", splits=splits.FolderSplits())
    assert [record.name for record in source.records("train")] == ["train/1", "train/2"]
    assert source.count("validation") == 1
    with pytest.raises(KeyError, match="no split 'test'.*take a share of the photographs"):
        source.records("test")
    (tmp_path / "p/t.txt").write_text("validation/1.png\n")
    listed = photo_folder.PhotoFolder(
        tmp_path, photos="p", splits=splits.ListSplits({"train": "t.txt"})
    )
    assert [record.name for record in listed.records("train")] == ["validation/1"]


def test_what_is_wrong_with_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: data.root -> .*nowhere"):
        photo_folder.PhotoFolder(tmp_path / "nowhere").count("train")
    with pytest.raises(FileNotFoundError, match="Received: data.source.photos -> .*nowhere"):
        photo_folder.PhotoFolder(tmp_path, photos="nowhere").count("train")
    with pytest.raises(ValueError, match=r"no photographs below .*Received: suffixes=\['.jpg'"):
        photo_folder.PhotoFolder(tmp_path).count("train")
    write(tmp_path, "validation/1.png")
    with pytest.raises(ValueError, match="split 'train' is empty"):
        photo_folder.PhotoFolder(tmp_path, splits=splits.FolderSplits()).count("validation")
