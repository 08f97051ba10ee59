"""Figures of inpainting runs: counted anew, other holes, and whose settings are whose."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from metrics import fills, lpips
from scripts.evaluating import evaluation, subjects
from tests.helpers import evaluated, numpy_lpips, saved_run, tiny, torch_file_writer
from training.runs import trained_run


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory):
    return saved_run.saved(
        tmp_path_factory.mktemp("inpainter") / "run", "experiment=inpaint_synthetic",
        *evaluated.data(tmp_path_factory), *tiny.INPAINTING_OVERRIDES,
    )  # fmt: skip


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
    report, text = evaluated.evaluated(tmp_path, f"run={inpainter}", "num_images=5", "batch_size=4")
    run = trained_run.open_run(inpainter)
    _, items = run.data.examples("validation", 5)
    made = run.task.generate(items, tf.range(5))
    real, hole, known = (items[key].numpy() for key in ("image", "hole", "masked_image"))
    expected = {
        "generated": made["image"].numpy(),
        "its coarse stage": np.where(hole == 1, made["coarse"].numpy(), known),
        "mean colour": fills.mean_colour(known, hole),
        "nearest known pixel": fills.nearest_known(known, hole),
        "harmonic": fills.harmonic(known, hole),
    }
    assert set(report["figures"]) == set(expected)
    for column, fake in expected.items():
        figures = report["figures"][column]
        found = [figures[key] for key in ("psnr", "l1_percent", "hole_l1_percent")]
        np.testing.assert_allclose(found, by_hand(real, fake, hole), rtol=2e-3, err_msg=column)
        assert 0 < figures["ssim"] < 1
    assert len({figures["psnr"] for figures in report["figures"].values()}) == 5
    assert (
        evaluated.table(text)["psnr"]["harmonic"] == f"{report['figures']['harmonic']['psnr']:.4g}"
    )
    bins = [name for name in report["figures"]["generated"] if name.startswith("images/hole_")]
    assert sum(report["figures"]["generated"][name] for name in bins) == 5
    facts, protocol = report["passport"], report["passport"]["protocol"]
    assert protocol["holes"]["kind"] == "RandomRectangle" and "Holes: RandomRectangle." in text
    assert (protocol["n_fake"], protocol["data"]["n_real"]) == (5, 6)
    assert facts["subject"]["weights_sha256"] == subjects.weights_hash(run)


def test_other_holes_have_reports_of_their_own(inpainter):
    for size in ("0.25", "0.5"):
        evaluation.evaluate(
            saved_run.compose("evaluate", f"run={inpainter}", "holes=center",
                              f"data.holes.size={size}")
        )  # fmt: skip
    paths = list((inpainter / "evaluation").glob("step_00000002_*.json"))
    holes = [json.loads(path.read_text())["passport"]["protocol"]["holes"] for path in paths]
    assert {hole["settings"]["size"] for hole in holes} == {0.25, 0.5}
    assert {hole["kind"] for hole in holes} == {"CenterRectangle"}
    shutil.rmtree(inpainter / "evaluation")


def test_kinds_of_holes_are_named_by_what_draws_them():
    config = OmegaConf.load(tiny.ROOT / "configs" / "holes" / "freeform.yaml")
    assert subjects.kind_of_holes(config) == "FreeForm+RandomRectangle"
    protocol = subjects.protocol_of_holes(config)
    targets = [maker["_target_"] for maker in protocol["settings"]["makers"].values()]
    assert targets == ["data.hole_strokes.FreeForm", "data.holes.RandomRectangle"]  # of format 1


def test_settings_that_it_does_not_read_are_refused(inpainter, tmp_path):
    with pytest.raises(ValueError, match="inpainting run, read, here image_quality.*judge="):
        evaluated.evaluated(tmp_path, f"run={inpainter}", "judge=other")


def test_lpips_where_its_weights_are_given(inpainter, tmp_path):
    state, head_state = numpy_lpips.random_weights("squeeze", [4] + [2, 3] * 4)
    backbone = torch_file_writer.write(tmp_path / "backbone.pth", state)
    heads = torch_file_writer.write(tmp_path / "heads.pth", head_state)
    report, _ = evaluated.evaluated(
        tmp_path / "out", f"run={inpainter}", "metrics=[lpips]", "num_images=3",
        "lpips=squeeze", f"lpips_backbone={backbone}", f"lpips_heads={heads}",
    )  # fmt: skip
    run = trained_run.open_run(inpainter)
    _, items = run.data.examples("validation")
    judge = lpips.LPIPS(backbone, heads, network="squeeze")
    made = run.task.generate(items, tf.range(6))["image"].numpy()
    real, hole, known = (items[key].numpy() for key in ("image", "hole", "masked_image"))
    for column, fake in (("generated", made), ("mean colour", fills.mean_colour(known, hole))):
        expected = judge(real[:3], fake[:3]).mean()
        assert report["figures"][column] == {"lpips_squeeze": pytest.approx(expected, rel=1e-3)}
    hashes = report["passport"]["protocol"]["lpips"]["weights_sha256"]
    assert set(hashes) == {"backbone", "heads"}
