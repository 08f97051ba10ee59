"""The configs of holes and photographs: what composes, what it builds, and the preview of it."""

import inspect
import logging

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from PIL import Image

from data import batch
from data.holes import mask_folder
from scripts.preparing import preview as training_preview
from tests.helpers import tiny
from training.runs import run_config
from training.watch import contact_sheet

GROUP = sorted(path.stem for path in (run_config.CONFIGS / "holes").glob("*.yaml"))


def composed(name, *overrides):
    with initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        config = compose(name, overrides=list(overrides))
    run_config.check_targets(config)
    run_config.check_keys(config, name)
    return config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    return tiny.write_data(folder / "facades")


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    Image.fromarray(np.uint8(255 * np.eye(32))).save(folder / "a.png")
    return folder


def embedded(root):
    return ["data=synthetic_photos", "data.image_size=[32,32]", *tiny.data_overrides(root)]


def test_the_group_has_the_names_people_look_for():
    assert {"rectangle", "center", "strokes", "freeform", "mask_folder"} == set(GROUP)


@pytest.mark.parametrize("name", GROUP)
def test_every_choice_fits_training_configs(name, root, masks):
    more = [f"data.holes.folder={masks}"] if name == "mask_folder" else []
    config = composed("train", *embedded(root), f"holes={name}", *more)
    pipe = instantiate(config.data, _convert_="all")
    (found,) = pipe.training_dataset(global_batch_size=2).take(1)
    assert set(found) == {"image", "hole", "masked_image"}
    batch.check_batch(found)
    assert 0 < found["hole"].numpy().mean() < 1


@pytest.mark.parametrize("name", GROUP)
def test_configs_say_the_defaults_of_the_classes(name):
    def visit(node):
        if "_target_" in node:
            parameters = inspect.signature(get_object(node["_target_"])).parameters
            for key, value in node.items():
                default = parameters[key].default if key in parameters else inspect._empty
                assert key == "_target_" or default in (inspect._empty, value)
            assert set(parameters) == set(node) - {"_target_"}
        for value in node.values():
            if isinstance(value, dict):
                visit(value)

    visit(OmegaConf.to_container(OmegaConf.load(run_config.CONFIGS / f"holes/{name}.yaml")))


def test_without_holes_photographs_are_plain(root):
    config = composed("train", "data=photos", f"data.root={root}/photos", "data.image_size=[32,32]")
    assert "holes" not in config.data
    pipe = instantiate(config.data, _convert_="all")
    assert pipe.check().files == 30 and pipe.image_class_names == () and pipe.holes is None
    (found,) = pipe.training_dataset(global_batch_size=2).take(1)
    assert {key: value.shape for key, value in found.items()} == {"image": (2, 32, 32, 3)}
    embedded_photos = instantiate(composed("train", *embedded(root)).data, _convert_="all")
    assert set(embedded_photos.element_spec) == {"image"}
    assert embedded_photos.num_examples("validation") == 6


def test_a_typo_in_a_hole_setting_is_answered_with_the_right_key():
    text = tiny.command("train.py", "holes=rectangle", "data.holes.sze=1", "--cfg", "job").stderr
    assert "unknown key 'data.holes.sze'. Did you mean 'data.holes.size'?" in text


def test_a_resumed_run_finds_its_masks_elsewhere_and_keeps_its_holes(root, masks):
    given = [*embedded(root), "holes=mask_folder", f"data.holes.folder={masks}"]
    saved, choices = composed("train", *given), {"holes": "mask_folder"}
    moved = run_config.resumed(saved, choices, ["data.holes.folder=/moved"])
    assert moved.data.holes.folder == "/moved" and moved.data.holes._target_
    with pytest.raises(ValueError, match=r"holes=center \(the run has holes=mask_folder\)"):
        run_config.resumed(saved, choices, ["holes=center"])
    with pytest.raises(ValueError, match="the run has data.holes.invert=False"):
        run_config.resumed(saved, choices, ["data.holes.invert=true"])
    plain = composed("train", *embedded(root))
    with pytest.raises(ValueError, match="the run has data.holes.folder=None"):
        run_config.resumed(plain, {"holes": None}, ["data.holes.folder=/moved"])


def test_an_experiment_chooses_holes_and_the_command_line_others(tmp_path):
    """Experiments override the group; another choice on the command line leaves nothing behind."""
    text = "# @package _global_\ndefaults:\n  - override /data: synthetic_photos\n"
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/holed.yaml").write_text(text + "  - override /holes: rectangle\n")
    given = [f"hydra.searchpath=[file://{tmp_path}]", "experiment=holed"]
    assert composed("train", *given, "data.holes.size=0.4").data.holes.size == 0.4
    other = composed("train", *given, "holes=freeform").data.holes
    assert set(other) == {"_target_", "makers"}
    assert "holes" not in composed("train", *given, "~holes").data


