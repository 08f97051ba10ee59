"""Layouts of well-known data sets: lists of a part, endings, three files of one name, odd names."""

import os
import re
import unicodedata

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from data import pipeline
from data.images import photos
from data.labels import label_files, label_maps
from data.sources import folder_source, paired_folders, photo_folder, splits
from scripts.preparing import commands
from scripts.sampling import files
from tests.helpers import class_data, tiny
from tests.helpers.image_files import touch
from tests.helpers.label_sets import settings as command_settings


def names(source):
    return {split: [record.name for record in source.records(split)] for split in source.splits}


def settings_in(message, prefix="data.source."):
    """The settings that the end of an error proposes, as arguments of the source."""
    found = re.findall(rf"{re.escape(prefix)}(\w+)=(\S+)", message.partition("Set for example")[2])
    return {k: [v.strip("[]")] if k.endswith("suffixes") else v for k, v in found}


@pytest.mark.parametrize(
    ("entry", "encoding"),
    [
        ("{0}", "utf-8"), ("{0}", "utf-8-sig"), ("{0}", "utf-16"), ("{0}", "utf-32"),
        ("{0}.jpg  # a comment", "utf-8"), ("{0} -1", "utf-8"),
        ("JPEGImages/{0}.jpg SegmentationClass/{0}.png", "utf-8"),
        ("/JPEGImages/{0}.jpg /SegmentationClass/{0}.png", "utf-8"),
        ("./{0}", "utf-8"),
        ("JPEGImages\\{0}.jpg", "utf-16"), ("{root}/JPEGImages/{0}.jpg", "utf-8"),
    ],
)  # fmt: skip
def test_lists_name_a_part_of_the_photographs(tmp_path, entry, encoding):
    more_words = " " in entry.partition("  #")[0]
    listed = ["a/1"] if more_words else ["b c/3", "a/1", "a/2 (é)"]
    touch(tmp_path, *(f"JPEGImages/{stem}.jpg" for stem in [*listed, "unlabelled", "x/y"]),
          *(f"SegmentationClass/{stem}.png" for stem in [*listed, "other"]))  # fmt: skip
    lines = [entry.format(stem, root=tmp_path) for stem in listed]
    (tmp_path / "train.txt").write_bytes("\r\n".join(lines).encode(encoding))
    source = paired_folders.PairedFolders(
        tmp_path, photos="JPEGImages", labels="SegmentationClass",
        splits=splits.ListSplits({"train": "train.txt"}),
    )  # fmt: skip
    assert names(source) == {"train": listed}


def test_a_listed_photograph_without_a_map_is_an_error(tmp_path):
    touch(tmp_path, "photos/1.jpg", "photos/2.jpg", "labels/1.png")
    (tmp_path / "train.txt").write_text("1\n2\n")
    rule = splits.ListSplits({"train": "train.txt"})
    with pytest.raises(ValueError, match=r"1 photographs without a map \['2'\]"):
        paired_folders.PairedFolders(tmp_path, splits=rule).records("train")


def test_a_list_in_another_encoding_is_named(tmp_path):
    touch(tmp_path, "photos/é.jpg", "labels/é.png")
    (tmp_path / "train.txt").write_bytes("é".encode("latin-1"))
    rule = splits.ListSplits({"train": "train.txt"})
    with pytest.raises(ValueError, match=r"train.txt: the list of split 'train' .*UTF-8"):
        paired_folders.PairedFolders(tmp_path, splits=rule).records("train")


LAYOUTS = {
    "cityscapes": (
        {"photos": "leftImg8bit", "labels": "gtFine"},
        ["leftImg8bit/a/a_{}_19_leftImg8bit.png", "gtFine/a/a_{}_19_gtFine_color.png",
         "gtFine/a/a_{}_19_gtFine_instanceIds.png", "gtFine/a/a_{}_19_gtFine_labelIds.png"],
        "a/a_{}_19",
    ),
    "masks in one folder": (
        {"photos": "x", "labels": "x"}, ["x/IMG_{}.jpg", "x/IMG_{}_mask.png"], "IMG_{}",
    ),
    "one suffix in one folder": (
        {"photos": "x", "labels": "x"}, ["x/{}_sat.PNG", "x/{}_mask.png"], "{}",
    ),
    "camvid": ({}, ["photos/0001TP_{}.png", "labels/0001TP_{}_L.png"], "0001TP_{}"),
    "three of one name": (
        {"photos": "base", "labels": "base"}, ["base/{}.jpg", "base/{}.bmp", "base/{}.png"], "{}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_error_proposes_what_pairs_the_names(tmp_path, layout):
    folders, files, stem = LAYOUTS[layout]
    numbers = [f"{i:04d}" for i in range(24)]
    touch(tmp_path, *(file.format(i) for file in files for i in numbers))
    rule = splits.NoSplits()
    with pytest.raises(ValueError, match="Set for example") as caught:
        paired_folders.PairedFolders(tmp_path, splits=rule, **folders).records("train")
    proposed = settings_in(str(caught.value))
    source = paired_folders.PairedFolders(tmp_path, splits=rule, **folders, **proposed)
    assert names(source) == {"train": [stem.format(i) for i in numbers]}
    assert source.records("train")[0].label_map == str(
        tmp_path / files[1 if layout.startswith("three") else -1].format("0000")
    )
    here = settings_in(commands.with_settings_of_this_command(str(caught.value)), "")
    assert here == proposed and set(here) <= set(command_settings("check"))


def test_names_of_any_normal_form_and_encoding(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "été/ñ") for form in ("NFC", "NFD"))
    bad = os.fsdecode(b"\xff\xfe")
    for stem in (decomposed, bad):
        (tmp_path / "photos" / stem).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / f"photos/{stem}.png")
    for stem in (composed, bad):
        (tmp_path / "labels" / stem).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / f"labels/{stem}.png")
    source = paired_folders.PairedFolders(tmp_path, splits=splits.NoSplits())
    assert names(source) == {"train": sorted([composed, bad])}
    (tmp_path / "t.txt").write_text(decomposed)
    rule = splits.ListSplits({"train": "t.txt"})
    assert names(paired_folders.PairedFolders(tmp_path, splits=rule)) == {"train": [composed]}
    pipe = class_data.make(tmp_path, source=source, image_size=[8, 8],
                           encoding=label_maps.LabelEncoding(1))  # fmt: skip
    assert pipe.check().files == 2
    assert len(list(pipe.training_dataset(global_batch_size=2).take(1))) == 1
    assert sorted(splits.HashedSplits({"v": 0.5}, seed=3).assign([composed, bad], "")) == [
        "train",
        "v",
    ]


