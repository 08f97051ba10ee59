"""Real items are read once and images made once; a new metric is a class and a line of YAML."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.images import decoded_cache, decoding
from tests.helpers import evaluated, saved_run, tiny
from training.runs import trained_run

CONDITIONS = {"spade_synthetic": tiny.OVERRIDES, "inpaint_synthetic": tiny.INPAINTING_OVERRIDES,
              "class_synthetic": [*tiny.CLASS_OVERRIDES, "attention=none"],
              "unconditional_synthetic": [*tiny.CLASS_OVERRIDES, "attention=none"]}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A generator of each kind, by the name of its experiment."""
    data = evaluated.data(tmp_path_factory)
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: saved_run.saved(folder / name, f"experiment={name}", *data, *overrides)
        for name, overrides in CONDITIONS.items()
    }


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    made = keras.Sequential([keras.Input((None, None, 3)), keras.layers.AveragePooling2D(8)])
    path = tmp_path_factory.mktemp("network") / "tiny.keras"
    made.save(path)
    return [f"feature_weights={path}", "features=saved", "features.name=Tiny"]


@pytest.fixture
def counts(monkeypatch):
    """{what: how often}: items decoded (nothing is kept of them), images made, by run."""
    found = {"decoded": 0, "made": 0}
    decode, open_run = decoding.Decoder.read, trained_run.open_run

    def counted_decode(self, index):
        def count():
            found["decoded"] += 1

        example = decode(self, index)
        with tf.control_dependencies([tf.py_function(count, [], [])]):
            return {key: tf.identity(value) for key, value in example.items()}

    def counted_run(*args, **settings):
        run = open_run(*args, **settings)

        def generate(batch, seeds):
            found["made"] += 1
            return run.generate(batch, seeds)

        return type(run)(**{**vars(run), "generate": generate})

    monkeypatch.setattr(decoding.Decoder, "read", counted_decode)
    monkeypatch.setattr(decoded_cache.CacheSettings, "choose", lambda *_: "none")
    monkeypatch.setattr(trained_run, "open_run", counted_run)
    return found


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("num_images", [6, pytest.param(5, marks=pytest.mark.slow)])
def test_each_item_is_decoded_once_and_each_batch_made_once(
    runs, features, counts, tmp_path, name, num_images
):
    """Six items in batches of three, with hash, features, and figures of the real ones."""
    settings = [f"run={runs[name]}", *features, "batch_size=3", f"num_images={num_images}"]
    report, _ = evaluated.evaluated(tmp_path, *settings)
    protocol = report["passport"]["protocol"]
    assert (protocol["data"]["n_real"], protocol["n_fake"]) == (6, num_images)
    assert "frechet_distance_tiny" in report["figures"]["generated"]
    assert counts == {"decoded": 6, "made": 2}


def test_a_metric_is_a_class_and_a_line_of_yaml(runs, features, tmp_path):
    lines = [f"+available.{name}={{_target_: tests.helpers.throwaway_metric.{target}}}"
             for name, target in (("shift", "Brightness"), ("colour", "MeanColour"))]  # fmt: skip
    by_class, _ = evaluated.evaluated(
        tmp_path / "a", f"run={runs['class_synthetic']}", *features, *lines, "num_images=11"
    )
    figures = by_class["figures"]["generated"]
    assert figures["labels_of_first_class"] == 3 and np.isfinite(figures["feature_shift"])
    assert "mean_colour" not in figures and "frechet_distance_tiny" in figures
    repaired, _ = evaluated.evaluated(
        tmp_path / "b", f"run={runs['inpaint_synthetic']}", *lines, "metrics=[colour]"
    )
    assert all(set(column) == {"mean_colour"} for column in repaired["figures"].values())
    assert set(repaired["figures"]) > {"generated", "its coarse stage", "harmonic"}
    with pytest.raises(ValueError, match="are image_quality, .*colour. Received: metrics=.shift"):
        evaluated.evaluated(
            tmp_path / "c", f"run={runs['inpaint_synthetic']}", *lines, "metrics=[shift]"
        )


def test_a_kind_that_is_asked_by_nothing_generates_from_seeds(runs, features, counts, tmp_path):
    settings = [f"run={runs['unconditional_synthetic']}", *features, "num_images=7"]
    report, _ = evaluated.evaluated(tmp_path, *settings, "batch_size=3", "repeats=2")
    protocol = report["passport"]["protocol"]
    assert (protocol["kind"], protocol["n_fake"]) == ("unconditional", 7)
    figures = report["figures"]["generated"]
    assert {"kernel_distance_tiny", "precision"} < set(figures)
    assert "intra_frechet_distance_tiny" not in figures
    assert report["std"]["generated"]["kernel_distance_tiny"] > 0  # other seeds, other images
    assert counts == {"decoded": 6, "made": 6}
