"""Class accuracy of runs, and what the command asks of its settings."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from scripts.evaluating import evaluation, subjects
from scripts.sampling import sampling
from tests.helpers import evaluated, saved_run, tiny
from training.runs import trained_run
from training.watch import contact_sheet

NAMES = ["brick", "haussmann", "modern", "stucco", "timber"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return evaluated.data(tmp_path_factory)


@pytest.fixture(scope="module")
def gan(tmp_path_factory, data):
    return saved_run.saved(
        tmp_path_factory.mktemp("gan") / "run", "experiment=class_synthetic", *data,
        *tiny.CLASS_OVERRIDES, "attention=none",
    )  # fmt: skip


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, data):
    return saved_run.saved(
        tmp_path_factory.mktemp("classifier") / "run", "experiment=classify_synthetic", *data,
        *tiny.CLASSIFIER_OVERRIDES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(gan, classifier):
    """Both, opened once."""
    return trained_run.open_run(gan), trained_run.open_run(classifier)


def counted(pairs):
    """Confusion by hand of (true class, class)."""
    confusion = np.zeros([5, 5], int)
    for label, prediction in pairs:
        confusion[label, prediction] += 1
    return confusion.tolist()


def share_right(pairs):
    return np.mean([label == prediction for label, prediction in pairs])


def predicted(run, image):
    """The class of one image, by the averaged network itself."""
    (network,) = run.task.generation_state().values()
    logits = network({"image": tf.constant(image[None])}, training=False)["logits"]
    return int(np.argmax(logits.numpy()[0]))


def judged_by_hand(run, split):
    _, items = run.data.examples(split)
    labels, images = items["label"].numpy(), items["image"].numpy()
    return [(label, predicted(run, image)) for label, image in zip(labels, images, strict=True)]


# --- Figures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["validation", "train"])
def test_a_classifier_by_itself(classifier, runs, tmp_path, split):
    report, text = evaluated.evaluated(
        tmp_path, f"run={classifier}", f"split={split}", "batch_size=4"
    )
    expected = judged_by_hand(runs[1], split)
    assert len({prediction for _, prediction in expected}) > 1
    assert report["confusion"] == {"predicted": counted(expected)}
    figures = report["figures"]["predicted"]
    assert set(report["figures"]) == {"predicted"}
    assert figures["class_accuracy"] == pytest.approx(share_right(expected))
    bricks = [pair for pair in expected if pair[0] == 0]
    if bricks:
        assert figures["class_accuracy/brick"] == pytest.approx(share_right(bricks))
    protocol = report["passport"]["protocol"]
    assert protocol["data"]["split"] == split
    assert protocol["data"]["n_real"] == len(expected) == {"validation": 6, "train": 24}[split]
    assert evaluated.table(text)["class_accuracy"] == {
        "predicted": f"{figures['class_accuracy']:.4g}"
    }
    assert "Chance: 0.200." in text
    assert len(list(tmp_path.glob("step_00000002_*.png"))) == 1


def test_a_generator_is_judged_by_the_pixels_of_its_pictures(gan, classifier, runs, tmp_path):
    report, _ = evaluated.evaluated(
        tmp_path, f"run={gan}", f"judge={classifier}", "num_images=12", "seed=3", "batch_size=5"
    )
    run, judge = runs
    expected = []
    for index in range(12):
        seed = tf.constant([index + 3 * subjects.SEED_STRIDE])
        made = run.task.generate({"label": tf.constant([index % 5])}, seed)["image"]
        picture = contact_sheet.to_uint8(made)[0]
        expected.append((index % 5, predicted(judge, picture.astype(np.float32) / 127.5 - 1.0)))
    assert len({prediction for _, prediction in expected}) > 1
    assert report["confusion"]["generated"] == counted(expected)
    assert np.sum(report["confusion"]["generated"], axis=1).tolist() == [3, 3, 2, 2, 2]
    real = report["figures"]["real"]["class_accuracy"]
    assert real == pytest.approx(share_right(judged_by_hand(judge, "validation")))
    facts = report["passport"]
    protocol = facts["protocol"]
    assert (protocol["n_fake"], protocol["data"]["n_real"], protocol["seed"]) == (12, 6, 3)
    assert facts["versions"]["tensorflow"] == tf.__version__
    assert (facts["subject"]["step"], protocol["judge"]["step"]) == (2, 2)
    hashes = {facts["subject"]["weights_sha256"], protocol["judge"]["weights_sha256"]}
    assert hashes == {subjects.weights_hash(run) for run in runs}
    assert len(hashes) == 2 and all(len(text) == 64 for text in hashes)


def test_repeats_have_seeds_of_their_own(gan, classifier, tmp_path):
    def figures(*settings):
        report, text = evaluated.evaluated(
            tmp_path / settings[0].replace("=", "_"), f"run={gan}", f"judge={classifier}",
            "num_images=20", *settings,
        )  # fmt: skip
        return report["figures"]["generated"], report["std"], text

    first, std, _ = figures("seed=0")
    second, _, _ = figures("seed=1")
    both, deviations, text = figures("repeats=2")
    values = [first["class_accuracy"], second["class_accuracy"]]
    assert std == {}
    assert both["class_accuracy"] == pytest.approx(np.mean(values))
    assert deviations["generated"]["class_accuracy"] == pytest.approx(np.std(values, ddof=1))
    assert "real" not in deviations and " ± " in text


def test_every_image_has_noise_of_its_own_and_of_the_seed(runs):
    subject = subjects.EvaluatedRun(runs[0], saved_run.compose("evaluate"))

    def images(seed):
        batch = {"label": tf.zeros([10], tf.int32)}
        return contact_sheet.to_uint8(subject.generate(batch, tf.range(10), seed)["image"])

    first, other = images(0), images(1)
    assert len({image.tobytes() for image in [*first, *other]}) == 20
    np.testing.assert_array_equal(first, images(0))


def test_the_report_lies_beside_the_run_with_its_curves(gan, classifier):
    run = trained_run.open_run(gan)
    trained_run.checkpoint_store(run.folder, run.config).save(4, run.task.state())
    text = evaluation.evaluate(
        saved_run.compose("evaluate", f"run={gan}", f"judge={classifier}", "step=all",
                          "num_images=5")
    )  # fmt: skip
    assert text.count("class_accuracy/brick") == 2
    reports = sorted((gan / "evaluation").glob("*.json"))
    assert [json.loads(path.read_text())["step"] for path in reports] == [2, 4]
    protocol = json.loads(reports[0].read_text())["protocol"]
    assert [path.name for path in reports] == [
        f"step_{step:08d}_{protocol}.json" for step in (2, 4)
    ]
    page = reports[0].with_suffix(".md").read_text()
    assert f"![What was measured]({reports[0].stem}.png)" in page
    assert reports[0].with_suffix(".png").is_file()
    steps = [
        (event.step, value.tag)
        for path in (gan / "tensorboard" / f"evaluation_{protocol}").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert {step for step, tag in steps if tag == "evaluation_generated/class_accuracy"} == {2, 4}
    shutil.rmtree(gan / "evaluation")
    shutil.rmtree(run.folder.checkpoints / "step_00000004")


def test_raw_weights_where_asked_for(classifier, tmp_path):
    for averaged in (True, False):
        evaluation.evaluate(
            saved_run.compose("evaluate", f"run={classifier}", f"averaged={averaged}",
                              f"out={tmp_path}")
        )  # fmt: skip
    # Of one step, but neither replaces the other.
    reports = [json.loads(path.read_text()) for path in tmp_path.glob("step_00000002_*.json")]
    subjects = [report["passport"]["subject"] for report in reports]
    assert sorted(subject["averaged"] for subject in subjects) == [False, True]
    assert len({subject["weights_sha256"] for subject in subjects}) == 2
    assert len({report["protocol"] for report in reports}) == 2


def test_a_place_without_room_for_reports_is_said_before_the_measurement(classifier, tmp_path):
    (tmp_path / "file").touch()
    message = "reports can be written to. Received: .*file, File exists. Choose another: out=DIR"
    with pytest.raises(ValueError, match=message):
        evaluated.evaluated(tmp_path / "file", f"run={classifier}")


# --- What does not go together ----------------------------------------------------------------


def changed(folder, target, *, names=None, image_size=None):
    """A copy of a run with other class names or another image size."""
    shutil.copytree(folder, target)
    if names:
        (target / "image_class_names.json").write_text(json.dumps(names))
    if image_size:
        config = OmegaConf.load(target / ".hydra" / "config.yaml")
        config.data.image_size = image_size
        OmegaConf.save(config, target / ".hydra" / "config.yaml")
    return target


def test_runs_that_do_not_go_together_are_both_named(gan, classifier, tmp_path):
    other = changed(classifier, tmp_path / "size", image_size=[16, 16])
    with pytest.raises(ValueError, match=r"gan\d*/run with 32, 32; .*size with 16, 16"):
        evaluated.evaluated(tmp_path, f"run={gan}", f"judge={other}")
    other = changed(classifier, tmp_path / "order", names=NAMES[::-1])
    with pytest.raises(ValueError, match="gan.*run with brick, haussmann.*order with timber, st"):
        evaluated.evaluated(tmp_path, f"run={gan}", f"judge={other}")
    with pytest.raises(ValueError, match="order: timber, stucco.*data with 5: brick"):
        evaluated.evaluated(tmp_path, f"run={other}")
    with pytest.raises(
        ValueError,
        match="a classification run to judge.*judge=.*gan.*, a class-conditional run. Tr",
    ):
        evaluated.evaluated(tmp_path, f"run={gan}", f"judge={gan}")


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (["num_images=0"], ValueError, "integer >= 1. Received: num_images=0"),
        (["seed=-1"], ValueError, "integer >= 0. Received: seed=-1"),
        (["batch_size=1.5"], ValueError, "Received: batch_size=1.5"),
        (["averaged=no"], ValueError, "true or false. Received: averaged=no"),
        (["image_size=64"], ValueError, "\\[height, width\\].*Received: image_size=64"),
        (["image_size=[64]"], ValueError, "Received: image_size=\\[64\\]"),
        (["image_size=[64,0]"], ValueError, "integers. Received: image_size=\\[64, 0\\]"),
        (["repeats=2"], ValueError, "repeats=1: .*classifier run, gives the same.*repeats=2"),
        (["split=test"], KeyError, "no split 'test'"),
        (["step=7"], ValueError, "one of the steps \\[2\\]. Received: step=7"),
        (["run=nowhere"], FileNotFoundError, "Received: 'nowhere', no folder"),
        (["run=null"], ValueError, "run=RUN, or two folders.*Received: run=None, real=None"),
        (["real=a", "fake=b"], ValueError, "Expected run=RUN, or two folders"),
        (["run=null", "real=a"], ValueError, "Received: run=None, real=a, fake=None"),
        (["run=null", "real=a", "fake=b", "step=3"], ValueError, "two folders reads.*step="),
        (["image_size=[8,8]"], ValueError, "evaluation of a run reads.*Received: image_size="),
        (["holes=center"], ValueError, "inpainting run only. Received.*classifier run. Leave it"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(classifier, tmp_path, settings, kind, message):
    with pytest.raises(kind, match=message):
        evaluated.evaluated(tmp_path, f"run={classifier}", *settings)


def test_every_class_has_an_image(gan, tmp_path):
    with pytest.raises(ValueError, match="each of the 5 classes. Received: num_images=4"):
        evaluated.evaluated(tmp_path, f"run={gan}", "judge=any", "num_images=4")


def test_a_classifier_is_not_sampled(classifier):
    with pytest.raises(ValueError, match="SupervisedTask.*scripts/evaluate.py run="):
        sampling.sample(saved_run.compose("sample", f"run={classifier}"))


def test_the_command_takes_its_settings():
    settings = ("run=some", "judge=other", "split=train")  # groups of train.py are no settings
    done = tiny.command("scripts/evaluate.py", "--cfg", "job", *settings)
    assert done.returncode == 0, done.stderr
    assert set(settings) < set(done.stdout.replace(": ", "=").splitlines())
    assert tiny.command("scripts/evaluate.py", "--help").returncode == 0
