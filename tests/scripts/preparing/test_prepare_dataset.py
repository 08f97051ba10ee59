"""The converter and the check of scripts/prepare_dataset.py."""

import json
import os
import shutil

import hydra
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from data.images import photos
from data.labels import conversion
from data.sources import splits
from scripts.preparing import commands, data_config, preview
from tests.helpers import label_sets, tiny


@pytest.mark.parametrize(
    ("make_label", "suffix", "overrides"),
    [
        (label_sets.palette_image, ".png", {}),
        (Image.fromarray, ".png", {}),
        (label_sets.palette_image, ".bmp", {}),
        (lambda ids: Image.fromarray(ids * 50 + 5), ".png",
         {"id_map": {5: 0, 55: 1, 105: 2, 155: 3}}),
    ],
)  # fmt: skip
def test_ids_arrive_exactly(tmp_path, make_label, suffix, overrides):
    source = label_sets.write_source(tmp_path / "in", make_label, suffix, ("train", "val"))
    out = tmp_path / "out"
    commands.convert(label_sets.settings("convert", source=source, out=out, **overrides))
    ids = label_sets.converted_ids(out)
    assert len(ids) == 6
    for stem, found in ids.items():
        np.testing.assert_array_equal(found, label_sets.IDS[int(stem)])
    assert sorted(os.listdir(out / "labels")) == ["train", "validation"]
    assert (out / "labels/train/0.bmp").read_bytes()[28] == 8  # bits per pixel
    original = (source / "photos/train/0.jpg").read_bytes()
    assert (out / "photos/train/0.jpg").read_bytes() == original


@pytest.mark.parametrize("form", ["names", "list", "hex"])
def test_colours_become_ids_by_a_palette_file(tmp_path, form):
    source = label_sets.write_source(
        tmp_path / "in", label_sets.rgb_image, ".png", ("train", "validation")
    )
    hexadecimal = {
        f"c{i}": "#{:02x}{:02x}{:02x}".format(*c) for i, c in enumerate(label_sets.COLOURS)
    }
    content = {
        "names": {
            "sky": label_sets.COLOURS[0],
            "a": label_sets.COLOURS[1],
            "b": label_sets.COLOURS[2],
            "Ignore": label_sets.COLOURS[3],
        },
        "list": label_sets.COLOURS,
        "hex": hexadecimal,
    }[form]
    (tmp_path / "palette.json").write_text(json.dumps(content))
    out = tmp_path / "out"
    config = label_sets.settings(
        "convert", source=source, out=out, palette=tmp_path / "palette.json"
    )
    commands.convert(config)
    for stem, found in label_sets.converted_ids(out).items():
        expected = label_sets.IDS[int(stem)].copy()
        expected[expected == 3] = 255 if form == "names" else 3
        np.testing.assert_array_equal(found, expected)
    labels = OmegaConf.load(out / data_config.FILE).encoding
    assert labels.num_classes == (3 if form == "names" else 4)
    assert labels.get("ignore_index") == (255 if form == "names" else None)
    assert [tuple(c) for c in labels.class_colors] == label_sets.COLOURS[: labels.num_classes]
    if form == "names":
        assert list(labels.class_names) == ["sky", "a", "b"]


def test_resizing_never_mixes_ids_and_smooths_photographs(tmp_path):
    source = label_sets.write_source(tmp_path / "in", folders=("train", "validation"))
    out = tmp_path / "out"
    commands.convert(label_sets.settings("convert", source=source, out=out, size=[12, 16]))
    for stem, found in label_sets.converted_ids(out).items():
        # Half the size: every pixel is one of the 2x2 pixels it covers.
        blocks = (
            label_sets.IDS[int(stem)].reshape(12, 2, 16, 2).transpose(0, 2, 1, 3).reshape(12, 16, 4)
        )
        assert found.shape == (12, 16) and np.all((blocks == found[..., None]).any(-1))
    small = photos.PhotoReader().read(out / "photos/train/0.jpg").astype(float)
    large = photos.PhotoReader().read(source / "photos/train/0.jpg").astype(float)
    assert small.shape == (12, 16, 3) and small.std() < 0.85 * large.std()


