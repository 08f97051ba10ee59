"""Sampling noise alone: files, sheets, interpolation, a comparison of two runs, refusals."""

import shutil

import numpy as np
import pytest
from PIL import Image

from scripts.sampling import sampling
from tests.helpers import saved_run, tiny
from training.watch import contact_sheet

SIZE = tiny.SIZE


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose data set is gone."""
    folder = tmp_path_factory.mktemp("noise")
    data_root = tiny.write_data(folder / "data")
    made = saved_run.saved(
        folder / "run", "experiment=unconditional_synthetic", *tiny.CLASS_OVERRIDES,
        *tiny.data_overrides(data_root),
    )  # fmt: skip
    shutil.rmtree(data_root)
    return made


def sampled(run, out, **settings):
    """Runs the command's own code; returns {file name: pixels}."""
    overrides = [f"run={run}", f"out={out}", *(f"{k}={v}" for k, v in settings.items())]
    text = sampling.sample(saved_run.compose("sample", *overrides))
    files = {str(path.relative_to(out)): path for path in out.rglob("*.png")}
    count = sum(name.startswith("seed_") or name[0].isdigit() for name in files)
    count -= sum("_layout" in name for name in files)
    assert text == f"{count} images of step 2 in {out}, sheet {out}/sheet.png"
    return {name: np.asarray(Image.open(path)) for name, path in files.items()}


def tile(sheet, row, column, margin=0):
    left, top = contact_sheet.tile_corner(row, column, SIZE, SIZE, margin)
    return sheet[top : top + SIZE, left : left + SIZE]


def test_a_picture_of_each_seed(run, tmp_path):
    images = sampled(run, tmp_path, count=11, seed=4, layouts="true", batch_size=3)
    names = [f"seed_{seed}{end}.png" for seed in range(4, 15) for end in ("", "_layout")]
    assert set(images) == {*names, "sheet.png", "layouts.png"}
    margin = contact_sheet.ROW_TITLE_WIDTH
    for name, end in (("sheet.png", ""), ("layouts.png", "_layout")):
        for number in range(11):
            shown = tile(images[name], number // 8, number % 8, margin)
            np.testing.assert_array_equal(shown, images[f"seed_{4 + number}{end}.png"])
        assert (tile(images[name], 1, 3, margin) == 255).all()
    assert not np.array_equal(images["seed_4.png"], images["seed_5.png"])


def test_sixteen_are_the_default_and_truncation_changes_them(run, tmp_path):
    plain = sampled(run, tmp_path / "plain")
    assert len(plain) == 17
    truncated = sampled(run, tmp_path / "truncated", truncation=0.3, seeds="[2,5]")
    assert set(truncated) == {"seed_2.png", "seed_5.png", "sheet.png"}
    assert not np.array_equal(truncated["seed_2.png"], plain["seed_2.png"])


def test_the_ends_of_an_interpolation_are_the_images_themselves(run, tmp_path):
    ends = sampled(run, tmp_path / "ends", seeds="[3,7]")
    between = sampled(run, tmp_path / "between", interpolate="seeds", seeds="[3,7]", steps=4)
    assert set(between) == {"00.png", "01.png", "02.png", "03.png", "sheet.png"}
    for number, seed in (("00", 3), ("03", 7)):
        np.testing.assert_allclose(
            between[f"{number}.png"].astype(int), ends[f"seed_{seed}.png"], atol=1
        )
    np.testing.assert_array_equal(tile(between["sheet.png"], 0, 2), between["02.png"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": "[cat]"}, "sampled by 'noise', with the settings count, seed.*classes="),
        ({"per_class": 3}, "sampled by 'noise'.*Received: per_class=3"),
        ({"interpolate": "classes"}, "interpolate=seeds or null"),
        ({"count": 0}, "count must be an integer >= 1.*count=0"),
    ],
)
def test_what_cannot_be_is_said(run, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        sampled(run, tmp_path, **settings)
    assert not any(tmp_path.iterdir())