def preview(root, tmp_path, *overrides):
    out = tmp_path / "sheet.png"
    training_preview.preview(composed("preview", *overrides, f"out={out}"))
    return np.asarray(Image.open(out))


def tile(sheet, row, column, size=32, margin=0):
    left, top = contact_sheet.tile_corner(row, column, size, size, margin)
    return sheet[top : top + size, left : left + size]


def test_the_preview_shows_training_batches_with_holes(root, tmp_path, capsys):
    sheet = preview(root, tmp_path, *embedded(root), "holes=rectangle", "count=3")
    pipe = instantiate(composed("preview", *embedded(root), "holes=rectangle").data,
                       _convert_="all")  # fmt: skip
    (expected,) = pipe.training_dataset(global_batch_size=3).take(1)
    assert sheet.shape == (contact_sheet.tile_corner(3, 3, 32, 32)[1] - 2, 3 * 34 - 2, 3)
    for row in range(3):
        photograph, masked, hole = (tile(sheet, row, column) for column in range(3))
        image = np.round((expected["image"][row].numpy() + 1) * 127.5)
        np.testing.assert_array_equal(photograph, image)
        missing = expected["hole"][row, ..., 0].numpy() == 1
        np.testing.assert_array_equal(hole, np.where(missing[..., None], 255, 0) + 0 * hole)
        assert (masked[missing] == 128).all()
        np.testing.assert_array_equal(masked[~missing], photograph[~missing])
    printed = capsys.readouterr().out
    assert "3 of 24 training items" in printed
    assert "Mean hole area: 19." in printed and "White = missing" in printed


def test_the_preview_shows_label_maps_and_classes(root, tmp_path, capsys):
    overrides = ["data=synthetic_facades", "data.image_size=[32,32]", *tiny.data_overrides(root)]
    sheet = preview(root, tmp_path, *overrides, "count=99", "first_batch=1", "seed=4")
    pipe = instantiate(composed("preview", *overrides, "seed=4").data, _convert_="all")
    (expected,) = pipe.training_dataset(1, global_batch_size=24).take(1)
    margin = contact_sheet.ROW_TITLE_WIDTH
    coloured = pipe.encoding.colors_of(expected["label_map"].numpy())
    for row in (0, 23):
        np.testing.assert_array_equal(tile(sheet, row, 1, margin=margin), coloured[row])
    assert (sheet[:, : margin - 4] < 128).any()  # names of the classes
    assert "hole" not in capsys.readouterr().out


def test_the_area_is_that_of_the_holes_of_training(root):
    pipe = instantiate(composed("preview", *embedded(root), "holes=freeform").data,
                       _convert_="all")  # fmt: skip
    (first,) = pipe.training_dataset(global_batch_size=24).take(1)
    areas = training_preview.hole_areas(pipe, 24)
    np.testing.assert_allclose(sorted(areas), sorted(first["hole"].numpy().mean((1, 2, 3))), 1e-6)
    assert training_preview.describe_areas(np.array([0.1, 0.3])).startswith(
        "Mean hole area: 20.0 % of the image, 10.0 to 30.0 % (2 holes)."
    )


def test_a_white_mask_folder_warns_in_the_preview(root, tmp_path, masks, caplog):
    Image.fromarray(np.uint8(255 - 255 * np.eye(32))).save(masks / "a.png")
    overrides = [
        *embedded(root),
        "holes=mask_folder",
        f"data.holes.folder={masks}",
        "count=1",
    ]
    with caplog.at_level(logging.WARNING, mask_folder.__name__):
        preview(root, tmp_path, *overrides)
    assert "data.holes.invert=true" in caplog.text


def test_settings_of_the_preview_that_cannot_be(root, tmp_path):
    for override in ("count=0", "count=many", "first_batch=-1"):
        with pytest.raises(ValueError, match=f"integer >= .*Received: {override.split('=')[0]}="):
            preview(root, tmp_path, override)
    with pytest.raises(ValueError, match="The sheet is a PNG file. Received: out=sheet.jpg"):
        training_preview.preview(composed("preview", "out=sheet.jpg"))


@pytest.mark.slow
def test_the_command(root, tmp_path):
    done = tiny.command("scripts/prepare_dataset.py", "preview", *embedded(root), "holes=center",
                        f"out={tmp_path}/deep/sheet.png", "count=2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Mean hole area: 25.0 % of the image, 25.0 to 25.0 %" in done.stdout
    assert (tmp_path / "deep/sheet.png").is_file()
    wrong = tiny.command("scripts/prepare_dataset.py", "preview", "holes=rectangel")
    assert wrong.returncode and "rectangle" in wrong.stderr and "Traceback" not in wrong.stderr
