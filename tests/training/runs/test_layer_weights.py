"""Weights of the perceptual loss: measured on real images once, and kept by the run."""

import json

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf

from models import feature_networks
from tests.helpers import saved_run, tiny, train_command
from training.runs import layer_weights, run_config, run_folder, starting

ON = "perceptual=efficientnet_lite0"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data"))


def filled(data_root, *words):
    config = saved_run.compose(
        "train", *tiny.PERCEPTUAL_OVERRIDES, *tiny.data_overrides(data_root), *words
    )
    data = hydra.utils.instantiate(config.data, _convert_="all")
    return config, data, layer_weights.fill(config, data)


def test_each_map_is_divided_by_its_mean_size(data_root):
    config, data, measured = filled(data_root)
    images = data.examples("train")[1]["image"]
    assert len(images) == 24 < layer_weights.NUM_IMAGES
    maps = feature_networks.EfficientNetLite0()(images)
    expected = [1 / np.mean(np.abs(m.numpy().astype(np.float64))) for m in maps]
    np.testing.assert_allclose(config.perceptual.layer_weights, expected, rtol=1e-6)
    assert measured == {layer_weights.KEY: list(config.perceptual.layer_weights)}


@pytest.mark.parametrize("words", [["~perceptual"], ["perceptual.layer_weights=[1,2]"]])
def test_what_is_given_stays(data_root, words):
    config, _, measured = filled(data_root, *words)
    assert measured == {} and config == filled(data_root, *words)[0]


def test_the_default_of_semantic_and_inpainting_runs_alone():
    has = {}
    for path in sorted((run_config.CONFIGS / "experiment").glob("*.yaml")):
        config = saved_run.compose("train", f"experiment={path.stem}")
        kind = str(config.task.kind._target_).rpartition(".")[2]
        has.setdefault(kind, set()).add(config.perceptual is not None)
        term = OmegaConf.select(config, layer_weights.TERM, throw_on_resolution_failure=False)
        assert (term is not None) == (config.perceptual is not None)
    assert {kind for kind, found in has.items() if found == {True}} == {"Semantic", "Inpainting"}
    assert all(len(found) == 1 for found in has.values())


def test_another_word_is_refused(data_root):
    with pytest.raises(ValueError, match="Received: inverse"):
        filled(data_root, "perceptual.layer_weights=inverse")


def test_a_task_without_a_photograph_to_come_near_is_refused():
    config = saved_run.compose("train", "experiment=class_synthetic", ON)
    with pytest.raises(ValueError, match="Perceptual for task=.*ClassConditional"):
        layer_weights.fill(config, None)


def test_a_resumed_run_goes_on_with_the_weights_it_has(data_root, tmp_path):
    steps = ["trainer.steps=1", "trainer.steps_per_call=1", "evaluation=null", "summaries.rows=1",
             "task.averaging=null"]  # fmt: skip
    words = [*tiny.PERCEPTUAL_OVERRIDES, *tiny.data_overrides(data_root), *steps]
    folder = run_folder.RunFolder(tmp_path / "run")
    assert train_command.train(*words, f"hydra.run.dir={folder.path}") == 0
    assert json.loads(folder.metrics.read_text().splitlines()[-1])["g/perceptual"] > 0
    config, choices = starting.load_run(folder)
    assert choices["perceptual"] == "efficientnet_lite0"
    expected = filled(data_root)[2][layer_weights.KEY]
    resumed = run_config.resumed(config, choices, ["trainer.steps=2"])
    assert layer_weights.fill(resumed, None) == {}  # without data: nothing is measured again
    assert resumed.perceptual.layer_weights == expected
