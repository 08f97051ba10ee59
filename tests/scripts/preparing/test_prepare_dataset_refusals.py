"""What scripts/prepare_dataset.py refuses, and the settings its messages name."""

import os

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from data.images import photos
from data.labels import conversion, label_maps
from scripts import prepare_dataset
from scripts.preparing import commands
from tests.helpers import label_sets, tiny


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
        ("{a: [0, 0, 256]}", "0..255. Received: palette="),
    ],
)
def test_palette_files(tmp_path, text, message):
    path = tmp_path / "palette.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        conversion.load_palette(path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no palette file"):
        conversion.load_palette(tmp_path / "none.yaml")
    for command, key in (("convert", "source"), ("check", "root")):
        with pytest.raises(FileNotFoundError, match="folder of the data set does not exist"):
            getattr(commands, command)(
                label_sets.settings(command, **{key: tmp_path / "none", "out": tmp_path / "out"})
            )
        with pytest.raises(ValueError, match=f"`{command}` needs {key}=FOLDER"):
            getattr(commands, command)(label_sets.settings(command))


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
