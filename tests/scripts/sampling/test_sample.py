"""Sampling from a run: the pixels of the training-time sheet, styles, and wrong input."""

import shutil

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from scripts.sampling import sampling
from tests.helpers import tiny
from training.watch import contact_sheet


def train(folder, *overrides):
    """A run of two steps; returns its folder."""
    data_root = tiny.write_data(folder / "data")
    done = tiny.command(
        "train.py", *overrides, *tiny.data_overrides(data_root), f"output_root={folder / 'out'}",
        "debug=few_steps", "trainer.steps=2", "trainer.batch_size=2", "summaries.rows=4",
        "task.averaging.calibration_batches=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "out").glob("*/*")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("plain"), *tiny.OVERRIDES)


@pytest.fixture(scope="module")
def style_run(tmp_path_factory):
    overrides = [text for text in tiny.OVERRIDES if not text.startswith("generator")]
    style = [
        "experiment=spade_synthetic_style",
        *(f"generator.generator.{setting}" for setting in tiny.GENERATOR),
    ]
    return train(tmp_path_factory.mktemp("style"), *style, *overrides)


def sampled(run, out, **settings):
    """Runs the command's own code; returns {file name: pixels}."""
    overrides = [f"run={run}", f"out={out}", *(f"{k}={v}" for k, v in settings.items())]
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        config = hydra.compose("sample", overrides)
    sampling.sample(config)
    files = [path for path in out.rglob("*.png")]
    return {str(path.relative_to(out)): np.asarray(Image.open(path)) for path in files}


def data_root(run):
    return run.parent.parent.parent / "data"


def test_the_pixels_are_those_of_the_training_time_sheet(run, tmp_path):
    images = sampled(run, tmp_path, count=4)
    sheet = np.asarray(Image.open(run / "samples" / "step_00000002.png"))
    raw = sampled(run, tmp_path / "raw", count=4, averaged="false")
    names = [name for name in sorted(raw) if name != "sheet.png"]
    assert len(names) == 4
    for row, name in enumerate(names):  # both are spread over the split in its order
        for column, made in ((2, raw), (3, images)):  # "generated", "averaged"
            left, top = contact_sheet.tile_corner(row, column, tiny.SIZE, tiny.SIZE)
            tile = sheet[top : top + tiny.SIZE, left : left + tiny.SIZE]
            np.testing.assert_array_equal(made[name], tile)
        assert not np.array_equal(raw[name], images[name])


def test_label_maps_of_a_folder_or_a_file_give_the_same_pixels(run, tmp_path):
    labels = data_root(run) / "labels" / "validation"
    by_split = sampled(run, tmp_path / "split", count="null")
    by_folder = sampled(run, tmp_path / "folder", labels=labels, count="null")
    by_folder.pop("sheet.png"), by_split.pop("sheet.png")
    assert len(by_folder) == 6
    for name, image in by_folder.items():
        np.testing.assert_array_equal(image, by_split[f"validation/{name}"])
    file = sorted(labels.rglob("*.bmp"))[0]
    alone = sampled(run, tmp_path / "file", labels=file)
    np.testing.assert_array_equal(alone[f"{file.stem}.png"], by_folder[
        str(file.relative_to(labels).with_suffix(".png"))])  # fmt: skip


def test_an_earlier_checkpoint_can_be_asked_for(run, tmp_path):
    from training.runs import checkpoint

    with pytest.raises(checkpoint.CheckpointError, match=r"one of the steps \[2\].*step=7"):
        sampled(run, tmp_path, step=7)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"labels": "nothing"}, "labels=FILE or FOLDER of label maps.*nothing, not there"),
        ({"seeds": "[0,1]"}, "takes no noise.*seeds=\\[0, 1\\].*spade_style"),
        ({"seeds": 3}, "seeds must be a list of integers.*seeds=3"),
        ({"averaged": 1}, "averaged must be true or false.*averaged=1"),
        ({"count": 0}, "count must be an integer >= 1.*count=0"),
        ({"style": "grid"}, "style encoder.*style=grid for SpadeGenerator"),
        ({"classes": "[brick]"}, "sampled by 'mask'.*Received: classes=\\['brick'\\]"),
        ({"layouts": "true"}, "has attentive normalisation. Received: layouts=true for Spade"),
    ],
)
def test_what_the_run_cannot_do_is_said(run, tmp_path, settings, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        sampled(run, tmp_path, **settings)


def test_a_map_of_another_size_is_refused_or_resized(run, tmp_path):
    path = tmp_path / "wide.png"
    Image.fromarray(np.ones([20, 40], np.uint8)).save(path)
    with pytest.raises(ValueError, match="32x32.*wide.png of 20x40. Add resize=true"):
        sampled(run, tmp_path / "out", labels=path)
    images = sampled(run, tmp_path / "out", labels=path, resize=True)
    assert images["wide.png"].shape == (tiny.SIZE, tiny.SIZE, 3)


def test_foreign_ids_are_named(run, tmp_path):
    path = tmp_path / "foreign.png"
    Image.fromarray(np.full([32, 32], 12, np.uint8)).save(path)
    with pytest.raises(ValueError, match="foreign.png.*Received: \\[12\\]"):
        sampled(run, tmp_path / "out", labels=path)


def test_two_maps_of_one_name_are_refused(run, tmp_path):
    for suffix in ("png", "bmp"):
        Image.fromarray(np.zeros([32, 32], np.uint8)).save(tmp_path / f"same.{suffix}")
    with pytest.raises(ValueError, match="of different names.*\\['same'\\]"):
        sampled(run, tmp_path / "out", labels=tmp_path)


def test_no_map_is_lost_and_no_result(run, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in ("a", "a_layout", "sheet"):
        Image.fromarray(np.zeros([32, 32], np.uint8)).save(maps / f"{name}.png")
    before = {path: path.read_bytes() for path in maps.iterdir()}
    with pytest.raises(ValueError, match="a.png, which would replace .*a.png. Choose another out"):
        sampled(run, maps, labels=maps)
    with pytest.raises(ValueError, match="two for .*sheet.png"):
        sampled(run, tmp_path / "out", labels=maps)
    (maps / "sheet.png").unlink()
    with pytest.raises(ValueError, match="two for .*a_layout.png"):
        sampled(run, tmp_path / "out", labels=maps, layouts="true")
    with pytest.raises(ValueError, match="a.png, which is there already. Choose another out"):
        sampled(run, maps, labels=shutil.copytree(maps, tmp_path / "copies"))
    assert not (tmp_path / "out").exists()
    assert all(path.read_bytes() == before[path] for path in maps.iterdir())
    made = sampled(run, tmp_path / "out", labels=maps)
    assert sampled(run, tmp_path / "out", labels=maps).keys() == made.keys()  # its own are replaced


def test_folders_that_are_no_run_are_refused(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="folder of a training run"):
        sampled(tmp_path / "none", tmp_path)
    empty = tmp_path / "run" / ".hydra"
    empty.mkdir(parents=True)
    for name in ("config.yaml", "hydra.yaml"):
        (empty / name).write_text((run / ".hydra" / name).read_text())
    with pytest.raises(ValueError, match="Expected a checkpoint in"):
        sampled(tmp_path / "run", tmp_path)


def test_loss_terms_and_their_weights_files_are_not_needed(run, tmp_path):
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    config = OmegaConf.load(moved / ".hydra" / "config.yaml")
    term = OmegaConf.load(tiny.ROOT / "configs" / "perceptual" / "vgg19.yaml")
    config.task.objective.generator_terms.perceptual = term
    config.perceptual_weights = "gone.h5"
    OmegaConf.save(config, moved / ".hydra" / "config.yaml")
    for name, image in sampled(moved, tmp_path / "out", count=1).items():
        if name != "sheet.png":
            np.testing.assert_array_equal(image, sampled(run, tmp_path / "same", count=1)[name])


def test_styles_and_seeds_change_the_image(style_run, tmp_path):
    by_seed = sampled(style_run, tmp_path / "seeds", seeds="[0,1]", count=1)
    first, second = (v for k, v in sorted(by_seed.items()) if k != "sheet.png")
    assert not np.array_equal(first, second)
    photographs = sorted((data_root(style_run) / "photos" / "validation").rglob("*.jpg"))
    one = sampled(style_run, tmp_path / "one", style=photographs[0], count=1)
    grid = sampled(style_run, tmp_path / "grid", style="grid", grid_styles=2, count=3)
    assert len(one) == 2 and len(grid) == 7
    name = next(name for name in one if name != "sheet.png")
    same_style = f"{name.removesuffix('.png')}_style_{photographs[0].stem}.png"
    np.testing.assert_array_equal(one[name], grid[same_style])
    with pytest.raises(FileNotFoundError, match="style=grid, a photograph or a folder"):
        sampled(style_run, tmp_path / "no", style="nowhere")
