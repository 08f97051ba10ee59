"""Photographs in any folders: names, splits, and what is wrong with the folder."""

import os

import numpy as np
import pytest
from PIL import Image

from data.holes import mask_folder
from data.images import photos
from data.sources import folder_source, photo_folder, splits


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


def test_links_are_followed_but_not_around(tmp_path):
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for place in (folder / "a", elsewhere):
        place.mkdir(parents=True)
        (place / "1.png").write_bytes(b"")
    for name in ("a/up", "a/again", "around"):
        (folder / name).symlink_to(folder)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "file.png").symlink_to(elsewhere / "1.png")
    found = [stem for stem, _ in folder_source.walk(folder, [".png"])]
    assert found == ["file", "a/1", "linked/1"]


@pytest.mark.parametrize("kind", ["pipe", "broken link", "device"])
def test_what_is_no_regular_file_is_refused_and_not_opened(tmp_path, kind):
    path = tmp_path / "a" / "1.png"
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    with pytest.raises(ValueError, match="a/1.png: a broken link, or a pipe or device"):
        photo_folder.PhotoFolder(tmp_path).records("train")
    with pytest.raises(FileNotFoundError, match="no photograph at this path.*a/1.png"):
        photos.PhotoReader().inspect_file(path)
    with pytest.raises(FileNotFoundError, match="no mask at this path.*a/1.png"):
        mask_folder.read_mask(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "1.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="1.png: a photograph of 1,099,511,627,776 bytes"):
        photos.PhotoReader().inspect_file(path)
