"""Class accuracy of runs: the figures counted anew, the report, and what does not go together."""

import json
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from scripts import evaluate, evaluate_classes, evaluation, sample, trained_run
from tests import saved_run, tiny
from training import contact_sheet

NAMES = ["brick", "haussmann", "modern", "stucco", "timber"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.data_overrides(tiny.write_data(tmp_path_factory.mktemp("data") / "facades"))


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


def evaluated(out, **settings):
    """Runs the command's own code; returns the report."""
    path = out / "report.json"
    config = saved_run.compose(
        "evaluate", f"out={path}", *(f"{k}={v}" for k, v in settings.items())
    )
    text = evaluate.evaluate(config)
    assert str(path) in text
    return json.loads(path.read_text()), text


def counted(pairs):
    """Confusion by hand of (true class, class)."""
    confusion = np.zeros([5, 5], int)
    for label, prediction in pairs:
        confusion[label, prediction] += 1
    return confusion.tolist()


def predicted(run, image):
    """The class of one image, by the averaged network itself."""
    (network,) = run.task.generation_state().values()
    logits = network({"image": tf.constant(image[None])}, training=False)["logits"]
    return int(np.argmax(logits.numpy()[0]))


# --- Figures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["validation", "train"])
def test_a_classifier_by_itself(classifier, runs, tmp_path, split):
    report, text = evaluated(tmp_path, run=classifier, split=split, batch_size=4)
    run = runs[1]
    _, items = run.data.examples(split)
    labels, images = items["label"].numpy(), items["image"].numpy()
    expected = [(label, predicted(run, image)) for label, image in zip(labels, images, strict=True)]
    assert len({prediction for _, prediction in expected}) > 1
    assert report["real"]["confusion"] == counted(expected)
    assert report["real"]["count"] == len(expected) == {"validation": 6, "train": 24}[split]
    right = np.mean([label == prediction for label, prediction in expected])
    assert report["real"]["accuracy"] == pytest.approx(right)
    assert report["class_names"] == NAMES and report["chance"] == pytest.approx(0.2)
    assert "generated" not in report and "generator" not in report["passport"]
    assert text.splitlines()[0].split() == ["class", "real", f"({split})", "images"]
    assert text.splitlines()[6].split() == ["all", f"{right:.3f}", str(len(expected))]


def test_a_generator_is_judged_by_the_pixels_of_its_pictures(gan, classifier, runs, tmp_path):
    settings = {"run": gan, "classifier": classifier, "num_images": 12, "seed": 3}
    report, text = evaluated(tmp_path, **settings, batch_size=5)
    run, judge = runs
    seeds = tf.random.stateless_uniform([12], [3, 1], minval=None, maxval=None, dtype=tf.int32)
    expected = []
    for index, seed in enumerate(seeds):
        made = run.task.generate({"label": tf.constant([index % 5])}, seed[None])["image"]
        picture = contact_sheet.to_uint8(made)[0]
        expected.append((index % 5, predicted(judge, picture.astype(np.float32) / 127.5 - 1.0)))
    assert len({prediction for _, prediction in expected}) > 1
    assert report["generated"]["confusion"] == counted(expected)
    assert report["generated"]["count_per_class"] == [3, 3, 2, 2, 2]
    facts = report["passport"]
    assert (facts["n_fake"], facts["n_real"], facts["seed"]) == (12, 6, 3)
    assert facts["split"] == "validation" and facts["versions"]["tensorflow"] == tf.__version__
    assert facts["generator"]["step"] == 2 and facts["classifier"]["step"] == 2
    hashes = {facts[name]["weights_sha256"] for name in ("generator", "classifier")}
    assert len(hashes) == 2 and all(len(text) == 64 for text in hashes)
    assert text.splitlines()[0].split() == ["class", "generated", "images", "real", "(validation)",
                                            "images"]  # fmt: skip
    assert (
        evaluate_classes.measure(
            *runs,
            saved_run.compose(
                "evaluate",
                "run=",
                *(
                    f"{key}={value}"
                    for key, value in {**settings, "batch_size": 5}.items()
                    if key != "run"
                ),
            ),
        )["generated"]["accuracy"]
        == report["generated"]["accuracy"]
    )


def test_every_image_has_noise_of_its_own_and_of_the_seed(runs):
    run, _ = runs

    def images(seed):
        return np.concatenate([i for _, i in evaluate_classes.generated_batches(run, 10, seed, 4)])

    first, other = images(0), images(1)
    assert first.dtype == np.uint8
    assert len({image.tobytes() for image in [*first, *other]}) == 20
    np.testing.assert_array_equal(first, images(0))


def test_the_report_lies_beside_the_run(classifier):
    text = evaluate.evaluate(saved_run.compose("evaluate", f"run={classifier}"))
    path = classifier / "evaluation" / "class_accuracy_step_00000002.json"
    assert path.is_file() and str(path) in text
    shutil.rmtree(path.parent)


# --- What does not go together ----------------------------------------------------------------


def changed(folder, target, *, names=None, image_size=None):
    """A copy of a run that says something else."""
    shutil.copytree(folder, target)
    if names:
        (target / "class_names.json").write_text(json.dumps(names))
    if image_size:
        config = OmegaConf.load(target / ".hydra" / "config.yaml")
        config.data.image_size = image_size
        OmegaConf.save(config, target / ".hydra" / "config.yaml")
    return target


def test_runs_that_do_not_go_together_are_both_named(gan, classifier, runs, tmp_path):
    other = changed(classifier, tmp_path / "size", image_size=[16, 16])
    with pytest.raises(ValueError, match=r"gan\d*/run of \(32, 32\).*size of \(16, 16\)"):
        evaluate_classes.check_pair(runs[0], trained_run.open_run(other))
    other = changed(classifier, tmp_path / "order", names=NAMES[::-1])
    message = "gan.*run with brick, haussmann.*order with timber, stucco"
    with pytest.raises(ValueError, match=message):
        evaluated(tmp_path, run=gan, classifier=other)
    with pytest.raises(ValueError, match="order: timber, stucco.*data with 5: brick"):
        evaluated(tmp_path, run=other)


def test_each_run_has_its_part(gan, classifier, runs, tmp_path):
    with pytest.raises(ValueError, match="run=.*gan.* and no classifier. Add classifier=RUN"):
        evaluated(tmp_path, run=gan)
    with pytest.raises(ValueError, match="a classifier of images. Received: .*of GANTask"):
        evaluate_classes.check_classifier(runs[0])
    with pytest.raises(ValueError, match="run of a generator.*SupervisedTask. Leave classifier"):
        evaluated(tmp_path, run=classifier, classifier=classifier)
    semantic = types.SimpleNamespace(
        folder=types.SimpleNamespace(path="painted"),
        task=types.SimpleNamespace(generator=types.SimpleNamespace(input_keys=("mask",))),
    )
    with pytest.raises(ValueError, match="by class. Received: run=painted.*\\('mask',\\)"):
        evaluate_classes.check_pair(semantic, runs[1])


def test_an_image_for_each_class(runs):
    evaluate_classes.check_num_images(5, NAMES)
    config = saved_run.compose("evaluate", "run=any", "num_images=4")
    with pytest.raises(ValueError, match="each of the 5 classes. Received: num_images=4"):
        evaluate_classes.measure(*runs, config)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"num_images": 0}, ValueError, "integer >= 1. Received: num_images=0"),
        ({"seed": -1}, ValueError, "integer >= 0. Received: seed=-1"),
        ({"batch_size": 1.5}, ValueError, "Received: batch_size=1.5"),
        ({"split": "test"}, KeyError, "no split 'test'"),
        ({"step": 7}, ValueError, "one of the steps \\[2\\]. Received: step=7"),
        ({"run": "nowhere"}, FileNotFoundError, "Received: 'nowhere', no folder"),
    ],
)
def test_settings_that_cannot_be(classifier, tmp_path, settings, kind, message):
    with pytest.raises(kind, match=message):
        evaluated(tmp_path, **{"run": classifier, **settings})