def test_partners_stay_in_one_split(tmp_path):
    rule = conversion.choose_splits(
        label_sets.write_source(tmp_path), "photos", 0.4, r"(\d+)$", 3, 1
    )
    assert isinstance(rule, splits.HashedSplits)
    assigned = rule.assign([str(i) for i in range(6)], tmp_path)
    sides = {int(s) % 3: split for split, stems in assigned.items() for s in stems}
    assert all(
        sides[int(s) % 3] == split for split, stems in assigned.items() for s in stems
    ) and set(assigned) == {"train", "validation"}
    out = tmp_path / "out"
    config = label_sets.settings(
        "convert",
        source=tmp_path,
        out=out,
        validation_share=0.4,
        group_pattern=r"(\d+)$",
        group_modulo=3,
        split_seed=1,
    )
    commands.convert(config)
    found = {p.stem: p.parent.name for p in (out / "labels").rglob("*.bmp")}
    assert found == {s: split for split, stems in assigned.items() for s in stems}


def composed(text, folder):
    """The pipeline that train.py builds once a user has saved the printed lines."""
    configs = folder / "configs"
    shutil.copytree(tiny.ROOT / "configs", configs)
    (configs / "data" / "mine.yaml").write_text(text)
    with hydra.initialize_config_dir(str(configs), version_base="1.3"):
        config = hydra.compose("train", ["data=mine", "~experiment", "name=x"])
    return instantiate(config.data, _convert_="all")


def test_the_printed_config_trains(tmp_path, capsys):
    source = label_sets.write_source(tmp_path / "in", folders=("train", "validation"))
    out = tmp_path / "out"
    commands.convert(
        label_sets.settings("convert", source=source, out=out, class_names=list("abcd"))
    )
    printed = capsys.readouterr().out
    assert (out / data_config.FILE).read_text() in printed and "3 train" in printed
    pipeline = composed((out / data_config.FILE).read_text(), tmp_path)
    assert list(pipeline.image_size) == [24, 32]
    assert pipeline.check().files == 6 and pipeline.class_names == ("a", "b", "c", "d")
    batch = next(iter(pipeline.evaluation_dataset("validation", 3)))
    assert batch["mask"].shape == (3, 24, 32, 4)
    sheet = Image.open(out / preview.FILE)
    side = preview.PAIR_SIDE
    assert sheet.width >= 3 * side and sheet.height >= 6 * side
    colours = np.asarray(sheet)[16 : 16 + side, side + 2 : 2 * side + 2].reshape(-1, 3)
    assert {tuple(c) for c in np.unique(colours, axis=0).tolist()} == set(label_sets.COLOURS)


def test_check_counts_classes(tmp_path, capsys):
    root = label_sets.write_source(tmp_path / "in", folders=("train", "validation"))
    commands.check(label_sets.settings("check", root=root))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 pairs: 3 train, 3 validation"
    counts = np.bincount(label_sets.IDS.ravel())
    for index in range(4):
        assert lines[2 + index].split()[:4] == [
            str(index), "class", str(index), f"{counts[index]:,}"
        ]  # fmt: skip
    text = "\n".join(lines[lines.index("defaults:") :])
    assert OmegaConf.create(text).encoding.num_classes == 4


def test_check_of_a_converted_folder_knows_its_classes(tmp_path, capsys):
    source = label_sets.write_source(tmp_path / "in")
    out = tmp_path / "out"
    names = [*"abcd", "absent"]
    commands.convert(
        label_sets.settings(
            "convert",
            source=source,
            out=out,
            class_names=names,
            validation_share=0.3,
            preview_count=0,
        )
    )
    capsys.readouterr()
    commands.check(label_sets.settings("check", root=out))
    printed = capsys.readouterr().out
    assert "absent" in printed and not (out / preview.FILE).exists()


def test_check_remembers_how_it_was_told_to_split(tmp_path, capsys):
    root = label_sets.write_source(tmp_path / "in")
    (root / "photos").rename(root / "pictures")
    config = label_sets.settings(
        "check",
        root=root,
        photos="pictures",
        validation_share=0.4,
        group_modulo=3,
        group_pattern=r"(\d+)$",
        split_seed=1,
    )
    commands.check(config)
    printed = capsys.readouterr().out
    source = composed(printed[printed.index("defaults:") :], tmp_path).source
    assert source.photos == "pictures" and source.splits_by.group_modulo == 3
    assert f"{source.count('train')} train" in printed
