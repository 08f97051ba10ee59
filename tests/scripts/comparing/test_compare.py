"""Runs side by side: settings, training, figures, pictures, and what cannot be compared."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf
from PIL import Image

from scripts.command import overrides
from scripts.comparing import comparison, run_differences, run_figures, run_pictures
from tests.helpers import saved_run, tiny
from training.runs import trained_run
from training.watch import contact_sheet

SIZE, TILE = tiny.SIZE, run_pictures.TILE_SIDE


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.data_overrides(tiny.write_data(tmp_path_factory.mktemp("data") / "facades"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """Two semantic generators, a smaller image, a segmenter, and a generator without checkpoint."""
    folder = tmp_path_factory.mktemp("runs")
    small = [text.replace("image_size=[32,32]", "image_size=[16,16]") for text in tiny.OVERRIDES]
    found = {
        "wide": saved_run.saved(folder / "wide", *data, *tiny.OVERRIDES, "name=wide"),
        "narrow": saved_run.saved(
            folder / "narrow", *data, *tiny.OVERRIDES, "name=narrow", "generator.width=2",
            "trainer.steps=7", "output_root=elsewhere", "data.cache.kind=memory",
        ),
        "small": saved_run.saved(folder / "small", *data, *small, "name=small"),
        "segmenter": saved_run.saved(
            folder / "segmenter", "experiment=segment_synthetic", *data, "name=segmenter",
            f"data.image_size=[{SIZE},{SIZE}]", "segmenter.channels=[4,4,6,6]",
            "segmenter.blocks=1", "segmenter.pyramid_filters=4",
        ),
    }  # fmt: skip
    shutil.copytree(found["narrow"], folder / "unsaved")
    shutil.rmtree(folder / "unsaved" / "checkpoints")
    config = OmegaConf.load(folder / "unsaved/.hydra/config.yaml")
    config.name = "unsaved"
    OmegaConf.save(config, folder / "unsaved/.hydra/config.yaml")
    return found | {"unsaved": folder / "unsaved"}


def compared(out, *paths, **settings):
    """Runs the command's own code; returns its text and its JSON."""
    words = [*map(str, paths), f"out={out}", *(f"{k}={v}" for k, v in settings.items())]
    config = saved_run.compose("compare", *overrides.with_paths(words, "runs"))
    text = comparison.compare(config)
    return text, json.loads((out / "comparison.json").read_text())


def tile(sheet, row, column, side=TILE):
    left, top = contact_sheet.tile_corner(row, column, side, side)
    return sheet[top : top + side, left : left + side]


def log(folder, *lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + '{"step": 99, "g/to')


def test_generators_of_the_same_inputs(runs, tmp_path):
    paths = [runs[name] for name in ("wide", "narrow", "small", "segmenter", "unsaved")]
    text, found = compared(tmp_path, *paths, count=3, seed=4)
    assert found["pictures"]["shown"] == ["wide", "narrow"]
    reasons = found["pictures"]["left_out"]
    assert reasons["small"] == "image size 16x16, where wide has 32x32"
    assert reasons["segmenter"] == "reads image, where wide has mask"
    assert "Expected a checkpoint in" in reasons["unsaved"] and "\nNot shown: unsaved" in text
    assert found["training"]["unsaved"]["checkpoint"] is None
    assert found["training"]["wide"]["checkpoint"] == 2
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 4 * (TILE + 2) - 2
    for column, name in ((2, "wide"), (3, "narrow")):
        run = trained_run.open_run(runs[name])
        _, batch = run.data.examples("validation", 3)
        made = contact_sheet.to_uint8(run.generate(batch, tf.range(4, 7))["image"])
        real = contact_sheet.to_uint8(batch["image"])
        for row in range(3):
            enlarged = np.kron(made[row], np.ones((4, 4, 1), np.uint8))
            np.testing.assert_array_equal(tile(sheet, row, column), enlarged)
            np.testing.assert_array_equal(tile(sheet, row, 1)[::4, ::4], real[row])
    page = (tmp_path / "comparison.md").read_text()
    assert "![The same inputs, a column a run](sheet.png)" in page
    assert "| generator.width | 4 | 2 | 4 | - | 2 |" in page
    assert f"Written to {tmp_path}/comparison.md and .json, sheet {tmp_path}/sheet.png" in text