def test_a_classifier_is_not_sampled(classifier):
    with pytest.raises(ValueError, match="SupervisedTask.*scripts/evaluate.py run="):
        sample.sample(saved_run.compose("sample", f"run={classifier}"))


# --- Parts ------------------------------------------------------------------------------------


def owner(*values):
    return {"network": types.SimpleNamespace(variables=[tf.Variable(value) for value in values])}


def test_the_hash_is_that_of_the_values():
    plain = evaluation.weights_hash(owner([1.0, 2.0], [3.0]))
    assert plain == evaluation.weights_hash(owner([1.0, 2.0], [3.0]))
    others = [
        owner([1.0, 2.0], [3.5]), owner([3.0], [1.0, 2.0]), owner([1.0], [2.0, 3.0]),
        owner([[1.0, 2.0]], [3.0]), owner([1, 2], [3]),
    ]  # fmt: skip
    assert len({plain, *(evaluation.weights_hash(other) for other in others)}) == 6


def test_a_report_is_plain_json(tmp_path):
    path = tmp_path / "new" / "report.json"
    evaluation.write_json(path, {"a": np.float64(0.5), "b": np.array([1, 2]), "c": [np.nan, "ä"]})
    assert json.loads(path.read_text()) == {"a": 0.5, "b": [1, 2], "c": [None, "ä"]}
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]


def test_a_class_without_images_has_no_figure():
    result = {"accuracy": 1.0, "count": 2, "accuracy_per_class": [1.0, np.nan]}
    report = {
        "class_names": ["cat", "dog"], "chance": 0.5, "passport": {"split": "test"},
        "real": result | {"count_per_class": [2, 0]},
    }  # fmt: skip
    assert evaluate_classes.table(report).splitlines()[1:3] == [
        "cat          1.000       2", "dog              -       0",
    ]  # fmt: skip


def test_the_command_takes_its_settings():
    settings = ("run=some", "classifier=other", "split=train")  # groups of train.py are no settings
    done = tiny.command("scripts/evaluate.py", "--cfg", "job", *settings)
    assert done.returncode == 0, done.stderr
    assert set(settings) < set(done.stdout.replace(": ", "=").splitlines())
    assert tiny.command("scripts/evaluate.py", "--help").returncode == 0
