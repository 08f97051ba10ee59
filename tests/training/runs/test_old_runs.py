"""Runs of version 0.1.0, format 1: they open, sample, measure and resume as they did.

On the machine and packages that made them the results are equal to the bit. Another CPU adds up in
another order, so the tests allow for rounding.
"""

import json
import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import train
from scripts.evaluating import evaluation
from scripts.sampling import sampling
from tests.helpers import saved_run, saved_variables, tiny
from training.kinds import class_conditional, classification, inpainting, segmentation, semantic
from training.runs import provenance, run_config, run_folder, starting, trained_run

OLD = tiny.ROOT / "tests" / "fixtures" / "old_runs"
KINDS = {
    "spade": semantic.Semantic,
    "style": semantic.Semantic,
    "class": class_conditional.ClassConditional,
    "inpaint": inpainting.Inpainting,
    "segment": segmentation.Segmentation,
    "classify": classification.Classification,
}
SAMPLED = {
    "spade": ["count=2"],
    "style": ["count=2", "seeds=[0,1]"],
    "class": ["per_class=1", "classes=[brick,timber]"],
    "inpaint": ["count=2"],
    "segment": [f"images={OLD / 'segment' / 'photographs'}"],
}
FEATURES = [
    "features=saved",
    f"feature_weights={OLD / 'features' / 'tiny.keras'}",
    "features.name=Tiny",
]
MEASURED = {
    ("spade", "judged"): ["num_images=4", "metrics=[miou]", f"judge={OLD / 'segment' / 'run'}"],
    ("spade", "features"): ["num_images=4", *FEATURES],
    ("style", "judged"): ["num_images=4", "metrics=[miou]", f"judge={OLD / 'segment' / 'run'}"],
    ("style", "features"): ["num_images=4", *FEATURES],
    ("class", "judged"): [
        "num_images=5",
        "metrics=[class_accuracy]",
        f"judge={OLD / 'classify' / 'run'}",
    ],
    ("class", "features"): ["num_images=5", "metrics=[fid,kid]", *FEATURES],
    ("inpaint", "image_quality"): ["num_images=4", "metrics=[image_quality,hole_area_bins]"],
    ("segment", "miou"): ["num_images=4", "metrics=[miou]"],
    ("classify", "class_accuracy"): ["num_images=4", "metrics=[class_accuracy]"],
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"))


def test_there_is_a_run_of_every_kind():
    assert {path.parent.name for path in OLD.glob("*/run")} == set(KINDS)
    assert all((OLD / kind / "evaluation").is_dir() for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_as_a_run_of_its_kind(kind):
    run = trained_run.open_run(OLD / kind / "run")
    assert run.step == 2 and type(run.task.kind) is KINDS[kind]
    saved = saved_variables.of(OLD / kind / "run" / "checkpoints" / "step_00000002")
    ((owner, network),) = run.task.generation_state().items()
    for index, variable in enumerate(network.variables):
        np.testing.assert_array_equal(variable.numpy(), saved[f"{owner}/{index:05d}"])
    names = OLD / kind / "run" / "class_names.json"
    assert list(run.image_class_names) == (json.loads(names.read_text()) if names.exists() else [])


@pytest.mark.parametrize("kind", SAMPLED)
def test_it_samples_the_same_pixels(kind, data_root, tmp_path):
    settings = [f"run={OLD / kind / 'run'}", f"data_root={data_root}", f"out={tmp_path}"]
    sampling.sample(saved_run.compose("sample", *settings, *SAMPLED[kind]))
    expected = sorted(path for path in (OLD / kind / "samples").rglob("*.*"))
    assert expected
    for path in expected:
        old = np.asarray(Image.open(path)).astype(int)
        new = np.asarray(Image.open(tmp_path / path.relative_to(OLD / kind / "samples"))).astype(
            int
        )
        assert new.shape == old.shape
        if path.suffix == ".bmp":  # class ids: two all but equal logits may change places
            assert (new == old).mean() >= 0.99
        else:
            assert np.abs(new - old).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind, name", MEASURED)
def test_it_measures_the_same_figures(kind, name, data_root, tmp_path):
    settings = [f"run={OLD / kind / 'run'}", f"data_root={data_root}", f"out={tmp_path}"]
    settings += ["batch_size=2", *MEASURED[kind, name]]
    evaluation.evaluate(saved_run.compose("evaluate", *settings))
    (written,) = tmp_path.glob("*.json")
    new, old = (
        json.loads(path.read_text())["figures"]
        for path in (written, OLD / kind / "evaluation" / f"{name}.json")
    )
    assert new.keys() == old.keys()
    for column, figures in old.items():
        assert new[column].keys() == figures.keys()
        for figure, value in figures.items():  # None: there is no such thing in the data
            expected = value if value is None else pytest.approx(value, rel=1e-3, abs=1e-3)
            assert new[column][figure] == expected, (column, figure)


def resumed(folder, data_root):
    """Resumes a run as `train.py resume=FOLDER trainer.steps=4` does."""
    run = run_folder.RunFolder(folder, must_exist=True)
    saved, choices = starting.load_run(run)
    config = run_config.resumed(saved, choices, ["trainer.steps=4", f"data.root={data_root}"])
    run_config.check_targets(config)
    run_config.check_keys(config, "train")
    assert train.train(config, run) == 0
    return run


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=() if k == "classify" else pytest.mark.slow) for k in KINDS]
)
def test_it_resumes_to_the_same_variables(kind, data_root, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run = resumed(shutil.copytree(OLD / kind / "run", tmp_path / "run"), data_root)
    new = saved_variables.of(run.checkpoints / "step_00000004")
    with np.load(OLD / kind / "resumed.npz") as file:
        old = {name: file[name] for name in file.files}
    assert new.keys() == old.keys()
    for name, value in old.items():
        assert new[name].dtype == value.dtype and new[name].shape == value.shape
        # A step of Adam moves a weight by at most about its learning rate, 1e-3 or less, in the
        # direction of a gradient whose sign rounding can change.
        np.testing.assert_allclose(new[name], value, rtol=1e-2, atol=4e-3, err_msg=name)
    manifest = json.loads((run.checkpoints / "step_00000004" / "manifest.json").read_text())
    assert manifest["format"] == 2 and manifest["provenance"] == provenance.provenance()
    assert f"Tessera {provenance.in_words()}, TensorFlow {tf.__version__}" in caplog.text
    assert trained_run.open_run(run.path).step == 4
    assert trained_run.open_run(run.path, step=2).step == 2
