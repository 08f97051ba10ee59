"""Sampling by arrays alone, as a page or an export asks: nothing is read and nothing written."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import saved_run, tiny
from training.runs import trained_run
from training.watch import contact_sheet

RNG = np.random.default_rng(5)
SIZE = tiny.SIZE
OVERRIDES = {
    "spade_synthetic": tiny.OVERRIDES,
    "class_synthetic": tiny.CLASS_OVERRIDES,
    "unconditional_synthetic": tiny.CLASS_OVERRIDES,
    "inpaint_synthetic": tiny.INPAINTING_OVERRIDES,
    "segment_synthetic": tiny.SEGMENTER_OVERRIDES,
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A function of an experiment: its run, opened; the data set is gone."""
    folder = tmp_path_factory.mktemp("arrays")
    data = tiny.data_overrides(tiny.write_data(folder / "data"))

    def open_run(experiment):
        settings = [f"experiment={experiment}", *OVERRIDES[experiment], *data]
        run = saved_run.saved(folder / experiment, *settings)
        return trained_run.open_run(run)

    yield open_run


def test_a_label_map(opened):
    run = opened("spade_synthetic")
    maps = RNG.integers(0, 12, (2, SIZE, SIZE), np.uint8)
    made = run.task.kind.sample(run, {"label_map": maps})
    mask = np.eye(12, dtype=np.float32)[maps]
    expected = run.task.generating_network({"mask": mask}, training=False)["image"]
    assert made["image"].dtype == np.uint8
    np.testing.assert_allclose(made["image"].astype(int), contact_sheet.to_uint8(expected), atol=1)


def test_a_class_and_its_layout(opened):
    run = opened("class_synthetic")
    made = run.task.kind.sample(run, {"label": np.array([3, 1])}, [5, 6], layouts=True)
    assert {key: x.shape for key, x in made.items()} == dict.fromkeys(
        ("image", "layout"), (2, SIZE, SIZE, 3)
    )
    alone = run.task.kind.sample(run, {"label": np.array([1])}, [6])["image"]
    np.testing.assert_allclose(alone[0].astype(int), made["image"][1], atol=1)


def test_noise_alone(opened):
    run = opened("unconditional_synthetic")
    made = run.task.kind.sample(run, {}, [4, 9])["image"]
    grid = run.task.kind.grid(run, seeds=[9, 4])
    by_grid = run.task.kind.sample(run, grid.conditions(np.arange(2)), grid.seeds)["image"]
    np.testing.assert_allclose(made.astype(int), by_grid[::-1], atol=1)
    assert not np.array_equal(*made)


def test_a_photograph_and_its_hole_of_any_size(opened):
    run = opened("inpaint_synthetic")
    image = RNG.integers(0, 256, (37, 51, 3), np.uint8)
    hole = np.zeros((37, 51), bool)
    hole[5:20, 10:30] = True
    asked = {"image": [image], "hole": [hole]}
    made = run.task.kind.sample(run, asked)
    assert set(made) == {"coarse", "refined", "image"}
    np.testing.assert_array_equal(made["image"][0][~hole], image[~hole])
    np.testing.assert_array_equal(made["image"][0][hole], made["refined"][0][hole])
    columns = run.task.kind.columns(
        run, {"image": image, "hole": hole}, {k: x[0] for k, x in made.items()}
    )
    assert list(columns) == ["original", "masked", "coarse", "refined", "pasted"]
    assert run.task.kind.working_size(run, (37, 51)) == (40, 56)


def test_a_photograph_to_label(opened):
    run = opened("segment_synthetic")
    image = RNG.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    made = run.task.kind.sample(run, {"image": [image]}, resize=False)
    inputs = {"image": tf.constant(image[None] / 127.5 - 1.0, tf.float32)}
    logits = run.task.generating_network(inputs, training=False)["logits"][0]
    np.testing.assert_array_equal(made["label_map"][0], np.argmax(logits, -1))
