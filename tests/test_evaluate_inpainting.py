"""Figures of inpainting runs: counted anew, other holes, and whose settings are whose."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from metrics import fills
from scripts import evaluate, evaluate_inpainting, evaluation, trained_run
from tests import saved_run, tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.data_overrides(tiny.write_data(tmp_path_factory.mktemp("data") / "facades"))


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory, data):
    return saved_run.saved(
        tmp_path_factory.mktemp("inpainter") / "run", "experiment=inpaint_synthetic", *data,
        *tiny.INPAINTING_OVERRIDES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, data):
    return saved_run.saved(
        tmp_path_factory.mktemp("classifier") / "run", "experiment=classify_synthetic", *data,
        *tiny.CLASSIFIER_OVERRIDES,
    )  # fmt: skip


def evaluated(out, *settings):
    """Runs the command's own code; returns the report and what it prints."""
    path = out / "report.json"
    text = evaluate.evaluate(saved_run.compose("evaluate", f"out={path}", *settings))
    return json.loads(path.read_text()), text


def by_hand(real, fake, hole):
    """(PSNR, L1 %, L1 % in the hole) of images, each rounded to 8 bits, then averaged."""
    values = []
    for a, b, missing in zip(real, fake, hole[..., 0] == 1, strict=True):
        a, b = (np.round((np.float64(image) + 1) * 127.5) for image in (a, b))
        error = np.abs(a - b)
        psnr = 20 * np.log10(255) - 10 * np.log10((error**2).mean())
        values.append([psnr, error.mean() / 2.55, error[missing].mean() / 2.55])
    return np.mean(values, axis=0)


def test_the_figures_counted_anew(inpainter, tmp_path):
    report, text = evaluated(tmp_path, f"run={inpainter}", "num_images=5", "batch_size=4")
    run = trained_run.open_run(inpainter)
    _, items = run.data.examples("validation", 5)
    made = run.task.generate(items, tf.range(5))
    real, hole, known = (items[key].numpy() for key in ("image", "hole", "masked_image"))
    expected = {
        "generator": made["image"].numpy(),
        "its coarse stage": np.where(hole == 1, made["coarse"].numpy(), known),
        "mean colour": fills.mean_colour(known, hole),
        "nearest known pixel": fills.nearest_known(known, hole),
        "harmonic": fills.harmonic(known, hole),
    }
    assert set(report["rows"]) == set(expected)
    for name, fake in expected.items():
        row = report["rows"][name]
        found = [row[key] for key in ("psnr", "l1_percent", "hole_l1_percent")]
        np.testing.assert_allclose(found, by_hand(real, fake, hole), rtol=2e-3, err_msg=name)
        assert 0 < row["ssim"] < 1
    assert len({row["psnr"] for row in report["rows"].values()}) == 5
    assert report["holes"]["kind"] == "RandomRectangle"
    assert report["holes"]["mean_area"] == pytest.approx(hole.mean())
    facts = report["passport"]
    assert (facts["split"], facts["n_real"], facts["image_size"]) == ("validation", 5, [32, 32])
    assert facts["generator"]["step"] == 2
    expected_hash = evaluation.weights_hash(run.task.generation_state())
    assert facts["generator"]["weights_sha256"] == expected_hash
    assert facts["versions"]["tensorflow"] == tf.__version__
    lines = text.splitlines()
    assert lines[0].split() == "inpainting PSNR SSIM L1 % L1 % in the hole".split()
    assert lines[1].split()[:2] == ["generator", f"{report['rows']['generator']['psnr']:.2f}"]
    area = f"{100 * report['holes']['mean_area']:.1f}"
    assert lines[6] == f"Holes: RandomRectangle, mean area {area} %; 5 images of validation"


def test_other_holes_and_the_report_beside_the_run(inpainter, tmp_path):
    text = evaluate.evaluate(
        saved_run.compose("evaluate", f"run={inpainter}", "holes=center", "data.holes.size=0.25")
    )
    path = inpainter / "evaluation" / "inpainting_CenterRectangle_step_00000002.json"
    assert str(path) in text
    report = json.loads(path.read_text())
    assert report["holes"]["mean_area"] == pytest.approx(1 / 16)
    assert report["holes"]["settings"]["size"] == 0.25
    assert report["passport"]["n_real"] == 6  # all of the split
    shutil.rmtree(path.parent)


def test_kinds_of_holes_are_named_by_what_draws_them():
    config = OmegaConf.load(tiny.ROOT / "configs" / "holes" / "freeform.yaml")
    assert evaluate_inpainting.kind_of(config) == "FreeForm+RandomRectangle"


def test_settings_of_other_evaluations_are_refused(inpainter, classifier, tmp_path):
    with pytest.raises(ValueError, match="inpainting, depend on data.holes. Received: seed=1,"):
        evaluated(tmp_path, f"run={inpainter}", "seed=1")
    with pytest.raises(ValueError, match="Received: classifier=.*for class_accuracy. Leave it out"):
        evaluated(tmp_path, f"run={inpainter}", f"classifier={classifier}")
    with pytest.raises(ValueError, match="class_accuracy.*data.holes=.*for inpainting. Leave"):
        evaluated(tmp_path, f"run={classifier}", "holes=center")


def test_nothing_is_measured_of_semantic_generators(data, tmp_path):
    run = saved_run.saved(tmp_path / "run", *data, *tiny.OVERRIDES)
    with pytest.raises(ValueError, match=r"which reads \('mask',.*Choose a class"):
        evaluated(tmp_path, f"run={run}")
