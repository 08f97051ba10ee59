"""What scripts/prepare_dataset.py refuses, and the settings its messages name."""

import os

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from data.images import photos
from data.labels import label_maps, palette_files
from scripts import prepare_dataset
from scripts.preparing import commands, preview
from tests.helpers import image_files, label_sets, saved_run, tiny


def test_nothing_is_overwritten(tmp_path):
    source = label_sets.write_source(tmp_path / "in", folders=("train", "validation"))
    out = tmp_path / "out"
    config = label_sets.settings("convert", source=source, out=out, preview_count=0)
    commands.convert(config)
    with pytest.raises(ValueError, match="converted data set already.*overwrite=true"):
        commands.convert(config)
    (out / "labels/train/0.bmp").unlink()
    commands.convert({**config, "overwrite": True})
    assert (out / "labels/train/0.bmp").exists() and sorted(os.listdir(tmp_path)) == ["in", "out"]
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.txt").touch()
    with pytest.raises(ValueError, match="not written.*Received: out=.*remove it yourself"):
        commands.convert({**config, "out": foreign, "overwrite": True})
    for place in (source, tmp_path):
        with pytest.raises(ValueError, match="cannot replace its own source"):
            commands.convert({**config, "out": place, "overwrite": True})
    assert (foreign / "thesis.txt").exists() and (source / "photos").is_dir()


def test_a_failed_conversion_leaves_nothing(tmp_path):
    source = label_sets.write_source(
        tmp_path / "in", label_sets.rgb_image, folders=("train", "validation")
    )
    with pytest.raises(ValueError, match="holds colours"):
        commands.convert(label_sets.settings("convert", source=source, out=tmp_path / "out"))
    assert os.listdir(tmp_path) == ["in"]


def test_values_without_a_class(tmp_path):
    source = label_sets.write_source(tmp_path / "in", folders=("train", "validation"))
    config = label_sets.settings("convert", source=source, out=tmp_path / "out", num_classes=3)
    with pytest.raises(ValueError, match=r"mean no class.*Received: \[3\]. Set .*id_map"):
        commands.convert(config)


@pytest.mark.parametrize(
    ("shape", "message"), [((24, 40), "do not show the same"), ((48, 64), "size=.height,width.")]
)
def test_pairs_of_unequal_size(tmp_path, shape, message):
    source = label_sets.write_source(tmp_path / "in", folders=("train", "validation"))
    Image.new("RGB", shape[::-1]).save(source / "photos/train/2.jpg")
    config = label_sets.settings("convert", source=source, out=tmp_path / "out", preview_count=0)
    with pytest.raises(ValueError, match=message):
        commands.convert(config)
    if shape == (48, 64):
        commands.convert({**config, "size": [12, 16]})
        resized = photos.PhotoReader().inspect_file(tmp_path / "out/photos/train/2.jpg")
        assert resized.size == (12, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just words", "Expected a palette file"),
        ("[[1, 2]]", "Expected a palette file"),
        ("[[1, 2, 300]]", "Expected a palette file"),
        ("{a: [1, 2, 3], b: [1, 2, 3]}", "each with a colour of its own"),
        ("{ignore: [1, 2, 3]}", "at least one class"),
        ("{a: [0, 0, 256]}", "0..255"),
        ("a: [1, 2, 3]\nb: [4, 5,\nc: x", "palette.yaml: .*line 3"),
    ],
)
def test_palette_files(tmp_path, text, message):
    path = tmp_path / "palette.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        palette_files.load_palette(path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no palette file"):
        palette_files.load_palette(tmp_path / "none.yaml")
    for command, key in (("convert", "source"), ("check", "root")):
        with pytest.raises(FileNotFoundError, match="folder of the data set does not exist"):
            getattr(commands, command)(
                label_sets.settings(command, **{key: tmp_path / "none", "out": tmp_path / "out"})
            )
        with pytest.raises(ValueError, match=f"`{command}` needs {key}=FOLDER"):
            getattr(commands, command)(label_sets.settings(command))


@pytest.mark.parametrize("what", ["photographs", "palette"])
def test_nothing_that_is_read_lies_in_the_folder_to_be_replaced(tmp_path, what):
    source = label_sets.write_source(tmp_path / "in", label_sets.rgb_image)
    out = tmp_path / "out"
    palette = tmp_path / "palette.json"
    palette.write_text(str([list(colour) for colour in label_sets.COLOURS]))
    config = label_sets.settings("convert", source=source, out=out, palette=str(palette))
    commands.convert(config)
    moved = out / "palette.json"
    if what == "palette":
        palette.rename(moved)
        config["palette"] = str(moved)
    else:
        moved = out / "originals"
        (source / "photos").rename(moved)
        (source / "photos").symlink_to(moved)
    with pytest.raises(ValueError, match="a folder to replace that holds nothing that is read"):
        commands.convert({**config, "overwrite": True})
    assert moved.exists()