def test_folders_are_read_once_and_hidden_files_never(tmp_path):
    touch(tmp_path, "a/1.png", "z/2.png", "z/._2.png", "z/.DS_Store", ".ipynb_checkpoints/3.png",
          "z/.hidden/4.png")  # fmt: skip
    for link, target in (("a/loop", "."), ("a/to_z", "z"), ("z/to_a", "a"), ("b", "a")):
        (tmp_path / link).symlink_to(tmp_path / target)
    assert [stem for stem, _ in folder_source.walk(tmp_path, [".png"])] == ["a/1", "z/2"]
    assert sorted(photo_folder.PhotoFolder(tmp_path)._paths) == ["a/1", "z/2"]


@pytest.mark.parametrize("suffix", folder_source.PHOTO_SUFFIXES)
def test_photographs_of_every_suffix_in_any_case_are_read(tmp_path, suffix):
    format_of = {".jpe": "JPEG", ".jfif": "JPEG"}.get(suffix)
    Image.new("RGB", (16, 8), (200, 200, 200)).save(tmp_path / f"1{suffix.upper()}", format_of)
    (path,) = photo_folder.PhotoFolder(tmp_path)._paths.values()
    np.testing.assert_allclose(photos.PhotoReader().read(path), np.full((8, 16, 3), 200), atol=2)


@pytest.mark.parametrize("suffix", label_files.LABEL_SUFFIXES)
def test_maps_of_every_suffix_are_read(tmp_path, suffix):
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    image.putpalette([5, 5, 5, 0, 0, 0, 9, 9, 9, 7, 7, 7, 8, 8, 8, 1, 1, 1])
    image.save(tmp_path / f"1{suffix}")
    values = label_files.read_values(tmp_path / f"1{suffix}")
    np.testing.assert_array_equal(values, [[0, 1, 2], [3, 4, 5]])


def test_the_folder_of_the_user_in_a_data_config(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "set/photos/1.jpg", "set/labels/1.png")
    source = paired_folders.PairedFolders("~/set", splits=splits.NoSplits())
    assert source.records("train")[0].photo == str(tmp_path / "set/photos/1.jpg")
    assert pipeline.ImagePipeline(source, [8, 8], root="~/set").root == str(tmp_path / "set")


def test_sampling_sees_the_files_that_training_sees(tmp_path):
    touch(tmp_path, "maps/1.png", "maps/._1.png", "maps/.x/2.png", "elsewhere/3.PNG")
    (tmp_path / "maps/more").symlink_to(tmp_path / "elsewhere")
    found = files.by_name(tmp_path / "maps", "labels", label_files.LABEL_SUFFIXES)
    assert list(found) == ["1", "more/3"]


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        (["{}/images/a/{}.jpg", "{}/masks/a/{}_m.png"],
         {"photos": "*/images", "labels": "*/masks", "label_ending": "_m"}),
        (["{}_images/a/{}.jpg", "{}_masks/a/{}.png"],
         {"photos": "*_images", "labels": "*_masks"}),
    ],
)  # fmt: skip
def test_the_split_before_the_kind(tmp_path, capsys, files, settings):
    for split, number in (("train", 0), ("train", 1), ("valid", 2)):
        for file, mode in zip(files, ("RGB", "L"), strict=True):
            path = tmp_path / file.format(split, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (8, 8)).save(path)
    source = paired_folders.PairedFolders(
        tmp_path, splits=splits.FolderSplits(validation="valid"), **settings
    )
    assert names(source) == {"train": ["train/a/0", "train/a/1"], "validation": ["valid/a/2"]}
    commands.check(command_settings("check", root=tmp_path, class_names=["a"], **settings))
    printed = capsys.readouterr().out
    assert "3 pairs: 2 train, 1 validation" in printed and "splits: {validation: valid}" in printed
    if "/" in settings["photos"]:
        with pytest.raises(FileNotFoundError, match=r"data.source.photos='\*/images'"):
            paired_folders.PairedFolders(tmp_path, photos="images").records("train")


def test_the_config_lists_the_suffixes_there_are():
    config = OmegaConf.load(tiny.ROOT / "configs/data/paired_folders.yaml").source
    assert tuple(config.photo_suffixes) == folder_source.PHOTO_SUFFIXES
    assert tuple(config.label_suffixes) == label_files.LABEL_SUFFIXES