def test_settings_that_differ_and_how_far_the_runs_are(runs, tmp_path):
    values = {"accuracy": 0.5, "g/total": 0.123456, "d/total": 2.0, "entity_share/g_00": 0.1}
    log(runs["wide"], {"step": 50, "eval/psnr": 20.0}, {"step": 60} | values)
    log(runs["narrow"], {"step": 80} | values | {"g/total": 0.5})
    text, found = compared(tmp_path, runs["wide"], runs["narrow"], count=0)
    assert found["config"] == {
        "generator.width": {"wide": 4, "narrow": 2}, "trainer.steps": {"wide": 800, "narrow": 7},
    }  # fmt: skip
    assert "pictures" not in found and not (tmp_path / "sheet.png").exists()
    lines = [line.split() for line in text.splitlines()]
    assert ["newest", "logged", "step", "60", "80"] in lines
    assert ["eval/psnr", "20", "(step", "50)", "-"] in lines
    assert ["g/total", "0.12346", "0.5"] in lines
    logged = ("d/total", "g/total", "eval/psnr", "accuracy")  # in this order
    assert [line[0] for line in lines if line and line[0] in logged] == list(logged)
    assert "entity_share" not in text and "entity_share/g_00" in found["training"]["wide"]["values"]
    assert "The newest logged steps differ" in text
    for name in ("wide", "narrow"):
        (runs[name] / "metrics.jsonl").unlink()


def test_leaves_of_configs():
    def differences(*texts):
        configs = {name: OmegaConf.create(text) for name, text in zip("abc", texts, strict=False)}
        return run_differences.of_configs(configs)

    base = {"n": 1, "copy": "${n}", "part": {"x": [1, 2]}, "link": "${part}", "empty": {}}
    assert differences(base, base) == {}
    assert run_differences.config_blocks({}, ["a", "b"]) == ["No differences."]
    # What follows from another setting is not listed; where one run has its own, it is.
    assert differences(base, base | {"n": 2}) == {"n": {"a": 1, "b": 2}}
    assert differences(base, base | {"copy": 1}) == {}
    assert differences(base, base | {"n": 2, "copy": 3}) == {
        "n": {"a": 1, "b": 2}, "copy": {"a": 1, "b": 3}
    }  # fmt: skip
    other = base | {"part": {"x": [1, 3], "y": None}, "name": "b", "checkpoints": {"keep": 9}}
    assert differences(base, other) == {"part.x": {"a": [1, 2], "b": [1, 3]}, "part.y": {"b": None}}
    without = {key: value for key, value in base.items() if key != "link"}
    assert differences(base, base, without) == {"link": {"a": "${part}", "b": "${part}"}}
    (table,) = run_differences.config_blocks({"k": {"a": None, "c": True}}, ["a", "b", "c"])
    assert table == [["setting", "a", "b", "c"], ["k", "null", "-", "true"]]


def report(folder, step, protocol, value, *, facts=None, std=None):
    (folder / "evaluation").mkdir(exist_ok=True)
    content = {
        "run": str(folder), "step": step, "protocol": protocol,
        "figures": {"generated": {"fid": value, "kid": None}}, "std": {"generated": std or {}},
        "passport": {"subject": {"step": step}, "protocol": facts or {}},
    }  # fmt: skip
    path = folder / "evaluation" / f"step_{step:08d}_{protocol}.json"
    path.write_text(json.dumps(content))


def test_figures_stand_side_by_side_where_they_measure_the_same(runs, tmp_path):
    wide, narrow, small = (runs[name] for name in ("wide", "narrow", "small"))
    report(wide, 1000, "aaaaaaaa", 9.0)
    report(wide, 2000, "aaaaaaaa", 7.25, std={"fid": 0.5})
    report(narrow, 500, "aaaaaaaa", 8.0)
    report(narrow, 500, "bbbbbbbb", 3.0, facts={"n": 10, "data": {"sha": "0" * 64, "k": [1]}})
    report(small, 700, "cccccccc", 4.0, facts={"n": 20, "data": {"sha": "1" * 64, "k": [1]}})
    (small / "evaluation/old.json").write_text('{"metric": "psnr"}')
    (small / "evaluation/torn.json").write_text("{")
    text, found = compared(tmp_path, wide, narrow, small, count=0)
    for run in (wide, narrow, small):
        shutil.rmtree(run / "evaluation")
    (together,) = found["figures"]["together"]
    steps = {name: found["step"] for name, found in together["reports"].items()}
    assert together["protocol"] == "aaaaaaaa" and steps == {"wide": 2000, "narrow": 500}
    lines = [line.split() for line in text.splitlines()]
    assert ["generated:", "fid", "7.25", "±", "0.5", "8"] in lines
    assert ["generated:", "kid", "-", "-"] in lines
    assert [entry["run"] for entry in found["figures"]["apart"]] == ["narrow", "small"]
    assert (
        "small (protocol cccccccc) cannot be compared: no other run was measured this way. The "
        "nearest is narrow (protocol bbbbbbbb); they differ in: n 20 / 10; "
        "data.sha 111111111111 / 000000000000." in text
    )
    assert [path.split()[0].rpartition("/")[2] for path in found["figures"]["unread"]] == [
        "old.json", "torn.json"
    ]  # fmt: skip
    assert "measure the run again" in text


