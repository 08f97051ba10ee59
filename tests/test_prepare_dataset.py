"""The converter and the check of scripts/prepare_dataset.py."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hydra
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from data import conversion, label_maps, photos, splits
from scripts import prepare_dataset

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

PROJECT = Path(prepare_dataset.__file__).resolve().parent.parent
RNG = np.random.default_rng(11)
IDS = RNG.integers(0, 4, (6, 24, 32)).astype(np.uint8)
COLOURS = [(9, 8, 7), (250, 0, 0), (0, 250, 0), (0, 0, 250)]


def settings(command, **overrides):
    """The config of the command as Hydra would hand it over."""
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / "configs/prepare_dataset.yaml"))
    config.pop("hydra")
    return {**config, "command": command, **{k: overrides[k] for k in overrides}}


def palette_image(ids):
    image = Image.fromarray(ids)
    image.putpalette(np.array(COLOURS, np.uint8).tobytes())
    return image


def rgb_image(ids):
    return Image.fromarray(np.array(COLOURS, np.uint8)[ids])


def write_source(root, make_label=palette_image, suffix=".png", folders=("",)):
    for index, ids in enumerate(IDS):
        folder = folders[index % len(folders)]
        for kind in ("photos", "labels"):
            (root / kind / folder).mkdir(parents=True, exist_ok=True)
        photo = RNG.integers(0, 256, (*ids.shape, 3)).astype(np.uint8)
        Image.fromarray(photo).save(root / "photos" / folder / f"{index}.jpg")
        make_label(ids).save(root / "labels" / folder / f"{index}{suffix}")
    return root


def converted_ids(out):
    return {p.stem: np.asarray(Image.open(p)) for p in Path(out, "labels").rglob("*.bmp")}


@pytest.mark.parametrize(
    ("make_label", "suffix", "overrides"),
    [
        (palette_image, ".png", {}),
        (Image.fromarray, ".png", {}),
        (lambda ids: palette_image(ids), ".bmp", {}),
        (lambda ids: Image.fromarray(ids * 50 + 5), ".png",
         {"id_map": {5: 0, 55: 1, 105: 2, 155: 3}}),
    ],
)  # fmt: skip
def test_ids_arrive_exactly(tmp_path, make_label, suffix, overrides):
    source = write_source(tmp_path / "in", make_label, suffix, ("train", "val"))
    out = tmp_path / "out"
    prepare_dataset.convert(settings("convert", source=source, out=out, **overrides))
    ids = converted_ids(out)
    assert len(ids) == 6
    for stem, found in ids.items():
        np.testing.assert_array_equal(found, IDS[int(stem)])
    assert sorted(os.listdir(out / "labels")) == ["train", "validation"]
    assert (out / "labels/train/0.bmp").read_bytes()[28] == 8  # bits per pixel
    original = (source / "photos/train/0.jpg").read_bytes()
    assert (out / "photos/train/0.jpg").read_bytes() == original


@pytest.mark.parametrize("form", ["names", "list", "hex"])
def test_colours_become_ids_by_a_palette_file(tmp_path, form):
    source = write_source(tmp_path / "in", rgb_image, ".png", ("train", "validation"))
    hexadecimal = {f"c{i}": "#{:02x}{:02x}{:02x}".format(*c) for i, c in enumerate(COLOURS)}
    content = {
        "names": {"sky": COLOURS[0], "a": COLOURS[1], "b": COLOURS[2], "Ignore": COLOURS[3]},
        "list": COLOURS,
        "hex": hexadecimal,
    }[form]
    (tmp_path / "palette.json").write_text(json.dumps(content))
    out = tmp_path / "out"
    config = settings("convert", source=source, out=out, palette=tmp_path / "palette.json")
    prepare_dataset.convert(config)
    for stem, found in converted_ids(out).items():
        expected = IDS[int(stem)].copy()
        expected[expected == 3] = 255 if form == "names" else 3
        np.testing.assert_array_equal(found, expected)
    labels = OmegaConf.load(out / prepare_dataset.CONFIG_FILE).labels
    assert labels.num_classes == (3 if form == "names" else 4)
    assert labels.get("ignore_index") == (255 if form == "names" else None)
    assert [tuple(c) for c in labels.class_colors] == COLOURS[: labels.num_classes]
    if form == "names":
        assert list(labels.class_names) == ["sky", "a", "b"]


def test_resizing_never_mixes_ids_and_smooths_photographs(tmp_path):
    source = write_source(tmp_path / "in", folders=("train", "validation"))
    out = tmp_path / "out"
    prepare_dataset.convert(settings("convert", source=source, out=out, size=[12, 16]))
    for stem, found in converted_ids(out).items():
        # Half the size: every pixel is one of the 2x2 pixels it covers.
        blocks = IDS[int(stem)].reshape(12, 2, 16, 2).transpose(0, 2, 1, 3).reshape(12, 16, 4)
        assert found.shape == (12, 16) and np.all((blocks == found[..., None]).any(-1))
    small = photos.read_photo(out / "photos/train/0.jpg").astype(float)
    large = photos.read_photo(source / "photos/train/0.jpg").astype(float)
    assert small.shape == (12, 16, 3) and small.std() < 0.85 * large.std()


def test_partners_stay_in_one_split(tmp_path):
    rule = conversion.choose_splits(write_source(tmp_path) / "photos", 0.4, r"(\d+)$", 3, 1)
    assert isinstance(rule, splits.HashedSplits)
    assigned = rule.assign([str(i) for i in range(6)], tmp_path)
    sides = {int(s) % 3: split for split, stems in assigned.items() for s in stems}
    assert all(
        sides[int(s) % 3] == split for split, stems in assigned.items() for s in stems
    ) and set(assigned) == {"train", "validation"}
    out = tmp_path / "out"
    config = settings("convert", source=tmp_path, out=out, validation_share=0.4,
                      group_pattern=r"(\d+)$", group_modulo=3, split_seed=1)  # fmt: skip
    prepare_dataset.convert(config)
    found = {p.stem: p.parent.name for p in (out / "labels").rglob("*.bmp")}
    assert found == {s: split for split, stems in assigned.items() for s in stems}


def composed(text, folder):
    """The pipeline that train.py builds once a user has saved the printed lines."""
    configs = folder / "configs"
    shutil.copytree(CONFIGS, configs)
    (configs / "data" / "mine.yaml").write_text(text)
    with hydra.initialize_config_dir(str(configs), version_base="1.3"):
        config = hydra.compose("train", ["data=mine", "~experiment", "name=x"])
    return instantiate(config.data, _convert_="all")


def test_the_printed_config_trains(tmp_path, capsys):
    source = write_source(tmp_path / "in", folders=("train", "validation"))
    out = tmp_path / "out"
    prepare_dataset.convert(settings("convert", source=source, out=out, class_names=list("abcd")))
    printed = capsys.readouterr().out
    assert (out / prepare_dataset.CONFIG_FILE).read_text() in printed and "3 train" in printed
    pipeline = composed((out / prepare_dataset.CONFIG_FILE).read_text(), tmp_path)
    assert list(pipeline.image_size) == [24, 32]
    assert pipeline.check().files == 6 and pipeline.class_names == ("a", "b", "c", "d")
    batch = next(iter(pipeline.evaluation_dataset("validation", 3)))
    assert batch["mask"].shape == (3, 24, 32, 4)
    sheet = Image.open(out / prepare_dataset.PREVIEW_FILE)
    side = prepare_dataset.PREVIEW_SIDE
    assert sheet.width >= 3 * side and sheet.height >= 6 * side
    colours = np.asarray(sheet)[16 : 16 + side, side + 2 : 2 * side + 2].reshape(-1, 3)
    assert {tuple(c) for c in np.unique(colours, axis=0).tolist()} == set(COLOURS)


def test_check_counts_classes(tmp_path, capsys):
    root = write_source(tmp_path / "in", folders=("train", "validation"))
    prepare_dataset.check(settings("check", root=root))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 pairs: 3 train, 3 validation"
    counts = np.bincount(IDS.ravel())
    for index in range(4):
        assert lines[2 + index].split()[:4] == [
            str(index), "class", str(index), f"{counts[index]:,}"
        ]  # fmt: skip
    text = "\n".join(lines[lines.index("defaults:") :])
    assert OmegaConf.create(text).labels.num_classes == 4


def test_check_of_a_converted_folder_knows_its_classes(tmp_path, capsys):
    source = write_source(tmp_path / "in")
    out = tmp_path / "out"
    names = [*"abcd", "absent"]
    prepare_dataset.convert(settings("convert", source=source, out=out, class_names=names,
                                     validation_share=0.3, preview_count=0))  # fmt: skip
    capsys.readouterr()
    prepare_dataset.check(settings("check", root=out))
    printed = capsys.readouterr().out
    assert "absent" in printed and not (out / prepare_dataset.PREVIEW_FILE).exists()


def test_check_remembers_how_it_was_told_to_split(tmp_path, capsys):
    root = write_source(tmp_path / "in")
    (root / "photos").rename(root / "pictures")
    config = settings("check", root=root, photos="pictures", validation_share=0.4, group_modulo=3,
                      group_pattern=r"(\d+)$", split_seed=1)  # fmt: skip
    prepare_dataset.check(config)
    printed = capsys.readouterr().out
    source = composed(printed[printed.index("defaults:") :], tmp_path).source
    assert source.photos == "pictures" and source.splits_by.group_modulo == 3
    assert f"{source.count('train')} train" in printed


# --- What is refused --------------------------------------------------------------------------


def test_nothing_is_overwritten(tmp_path):
    source = write_source(tmp_path / "in", folders=("train", "validation"))
    out = tmp_path / "out"
    config = settings("convert", source=source, out=out, preview_count=0)
    prepare_dataset.convert(config)
    with pytest.raises(ValueError, match="converted data set already.*overwrite=true"):
        prepare_dataset.convert(config)
    (out / "labels/train/0.bmp").unlink()
    prepare_dataset.convert({**config, "overwrite": True})
    assert (out / "labels/train/0.bmp").exists() and sorted(os.listdir(tmp_path)) == ["in", "out"]
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.txt").touch()
    with pytest.raises(ValueError, match="not written.*Received: out=.*remove it yourself"):
        prepare_dataset.convert({**config, "out": foreign, "overwrite": True})
    for place in (source, tmp_path):
        with pytest.raises(ValueError, match="cannot replace its own source"):
            prepare_dataset.convert({**config, "out": place, "overwrite": True})
    assert (foreign / "thesis.txt").exists() and (source / "photos").is_dir()


def test_a_failed_conversion_leaves_nothing(tmp_path):
    source = write_source(tmp_path / "in", rgb_image, folders=("train", "validation"))
    with pytest.raises(ValueError, match="holds colours"):
        prepare_dataset.convert(settings("convert", source=source, out=tmp_path / "out"))
    assert os.listdir(tmp_path) == ["in"]


def test_values_without_a_class(tmp_path):
    source = write_source(tmp_path / "in", folders=("train", "validation"))
    config = settings("convert", source=source, out=tmp_path / "out", num_classes=3)
    with pytest.raises(ValueError, match=r"mean no class.*Received: \[3\]. Add them to id_map"):
        prepare_dataset.convert(config)


@pytest.mark.parametrize(
    ("shape", "message"), [((24, 40), "do not show the same"), ((48, 64), "size=.height,width.")]
)
def test_pairs_of_unequal_size(tmp_path, shape, message):
    source = write_source(tmp_path / "in", folders=("train", "validation"))
    Image.new("RGB", shape[::-1]).save(source / "photos/train/2.jpg")
    config = settings("convert", source=source, out=tmp_path / "out", preview_count=0)
    with pytest.raises(ValueError, match=message):
        prepare_dataset.convert(config)
    if shape == (48, 64):
        prepare_dataset.convert({**config, "size": [12, 16]})
        assert photos.inspect_photo(tmp_path / "out/photos/train/2.jpg") == (12, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just words", "Expected a palette file"),
        ("[[1, 2]]", "Expected a palette file"),
        ("[[1, 2, 300]]", "Expected a palette file"),
        ("{a: [1, 2, 3], b: [1, 2, 3]}", "each with a colour of its own"),
        ("{ignore: [1, 2, 3]}", "at least one class"),
    ],
)
def test_palette_files(tmp_path, text, message):
    path = tmp_path / "palette.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        conversion.load_palette(path)


def test_palette_colours_are_in_range():
    with pytest.raises(ValueError, match="Expected 0..255. Received: colour="):
        conversion._hex([0, 0, 256])


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no palette file"):
        conversion.load_palette(tmp_path / "none.yaml")
    for command, key in (("convert", "source"), ("check", "root")):
        with pytest.raises(FileNotFoundError, match="folder of the data set does not exist"):
            getattr(prepare_dataset, command)(
                settings(command, **{key: tmp_path / "none", "out": tmp_path / "out"})
            )
        with pytest.raises(ValueError, match=f"`{command}` needs {key}=FOLDER"):
            getattr(prepare_dataset, command)(settings(command))


def test_the_first_word_is_the_command():
    assert prepare_dataset.with_command(["check", "root=x"]) == ["command=check", "root=x"]
    for passed_on in (["--help"], ["root=x", "command=check"]):
        assert prepare_dataset.with_command(passed_on) == passed_on
    for wrong in ([], ["chek", "root=x"], ["root=x"]):
        with pytest.raises(ValueError, match="Expected a command, convert, check or preview"):
            prepare_dataset.with_command(wrong)


def test_messages_name_the_settings_of_this_command(tmp_path):
    message = "Change data.source.splits.fractions, data.source.splits.seed, data.labels.id_map"
    expected = "Change validation_share, split_seed, id_map"
    assert prepare_dataset.with_settings_of_this_command(message) == expected


def run_script(*arguments):
    command = [sys.executable, str(PROJECT / "scripts" / "prepare_dataset.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_line_errors_are_one_message():
    wrong_word = run_script("chek", "root=x")
    assert wrong_word.returncode != 0 and "Received: 'chek'" in wrong_word.stderr
    assert "Traceback" not in wrong_word.stderr
    wrong_value = run_script("command=chek")
    assert "Expected command=convert or check" in wrong_value.stderr
    assert "Traceback" not in wrong_value.stderr


def test_command_line_names_the_settings_of_this_command(tmp_path):
    maps = [np.where(ids > 1, 255, 0).astype(np.uint8) for ids in IDS]
    root = write_source(tmp_path, folders=("train", "validation"))
    for index, values in enumerate(maps):
        folder = ("train", "validation")[index % 2]
        Image.fromarray(values).save(root / "labels" / folder / f"{index}.png")
    done = run_script("check", f"root={root}", "num_classes=2")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "Set 'id_map={0:0,255:1}'" in done.stderr
    repaired = run_script("check", f"root={root}", "num_classes=2", "id_map={0:0,255:1}")
    assert repaired.returncode == 0 and "num_classes: 2" in repaired.stdout
    assert label_maps.LabelEncoding(2, id_map={0: 0, 255: 1}).read(
        root / "labels/train/0.png"
    ).max() == 1  # fmt: skip
