"""Weights of the perceptual loss: measured on real images once, and kept by the run."""

import hashlib
import json
import types

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf

import train
from models import feature_networks, feature_weights
from tests.helpers import evaluated, saved_run, tiny, train_command
from training.runs import perceptual_loss, run_config, run_folder, starting

ON = "perceptual=efficientnet_lite0"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"))


def filled(data_root, *words):
    config = saved_run.compose(
        "train", *tiny.PERCEPTUAL_OVERRIDES, *tiny.data_overrides(data_root), *words
    )
    data = hydra.utils.instantiate(config.data, _convert_="all")
    return config, data, perceptual_loss.fill(config, data)


def test_each_map_is_divided_by_its_mean_size(data_root):
    config, data, measured = filled(data_root)
    images = data.examples("train")[1]["image"]
    assert len(images) == 24 < perceptual_loss.NUM_IMAGES
    maps = feature_networks.EfficientNetLite0()(images)
    expected = [1 / np.mean(np.abs(m.numpy().astype(np.float64))) for m in maps]
    np.testing.assert_allclose(config.perceptual.layer_weights, expected, rtol=1e-6)
    assert measured == {
        perceptual_loss.KEY: list(config.perceptual.layer_weights),
        perceptual_loss.HASH: feature_weights.LITE0_SHA256,
    }


@pytest.mark.parametrize(
    "words", [["~perceptual"], ["perceptual.layer_weights=[1,2]", "perceptual.weights_hash=0"]]
)
def test_what_is_given_stays(data_root, words):
    config, _, measured = filled(data_root, *words)
    assert measured == {} and config == filled(data_root, *words)[0]


def test_the_default_of_semantic_and_inpainting_runs_alone():
    has = {}
    for path in sorted((run_config.CONFIGS / "experiment").glob("*.yaml")):
        config = saved_run.compose("train", f"experiment={path.stem}")
        kind = str(config.task.kind._target_).rpartition(".")[2]
        has.setdefault(kind, set()).add(config.perceptual is not None)
        term = OmegaConf.select(config, perceptual_loss.TERM, throw_on_resolution_failure=False)
        assert (term is not None) == (config.perceptual is not None)
    assert {kind for kind, found in has.items() if found == {True}} == {"Semantic", "Inpainting"}
    assert all(len(found) == 1 for found in has.values())


def test_another_word_is_refused(data_root):
    with pytest.raises(ValueError, match="Received: inverse"):
        filled(data_root, "perceptual.layer_weights=inverse")


def test_a_task_without_a_photograph_to_come_near_is_refused():
    config = saved_run.compose("train", "experiment=class_synthetic", ON)
    with pytest.raises(ValueError, match="Perceptual for task=.*ClassConditional"):
        perceptual_loss.fill(config, None)


def test_a_resumed_run_goes_on_with_the_weights_it_has(data_root, tmp_path):
    steps = ["trainer.steps=1", "trainer.steps_per_call=1", "evaluation=null", "summaries.rows=1",
             "task.averaging=null"]  # fmt: skip
    words = [*tiny.PERCEPTUAL_OVERRIDES, *tiny.data_overrides(data_root), *steps]
    folder = run_folder.RunFolder(tmp_path / "run")
    assert train_command.train(*words, f"hydra.run.dir={folder.path}") == 0
    assert json.loads(folder.metrics.read_text().splitlines()[-1])["g/perceptual"] > 0
    config, choices = starting.load_run(folder)
    assert choices["perceptual"] == "efficientnet_lite0"
    expected = filled(data_root)[2][perceptual_loss.KEY]
    resumed = run_config.resumed(config, choices, ["trainer.steps=2"])
    assert perceptual_loss.fill(resumed, None) == {}  # without data: nothing is measured again
    assert resumed.perceptual.layer_weights == expected


def test_a_network_does_not_judge_a_run_that_trains_against_it(data_root, tmp_path):
    config, data, _ = filled(data_root, "features=efficientnet_lite0", "evaluation.num_images=2")
    folder = run_folder.RunFolder(tmp_path)
    with pytest.raises(ValueError, match="flatters the run. Received: features of EfficientNet"):
        train.measuring(config, folder, None, data, data.element_spec)
    config.perceptual.weights_hash = "0" * 64  # of another network
    task = types.SimpleNamespace(generate=None, kind=types.SimpleNamespace(classes=None))
    train.measuring(config, folder, task, data, data.element_spec)


def test_evaluate_refuses_it_too_and_needs_no_file(data_root, tmp_path):
    data = tiny.data_overrides(data_root)
    given = ["perceptual.layer_weights=[1,1,1,1,1]"]
    for name, digest in (("same", feature_weights.LITE0_SHA256), ("other", "0" * 64)):
        words = [*given, f"perceptual.weights_hash='{digest}'", *data]
        saved_run.saved(tmp_path / name, *tiny.PERCEPTUAL_OVERRIDES, *words)
    words = ["features=efficientnet_lite0", "metrics=[kid]", "num_images=4"]
    with pytest.raises(ValueError, match=f"SHA-256 {feature_weights.LITE0_SHA256}"):
        evaluated.evaluated(tmp_path / "out", f"run={tmp_path / 'same'}", *words)
    report, _ = evaluated.evaluated(tmp_path / "out", f"run={tmp_path / 'other'}", *words)
    assert feature_weights.LITE0_SHA256 in json.dumps(report)


def test_an_older_run_is_known_by_its_file(tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"weights")
    node = {"feature_network": {"weights_path": str(tmp_path / "weights.h5")}}
    config = OmegaConf.create({"task": {"objective": {"generator_terms": {"perceptual": node}}}})
    digest = hashlib.sha256(b"weights").hexdigest()
    network = types.SimpleNamespace(name="mine", weights_hash=digest)
    with pytest.raises(ValueError, match=f"features of mine.*{digest}"):
        perceptual_loss.refuse_as_judge(config, network)
    (tmp_path / "weights.h5").unlink()
    perceptual_loss.refuse_as_judge(config, network)
