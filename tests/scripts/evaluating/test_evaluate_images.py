"""Semantic runs judged by a segmenter, segmenters by themselves, distances of runs and folders."""

import json
import shutil

import hydra
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import train
from metrics.distances import frechet, kernel_distance
from tests.helpers import evaluated, saved_run, tiny
from training.runs import run_config, run_folder, trained_run
from training.watch import contact_sheet

K = 12
DISTANCE, KERNEL = "frechet_distance_tiny", "kernel_distance_tiny"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return evaluated.data(tmp_path_factory)


@pytest.fixture(scope="module")
def painter(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("painter") / "run"
    return saved_run.saved(folder, *data, *tiny.OVERRIDES)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    return saved_run.saved(folder, *data, *tiny.SEGMENTER_OVERRIDES)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A tiny frozen network as a file, and its features counted by hand."""
    keras.utils.set_random_seed(5)
    made = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, 2, activation="relu")]
    )
    path = tmp_path_factory.mktemp("network") / "tiny.keras"
    made.save(path)
    kernel, bias = (value.astype(np.float64) for value in made.get_weights())

    def features(images):
        """uint8 [N, H, W, 3] -> [N, 4]: mean of relu(convolution) over the image."""
        x = images / 127.5 - 1.0
        rows = []
        for image in x:
            patches = np.lib.stride_tricks.sliding_window_view(image, (3, 3), (0, 1))[::2, ::2]
            maps = np.einsum("hwcij,ijco->hwo", patches, kernel) + bias
            rows.append(np.maximum(maps, 0.0).mean(axis=(0, 1)))
        return np.array(rows)

    return [f"feature_weights={path}", "features=saved", "features.name=Tiny"], features


def confusion(pairs):
    """Counted pixel by pixel."""
    counts = np.zeros([K, K], int)
    for truth, predicted in pairs:
        for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
            counts[t, p] += 1
    return counts


def mean_iou(counts):
    present = [k for k in range(K) if counts[k].sum()]
    return np.mean(
        [counts[k, k] / (counts[k].sum() + counts[:, k].sum() - counts[k, k]) for k in present]
    )


@pytest.mark.slow
def test_what_is_painted_and_what_is_real_are_segmented_alike(painter, segmenter, tmp_path):
    report, text = evaluated.evaluated(
        tmp_path, f"run={painter}", f"judge={segmenter}", "num_images=5", "batch_size=4"
    )
    run, judge = trained_run.open_run(painter), trained_run.open_run(segmenter)
    _, items = run.data.examples("validation", 6)
    (net,) = judge.task.generation_state().values()

    def predicted(images):
        saved = contact_sheet.to_uint8(images).astype(np.float32) / 127.5 - 1.0
        return np.argmax(net({"image": tf.constant(saved)}, training=False)["logits"], -1)

    made = run.task.generate(items, tf.range(6))["image"].numpy()
    maps = items["label_map"].numpy()
    for column, images in (("generated", made), ("real", items["image"].numpy())):
        counts = confusion(zip(maps[:5], predicted(images)[:5], strict=True))
        figures = report["figures"][column]
        assert figures["mean_iou"] == pytest.approx(mean_iou(counts))
        assert figures["pixel_accuracy"] == pytest.approx(np.trace(counts) / counts.sum())
    assert (
        report["confusion"]["generated"]
        == confusion(zip(maps[:5], predicted(made)[:5], strict=True)).tolist()
    )
    assert set(evaluated.table(text)["mean_iou"]) == {"generated", "real"}
    assert "worth what those of the real images are" in text


@pytest.fixture(scope="module")
def painted(painter, tmp_path_factory):
    """Folders of what the painter makes of the validation maps, and of these maps."""
    root, run = tmp_path_factory.mktemp("painted"), trained_run.open_run(painter)
    names, items = run.data.examples("validation")
    made = contact_sheet.to_uint8(run.task.generate(items, tf.range(6))["image"])
    for name, image, ids in zip(names, made, items["label_map"].numpy(), strict=True):
        contact_sheet.write_png(root / "fake" / f"{name}.png", image)
        path = root / "labels" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids).save(path)
    contact_sheet.write_sheet(root / "fake" / "sheet.png", np.zeros([90, 70, 3], np.uint8))
    return root


def folders(root, segmenter):
    return [f"fake={root / 'fake'}", f"labels={root / 'labels'}", f"judge={segmenter}"]


def test_a_folder_of_images_is_judged_as_the_run_that_made_them(
    painter, segmenter, painted, tmp_path
):
    of_run, _ = evaluated.evaluated(tmp_path / "run", f"run={painter}", f"judge={segmenter}")
    report, text = evaluated.evaluated(tmp_path / "out", *folders(painted, segmenter))
    assert report["figures"] == {"generated": of_run["figures"]["generated"]}
    assert report["confusion"]["generated"] == of_run["confusion"]["generated"]
    assert "fake=PHOTOGRAPHS" in text and "6 images are few" in text
    assert report["passport"]["protocol"]["n_fake"] == 6
    # Other images of the same maps have the same protocol, and another passport.
    other = shutil.copytree(painted, tmp_path / "other")
    for path in (other / "fake").rglob("*0*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    again, _ = evaluated.evaluated(tmp_path / "again", *folders(other, segmenter))
    assert again["protocol"] == report["protocol"] and again["name"] != report["name"]


def test_folders_that_are_no_pairs_are_refused(segmenter, painter, painted, tmp_path):
    def refused(message, *settings, error=ValueError):
        with pytest.raises(error, match=message):
            evaluated.evaluated(tmp_path / "out", *settings)

    root = shutil.copytree(painted, tmp_path / "root")
    fake, labels, judge = folders(root, segmenter)
    refused("judge=SEGMENTATION_RUN.*labels=.* without", fake, labels)
    refused("fake=FOLDER labels=FOLDER judge=RUN. Received: run=None", labels, judge)
    refused("Received: lpips=", fake, labels, judge, "lpips=alex")
    refused("segmentation run to judge the images of.*a semantic run", fake, labels,
            f"judge={painter}")  # fmt: skip
    refused("nowhere", fake, f"labels={root / 'nowhere'}", judge, error=FileNotFoundError)
    refused("size that the judge knows. Received: image_size of 16x16", fake, labels, judge,
            "image_size=[16,16]")  # fmt: skip
    first, second, *_ = sorted((root / "labels").rglob("*.png"))
    Image.open(first).resize((20, 20)).save(first)
    refused(f"{first.stem}.*20", fake, labels, judge)
    first.unlink()
    refused(f"1 photographs without a map.*{first.stem}", fake, labels, judge)
    shutil.copy(second, first)
    Image.fromarray(np.full([tiny.SIZE] * 2, 99, np.uint8)).save(second)
    refused(f"value 99 in.*|99.*{second.stem}", fake, labels, judge)


def test_images_of_another_size_than_the_judge_are_resized_on_request(segmenter, painted, tmp_path):
    root = shutil.copytree(painted, tmp_path / "root")
    (root / "fake/sheet.png").unlink()
    for path in [*(root / "fake").rglob("*.png"), *(root / "labels").rglob("*.png")]:
        image = Image.open(path)
        image.resize([2 * side for side in image.size], Image.Resampling.NEAREST).save(path)
    settings = folders(root, segmenter)
    with pytest.raises(ValueError, match=r"32x32.*judge knows.*64x64.*image_size=\[32,32\]"):
        evaluated.evaluated(tmp_path / "refused", *settings)
    report, _ = evaluated.evaluated(tmp_path / "out", *settings, "image_size=[32,32]")
    assert report["figures"]["generated"]["mean_iou"] >= 0


def test_a_segmenter_by_itself(segmenter, tmp_path):
    report, _ = evaluated.evaluated(tmp_path, f"run={segmenter}")
    run = trained_run.open_run(segmenter)
    _, items = run.data.examples("validation")
    predicted = run.task.generate(items, tf.range(6))["prediction"].numpy()
    counts = confusion(zip(items["label_map"].numpy(), predicted, strict=True))
    assert np.count_nonzero(counts.sum(axis=0)) > 1
    assert report["confusion"] == {"predicted": counts.tolist()}
    assert report["figures"]["predicted"]["mean_iou"] == pytest.approx(mean_iou(counts))
    assert np.asarray(Image.open(next(tmp_path.glob("*.png")))).shape[0] > 6 * tiny.SIZE


def test_distances_of_a_run_by_hand(painter, network, tmp_path):
    settings, features = network
    report, text = evaluated.evaluated(
        tmp_path, f"run={painter}", *settings, "metrics=[fid,kid]", "num_images=4"
    )
    run = trained_run.open_run(painter)
    _, items = run.data.examples("validation", 6)
    made = contact_sheet.to_uint8(run.task.generate(items, tf.range(6))["image"])[:4]
    real, fake = features(contact_sheet.to_uint8(items["image"])), features(made)
    figures = report["figures"]["generated"]
    assert set(figures) == {DISTANCE, KERNEL, f"{KERNEL}_std"}
    expected = frechet.frechet_distance_of_features(real, fake)
    assert figures[DISTANCE] == pytest.approx(expected, rel=1e-3)
    kernel = kernel_distance.kernel_distance(real, fake)["mean"]
    assert figures[KERNEL] == pytest.approx(kernel, rel=1e-2, abs=1e-4)
    protocol = report["passport"]["protocol"]
    assert protocol["features"]["network"] == "Tiny" and protocol["n_fake"] == 4
    assert (
        "4 images are no more than the 4 features of Tiny" in text and "Prefer the kernel" in text
    )


def test_folders_and_runs_give_the_same_figures(painter, network, data, tmp_path):
    settings, _ = network
    of_run, _ = evaluated.evaluated(tmp_path / "run", f"run={painter}", *settings)
    run = trained_run.open_run(painter)
    _, items = run.data.examples("validation", 6)
    made = run.task.generate(items, tf.range(6))["image"]
    for name, images in (("real", items["image"]), ("fake", made)):
        for index, image in enumerate(contact_sheet.to_uint8(images)):
            contact_sheet.write_png(tmp_path / name / "sub" / f"{index}.png", image)
    folders = ["run=null", f"real={tmp_path / 'real'}", f"fake={tmp_path / 'fake'}"]
    of_folders, text = evaluated.evaluated(tmp_path / "out", *folders, *settings)
    assert of_folders["figures"]["generated"] == pytest.approx(
        of_run["figures"]["generated"], rel=1e-3, abs=1e-4
    )
    assert of_folders["step"] is None and "images of" not in text.splitlines()[0]
    facts = of_folders["passport"]
    assert facts["protocol"]["data"]["n_real"] == 6
    assert facts["subject"]["content_sha256"] != facts["protocol"]["data"]["content_sha256"]
    seen = [r["passport"]["protocol"]["data"]["seen_sha256"] for r in (of_run, of_folders)]
    assert seen[0] != seen[1]  # the embedded photographs have classes too
    resized, _ = evaluated.evaluated(
        tmp_path / "resized", *folders, *settings, "image_size=[16,24]"
    )
    assert resized["passport"]["protocol"]["data"]["image_size"] == [16, 24]
    assert resized["protocol"] != of_folders["protocol"]


def test_changed_images_are_measured_anew(painter, network, tmp_path):
    """The features kept of a data set never meet a changed one."""
    settings, _ = network
    real, fake = tmp_path / "real", tmp_path / "fake"
    rng = np.random.default_rng(3)
    for folder in (real, fake):
        for index in range(6):
            pixels = rng.integers(0, 256, [16, 16, 3]).astype(np.uint8)
            contact_sheet.write_png(folder / f"{index}.png", pixels)
    folders = ["run=null", f"real={real}", f"fake={fake}", *settings]
    first, _ = evaluated.evaluated(tmp_path / "first", *folders)
    again, _ = evaluated.evaluated(tmp_path / "again", *folders)
    assert again["figures"] == first["figures"] and again["protocol"] == first["protocol"]
    shutil.copy(fake / "0.png", real / "0.png")
    changed, _ = evaluated.evaluated(tmp_path / "changed", *folders)
    assert changed["protocol"] != first["protocol"]
    assert changed["figures"]["generated"][DISTANCE] != first["figures"]["generated"][DISTANCE]


@pytest.mark.parametrize("size", ["null", "[16,16]"])
def test_damaged_images_are_named(network, tmp_path, size):
    settings, _ = network
    for index in range(3):
        contact_sheet.write_png(tmp_path / f"{index}.png", np.zeros([16, 16, 3], np.uint8))
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:50])
    (tmp_path / "2.png").write_bytes(b"torn")
    folders = ["run=null", f"real={tmp_path}", f"fake={tmp_path}", f"image_size={size}"]
    with pytest.raises(ValueError, match="2 photographs cannot be read: .*1.png.* Replace or rem"):
        evaluated.evaluated(tmp_path / "out", *folders, *settings)


def test_logits_and_another_judge_are_asked_for(painter, network, tmp_path):
    settings, _ = network
    with pytest.raises(ValueError, match="inception_score needs a network with logits"):
        evaluated.evaluated(tmp_path, f"run={painter}", "metrics=[inception_score]", *settings)
    with pytest.raises(ValueError, match="a segmentation run to judge .*painter.*with. Received"):
        evaluated.evaluated(tmp_path, f"run={painter}", f"judge={painter}")


def test_json_has_no_word_of_python(painter, network, tmp_path):
    settings, _ = network
    evaluated.evaluated(tmp_path, f"run={painter}", *settings)
    text = next(tmp_path.glob("*.json")).read_text()
    assert "NaN" not in text and json.loads(text)["name"] == "step_00000002"


def test_training_measures_the_same_and_knows_its_best(data, network, tmp_path):
    """Distances from the first real images of the split, by `features=` of train.py."""
    settings, features = network
    config = saved_run.compose(
        "train", *data, *tiny.OVERRIDES, *settings, "evaluation.num_images=4",
        "evaluation.batch_size=4", f"checkpoints.best_metric=eval/{DISTANCE}",
        "checkpoints.best_is=lowest",
    )  # fmt: skip
    run_config.check_keys(config, "train")
    pipeline = hydra.utils.instantiate(config.data, _convert_="all")
    task = hydra.utils.instantiate(config.task, _convert_="all")
    task.build(pipeline.element_spec)
    run, spec = run_folder.RunFolder(tmp_path), pipeline.element_spec
    evaluate, best = train.measuring(config, run, task, pipeline, spec)
    values, confusions = evaluate()
    items = next(iter(pipeline.evaluation_dataset("validation", 4)))
    made = task.generate(items, tf.range(4))["image"]
    both = [features(contact_sheet.to_uint8(images)) for images in (items["image"], made)]
    expected = frechet.frechet_distance_of_features(*both)
    assert values[f"eval/{DISTANCE}"] == pytest.approx(expected, rel=1e-3)
    assert not confusions
    names = hydra.utils.instantiate(config.evaluation, _convert_="all").names(spec, 6)
    assert set(names) == set(values)
    config.checkpoints.best_metric = "eval/fid"
    with pytest.raises(ValueError, match=f"Received: best_metric=eval/fid.*eval/{DISTANCE}"):
        train.measuring(config, run, task, pipeline, spec)
    assert best.offer(1, values, task.state()) and best.step() == 1