def test_figures_of_one_run_alone(runs, tmp_path):
    text, _ = compared(tmp_path, runs["wide"], runs["narrow"], count=0)
    assert "There are no figures to compare: python scripts/evaluate.py run=RUN" in text
    report(runs["wide"], 5, "aaaaaaaa", 1.0)
    text, _ = compared(tmp_path, runs["wide"], runs["narrow"], count=0)
    shutil.rmtree(runs["wide"] / "evaluation")
    assert "wide (protocol aaaaaaaa): no other run has figures." in text
    alike = {"passport": {"protocol": {"n": 1}}}
    assert run_figures.differences(alike, alike) == {}


def test_segmenters_show_their_predictions_in_colours(runs, tmp_path):
    copy = shutil.copytree(runs["segmenter"], tmp_path / "copy")
    _, found = compared(tmp_path / "out", copy, runs["segmenter"], count=2)
    assert found["pictures"]["shown"] == ["copy", "segmenter"]  # their configs have one name
    assert found["config"] == {}
    sheet = np.asarray(Image.open(tmp_path / "out/sheet.png"))
    run = trained_run.open_run(copy)
    _, batch = run.data.examples("validation", 2)
    prediction = run.generate(batch, tf.range(2))["prediction"].numpy()
    colours = np.array(run.config.data.encoding.class_colors, np.uint8)
    for row in range(2):
        for column, ids in ((0, batch["label_map"]), (2, prediction), (3, prediction)):
            shown = tile(sheet, row, column)[::4, ::4]
            np.testing.assert_array_equal(shown, colours[np.asarray(ids)[row]])


@pytest.mark.slow
def test_classes_are_taken_in_turn(data, tmp_path):
    tiny_run = ["experiment=class_synthetic", *data, *tiny.CLASS_OVERRIDES, "attention=none"]
    run = saved_run.saved(tmp_path / "a", *tiny_run)
    other = shutil.copytree(run, tmp_path / "b")
    (other / "image_class_names.json").write_text('["a", "b", "c", "d", "e"]')
    judge = saved_run.saved(
        tmp_path / "judge", "experiment=classify_synthetic", *data, *tiny.CLASSIFIER_OVERRIDES
    )
    _, found = compared(tmp_path / "out", judge, run, other, count=7, seed=3)
    names = "brick, haussmann, modern, stucco, timber"
    assert found["pictures"] == {
        "shown": ["a"],
        "left_out": {"judge": "ImageClassifier makes no pictures",
                     "b": f"classes 5: a, b, c, d, e, where a has 5: {names}"},
    }  # fmt: skip
    sheet = np.asarray(Image.open(tmp_path / "out/sheet.png"))[:, contact_sheet.ROW_TITLE_WIDTH :]
    opened = trained_run.open_run(run)
    labels = np.array([0, 1, 2, 3, 4, 0, 1], np.int32)
    made = opened.generate({"label": labels}, tf.range(3, 10))["image"]
    for row, image in enumerate(contact_sheet.to_uint8(made)):
        np.testing.assert_allclose(tile(sheet, row, 0)[::4, ::4].astype(int), image, atol=1)


@pytest.mark.slow
def test_generators_of_noise_alone_are_given_the_same_noise(data, tmp_path):
    tiny_run = ["experiment=unconditional_synthetic", *data, *tiny.CLASS_OVERRIDES]
    run = saved_run.saved(tmp_path / "a", *tiny_run, "name=a")
    other = saved_run.saved(tmp_path / "b", *tiny_run, "generator.channels=[4,8,8,8]", "name=b")
    _, found = compared(tmp_path / "out", run, other, count=3, seed=5)
    assert found["pictures"] == {"shown": ["a", "b"], "left_out": {}}
    sheet = np.asarray(Image.open(tmp_path / "out/sheet.png"))
    for column, folder in enumerate((run, other)):
        opened = trained_run.open_run(folder)
        made = opened.task.kind.sample(opened, {}, [5, 6, 7])["image"]
        for row in range(3):
            shown = tile(sheet, row, column)[::4, ::4]
            np.testing.assert_allclose(shown.astype(int), made[row], atol=1)