def test_a_preview_replaces_no_photograph(tmp_path):
    source = label_sets.write_source(tmp_path / "in", folders=("train", "validation"))
    photo = source / "photos/train/mine.png"
    Image.new("RGB", (8, 8)).save(photo)
    config = saved_run.compose("preview", "data=photos", f"data.root={source}", f"out={photo}")
    with pytest.raises(ValueError, match="mine.png, which is there already. Choose another out"):
        preview.preview(config)


def test_the_first_word_is_the_command():
    assert prepare_dataset.with_command(["check", "root=x"]) == ["command=check", "root=x"]
    for passed_on in (["--help"], ["root=x", "command=check"]):
        assert prepare_dataset.with_command(passed_on) == passed_on
    for wrong in ([], ["chek", "root=x"], ["root=x"]):
        with pytest.raises(ValueError, match="Expected a command, convert, check or preview"):
            prepare_dataset.with_command(wrong)


def test_messages_name_the_settings_of_this_command(tmp_path):
    message = "Change data.source.splits.fractions, data.source.splits.seed, data.encoding.id_map"
    expected = "Change validation_share, split_seed, id_map"
    assert commands.with_settings_of_this_command(message) == expected


def run(command, **overrides):
    prepare_dataset.main(OmegaConf.create(label_sets.settings(command, **overrides)))


def test_the_command_is_known():
    with pytest.raises(ValueError, match="Expected command=convert or check .*'chek'"):
        run("chek")


def black_and_white(root):
    """Pairs whose maps hold 0 and 255."""
    label_sets.write_source(root, folders=("train", "validation"))
    for index, ids in enumerate(label_sets.IDS):
        values = np.where(ids > 1, 255, 0).astype(np.uint8)
        folder = ("train", "validation")[index % 2]
        Image.fromarray(values).save(root / "labels" / folder / f"{index}.png")
    return root


def test_errors_name_the_settings_of_this_command(tmp_path, capsys):
    root = str(black_and_white(tmp_path))
    with pytest.raises(ValueError, match="Set 'id_map={0:0,255:1}'"):
        run("check", root=root, num_classes=2)
    run("check", root=root, num_classes=2, id_map={0: 0, 255: 1})
    assert "num_classes: 2" in capsys.readouterr().out
    encoding = label_maps.LabelEncoding(2, id_map={0: 0, 255: 1})
    assert encoding.read(tmp_path / "labels/train/0.png").max() == 1


ADVISED = {
    "black and white": (np.uint8([0, 255]), "id_map={0:0,255:1}"),
    "stretched": (np.uint8([0, 110, 220]), "id_map={0:0,110:1,220:2}"),
    "stretched to 255": (np.uint8([0, 85, 170, 255]), "id_map={0:0,85:1,170:2,255:3}"),
    "void": (np.uint8([0, 1, 255]), "ignore_index=255"),
    "rare classes": (np.uint8([0, 1, 9]), "num_classes=10"),
    "colours": (np.uint8([[0, 0, 0], [9, 80, 7]]), "palette=[[0,0,0],[9,80,7]]"),
}


@pytest.mark.parametrize("command", ["check", "convert"])
@pytest.mark.parametrize("kind", ADVISED)
def test_the_advice_of_an_error_is_a_setting_and_leads_on(tmp_path, capsys, kind, command):
    values, advice = ADVISED[kind]
    for index in range(2):
        ids = np.arange(48).reshape(6, 8) % len(values)
        folder = ("train", "validation")[index]
        image_files.write_pair(tmp_path / "in", f"{folder}/{index}", ids, label_suffix=".png")
        Image.fromarray(values[ids]).save(tmp_path / f"in/labels/{folder}/{index}.png")
    place = {"root": str(tmp_path / "in")}
    if command == "convert":
        place = {"source": place["root"], "out": str(tmp_path / "out")}
    key, value = advice.split("=", 1)
    with pytest.raises(ValueError, match=f"(?s)Received: .*{key}=") as error:
        run(command, **place)
    assert advice in str(error.value) or kind == "colours"
    assert not (tmp_path / "out").exists()
    run(command, **place, **{key: OmegaConf.create(f"x: {value.replace(':', ': ')}").x})
    count = {"void": 2, "rare classes": 10}.get(kind, len(values))
    assert f"num_classes: {count}" in capsys.readouterr().out


@pytest.mark.slow
def test_command_line_errors_are_one_message(tmp_path):
    wrong_word = tiny.command("scripts/prepare_dataset.py", "chek", "root=x")
    assert wrong_word.returncode != 0 and "Received: 'chek'" in wrong_word.stderr
    assert "Traceback" not in wrong_word.stderr
    wrong_value = tiny.command("scripts/prepare_dataset.py", "command=chek")
    assert "Expected command=convert or check" in wrong_value.stderr
    assert "Traceback" not in wrong_value.stderr
    check = ["check", f"root={black_and_white(tmp_path)}", "num_classes=2"]
    refused = tiny.command("scripts/prepare_dataset.py", *check)
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert "Set 'id_map={0:0,255:1}'" in refused.stderr
    repaired = tiny.command("scripts/prepare_dataset.py", *check, "id_map={0:0,255:1}")
    assert repaired.returncode == 0 and "num_classes: 2" in repaired.stdout
