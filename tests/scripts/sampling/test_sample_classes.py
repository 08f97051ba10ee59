"""Sampling by class: grids, truncation, interpolation, layouts, and no need of the data set."""

import shutil

import hydra
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from scripts.sampling import sampling
from tests.helpers import tiny
from training.kinds import class_conditional
from training.tasks import steps
from training.watch import contact_sheet

SIZE = tiny.SIZE


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two steps with random classes' parameters, whose data set is gone."""
    folder = tmp_path_factory.mktemp("classes")
    data_root = tiny.write_data(folder / "data")
    done = tiny.command(
        "train.py", "experiment=class_synthetic", *tiny.CLASS_OVERRIDES,
        *tiny.data_overrides(data_root), f"output_root={folder / 'out'}", "debug=few_steps",
        "trainer.steps=2", "trainer.batch_size=4", "summaries.rows=5", "task.averaging.decay=0.0",
        "task.averaging.calibration_batches=2", "task.optimizers.generator.learning_rate=0.1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shutil.rmtree(data_root)
    (made,) = (folder / "out").glob("*/*")
    return made


def sampled(run, out, **settings):
    """Runs the command's own code; returns {file name: pixels}."""
    overrides = [f"run={run}", f"out={out}", *(f"{k}={v}" for k, v in settings.items())]
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        config = hydra.compose("sample", overrides)
    text = sampling.sample(config)
    files = {str(path.relative_to(out)): path for path in out.rglob("*.png")}
    count = sum("_layout" not in name for name in files) - sum("/" not in name for name in files)
    assert text.startswith(f"{count} images of step 2")
    return {name: np.asarray(Image.open(path)) for name, path in files.items()}


def test_a_row_for_each_class_and_a_column_for_each_seed(run, tmp_path):
    images = sampled(run, tmp_path, classes="[timber,0]", per_class=3, seed=4, layouts="true")
    sheet, layouts = images.pop("sheet.png"), images.pop("layouts.png")
    seeds = (4, 5, 6)
    assert set(images) == {
        f"{name}/seed_{seed}{end}.png"
        for name in ("timber", "brick") for seed in seeds for end in ("", "_layout")
    }  # fmt: skip
    for row, name in enumerate(("timber", "brick")):
        for column, seed in enumerate(seeds):
            corner = contact_sheet.tile_corner(
                row, column, SIZE, SIZE, contact_sheet.ROW_TITLE_WIDTH
            )
            for picture, end in ((sheet, ""), (layouts, "_layout")):
                tile = picture[corner[1] : corner[1] + SIZE, corner[0] : corner[0] + SIZE]
                np.testing.assert_array_equal(tile, images[f"{name}/seed_{seed}{end}.png"])
    assert not np.array_equal(images["timber/seed_4.png"], images["timber/seed_5.png"])
    assert not np.array_equal(images["timber/seed_4.png"], images["brick/seed_4.png"])
    # An image does not depend on those beside it, and the sheet of the training shows the same.
    alone = sampled(run, tmp_path / "alone", classes="timber", seeds="[5]", batch_size=1)
    np.testing.assert_allclose(
        alone["timber/seed_5.png"].astype(int), images["timber/seed_5.png"], atol=1
    )
    training = np.asarray(Image.open(run / "samples" / "step_00000002.png"))
    left, top = contact_sheet.tile_corner(0, 2, SIZE, SIZE, contact_sheet.ROW_TITLE_WIDTH)
    of_training = training[top : top + SIZE, left : left + SIZE].astype(int)  # "averaged"
    again = sampled(run, tmp_path / "zero", classes="brick", per_class=1)
    np.testing.assert_allclose(again["brick/seed_0.png"], of_training, atol=1)


def test_all_classes_are_the_default(run, tmp_path):
    images = sampled(run, tmp_path, per_class=1)
    assert {name.partition("/")[0] for name in images} == {
        "brick", "haussmann", "modern", "stucco", "timber", "sheet.png",
    }  # fmt: skip


@pytest.mark.parametrize("truncation", ["null", 0.5])
def test_the_ends_of_an_interpolation_are_the_images_themselves(run, tmp_path, truncation):
    plain = sampled(run, tmp_path / "plain", seeds="[3,7]", classes="[1,2]", truncation=truncation)
    seeds = sampled(run, tmp_path / "seeds", interpolate="seeds", seeds="[3,7]", classes="[1,2]",
                    steps=4, truncation=truncation)  # fmt: skip
    mixed = sampled(run, tmp_path / "mixed", interpolate="classes", seeds="[3,7]",
                    classes="[1,2]", steps=3, truncation=truncation)  # fmt: skip
    assert len(seeds) == 2 * 4 + 1 and len(mixed) == 2 * 3 + 1
    for name in ("haussmann", "modern"):
        for end, seed in (("00", 3), ("03", 7)):
            same = plain[f"{name}/seed_{seed}.png"].astype(int)
            np.testing.assert_allclose(seeds[f"{name}/{end}.png"], same, atol=1)
    for seed in (3, 7):
        for end, name in (("00", "haussmann"), ("02", "modern")):
            same = plain[f"{name}/seed_{seed}.png"].astype(int)
            np.testing.assert_allclose(mixed[f"seed_{seed}/{end}.png"], same, atol=1)
        middle = mixed[f"seed_{seed}/01.png"]
        assert not np.array_equal(middle, mixed[f"seed_{seed}/00.png"])
        assert not np.array_equal(middle, mixed[f"seed_{seed}/02.png"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": "[bric]"}, "unknown \\['bric'\\]. Did you mean 'brick'\\? Known: brick"),
        ({"interpolate": "classes"}, "two classes to go.*Received: 5 classes.*brick,timber"),
        ({"interpolate": "classes", "classes": "[1,1]"}, "Received: 1 classes"),
        ({"interpolate": "seeds", "seeds": "[1,2,3]"}, "two seeds.*seeds=\\[1, 2, 3\\]"),
        ({"interpolate": "noise"}, "interpolate=seeds, interpolate=classes.*interpolate=noise"),
        ({"per_class": 0}, "at least one image.*per_class=0, steps=8"),
        ({"steps": 1}, "two steps.*steps=1"),
        ({"truncation": 0.001}, "threshold of at least 0.02.*truncation=0.001"),
        ({"labels": "maps"}, "sampled by 'label'.*Received: labels=maps"),
        ({"style": "grid"}, "sampled by 'label'.*Received: style=grid"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(run, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        sampled(run, tmp_path, **settings)


def test_a_data_set_that_has_moved_is_compared_with_the_run(run, tmp_path):
    root = tiny.write_data(tmp_path / "moved")
    sampled(run, tmp_path / "out", data_root=root, classes="0", per_class=1)
    names = run / "image_class_names.json"
    text = names.read_text()
    try:
        names.write_text(text.replace("brick", "straw"))
        with pytest.raises(ValueError, match="order: straw, .*data with 5: brick"):
            sampled(run, tmp_path / "no", data_root=root)
        names.write_text("[]")
        with pytest.raises(ValueError, match="data with classes"):
            sampled(run, tmp_path / "no")
    finally:
        names.write_text(text)


def test_truncated_noise_keeps_what_lies_within():
    seeds = tf.range(40)
    plain = steps.noise_from_seeds(seeds, 50).numpy()
    truncated = steps.truncated_noise(seeds, 50, 0.7).numpy()
    within = np.abs(plain) <= 0.7
    np.testing.assert_array_equal(truncated[within], plain[within])
    assert 0.4 < within.mean() < 0.6 and np.abs(truncated).max() <= 0.7
    # The standard deviation of a normal variable cut at c: 1 - 2 c phi(c) / (Phi(c) - Phi(-c)).
    variance = 1 - 2 * 0.7 * 0.3122539 / 0.5160727
    np.testing.assert_allclose(truncated.std(), variance**0.5, rtol=0.03)
    assert len(np.unique(truncated)) == truncated.size
    alone = steps.truncated_noise(tf.constant([17]), 50, 0.7).numpy()
    np.testing.assert_array_equal(alone[0], truncated[17])


def test_names_of_folders_are_safe_and_distinct():
    names = ["brick", "a b", "a/b", "../x", "ä", ".", "a:b"]
    folders = [class_conditional.folder_name(name) for name in names]
    assert folders == ["brick", "a_b", "a%2fb", "%2e.%2fx", "ä", "%2e", "a%3ab"]