def test_holes_are_those_of_the_first_run(data, tmp_path):
    tiny_run = ["experiment=inpaint_synthetic", *data, *tiny.INPAINTING_OVERRIDES]
    run = saved_run.saved(tmp_path / "a", *tiny_run)
    other = saved_run.saved(
        tmp_path / "b", *tiny_run, "holes=center", "name=other", "generator.width=4"
    )
    _, found = compared(tmp_path / "out", run, other, count=2)
    assert found["pictures"] == {"shown": ["inpaint_synthetic", "other"], "left_out": {}}
    sheet = np.asarray(Image.open(tmp_path / "out/sheet.png"))
    original, masked, *repaired = (
        np.stack([tile(sheet, row, column)[::4, ::4] for row in range(2)]) for column in range(4)
    )
    _, batch = trained_run.open_run(run).data.examples("validation", 2)
    known = batch["hole"].numpy()[..., 0] == 0
    assert 0.2 < known.mean() < 1
    for picture in (masked, *repaired):
        np.testing.assert_array_equal(picture[known], original[known])
    assert (masked[~known] == 128).all()
    assert not np.array_equal(*(picture[~known] for picture in repaired))


def test_inputs_that_are_not_there(runs, tmp_path):
    text, found = compared(tmp_path, runs["wide"], runs["narrow"], data_root="/dev/null/none")
    assert found["pictures"]["shown"] == [] and not (tmp_path / "sheet.png").exists()
    assert "Not shown: wide, the inputs would be those of wide, but: " in text
    assert "Set data_root=DIR" in found["pictures"]["left_out"]["narrow"]


def test_what_is_no_comparison_is_refused(runs, tmp_path):
    wide = runs["wide"]
    for paths, settings, expected in (
        ([], {}, r"at least two runs. Received: runs=\[\]"),
        ([wide], {}, r"at least two runs. Received: runs=\['.*/wide'\]"),
        ([wide, runs["small"], wide / ".." / "wide"], {}, "not the same.*wide and .*wide. Name"),
        ([wide, runs["small"]], {"count": -1}, "count must be an integer >= 0.*count=-1"),
        ([wide, runs["small"]], {"seed": "x"}, "seed must be an integer >= 0.*seed=x"),
    ):
        with pytest.raises(ValueError, match=expected):
            compared(tmp_path, *paths, **settings)
    with pytest.raises(FileNotFoundError, match="folder of a training run.*nowhere"):
        compared(tmp_path, wide, "nowhere")
    foreign = shutil.copytree(wide, tmp_path / "foreign")
    config = OmegaConf.load(foreign / ".hydra/config.yaml")
    config.trainer._target_ = "os.system"
    OmegaConf.save(config, foreign / ".hydra/config.yaml")
    with pytest.raises(ValueError, match="trainer._target_=os.system. Do not use a run folder"):
        compared(tmp_path / "out", wide, foreign)
    assert not (tmp_path / "out").exists()


def test_short_names(tmp_path):
    places = [tmp_path / "a/2026", tmp_path / "b/2026", tmp_path / "b/2027"]
    assert comparison.short_names(places[1:], ["spade", "spade"]) == ["2026", "2027"]
    assert comparison.short_names(places, ["x", "y", "x"]) == ["a/2026", "b/2026", "b/2027"]
    assert comparison.short_names(places, ["x", "y", "z"]) == ["x", "y", "z"]


def test_paths_as_words(tmp_path):
    def turned(*words):
        return overrides.with_paths(list(words), "runs")

    folder = tmp_path / "steps=5"
    folder.mkdir()
    assert turned("a/b", "count=2", "2026-11-21") == ["runs=[a/b,'2026-11-21']", "count=2"]
    assert turned("a", "--cfg", "job") == ["runs=[a]", "--cfg", "job"]
    assert turned("a", "~out", "b") == ["runs=[a,b]", "~out"]
    assert turned("--help") == ["--help"] and turned("runs=[a,b]") == ["runs=[a,b]"]
    odd = ["it's", "a b,c", "x\\", "007", "\\'"]
    config = saved_run.compose("compare", *turned(str(folder), *odd))
    assert list(config.runs) == [str(folder), *odd]
    with pytest.raises(ValueError, match=r"paths as words or runs=\[A,B\]. Received: both, 'a'"):
        turned("a", "runs=[b,c]")


def test_the_command(runs):
    assert tiny.command("scripts/compare.py", "--help").returncode == 0
    done = tiny.command("scripts/compare.py", str(runs["wide"]), "count=0")
    assert done.returncode == 1 and "\nError: Expected at least two runs." in done.stderr
    assert "Traceback" not in done.stderr
