"""Every shipped experiment composes, trains two tiny steps and leaves what a run leaves."""

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import train
from scripts import run_config
from tests import tiny
from training import run_folder

EXPERIMENTS = sorted(path.stem for path in (tiny.ROOT / "configs" / "experiment").glob("*.yaml"))
# Where an experiment's generator has the settings that tiny.GENERATOR shrinks.
GENERATOR_NODE = {
    "spade_synthetic": "generator",
    "spade_synthetic_style": "generator.generator",
    "spade_facades": "generator",
    "spade_facades_small": "generator",
}
STEPS = [
    "debug=few_steps", "trainer.steps=2", "trainer.batch_size=2", *tiny.DISCRIMINATOR,
    "summaries.rows=2", "summaries.histograms=true", "task.averaging.calibration_batches=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


def compose(*overrides):
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        return hydra.compose("train", list(overrides))


def data_of(experiment, root):
    """The embedded set stands in for photographs that are elsewhere."""
    if "synthetic" in experiment:
        return tiny.data_overrides(root)
    return [f"data.root={root}"]


def run(tmp_path, *overrides):
    config = compose(*overrides, f"output_root={tmp_path}")
    run_config.check_targets(config)
    run_config.check_keys(config, "train")
    folder = run_folder.RunFolder(tmp_path / "run")
    folder.path.mkdir()
    assert train.train(config, folder) == 0
    return folder


def test_every_experiment_has_its_small_form_here():
    assert set(GENERATOR_NODE) == set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_header_says_what_to_expect(experiment):
    text = (tiny.ROOT / "configs" / "experiment" / f"{experiment}.yaml").read_text()
    header = text[: text.index("name:")]
    for word in ("# Command:", "# Hardware:", "# Time:", "# Measured:"):
        assert word in header
    assert "TBD" not in header


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_full_size_networks_are_accepted_by_their_constructors(experiment):
    config = compose(f"experiment={experiment}", "data.root=unused")
    generator = hydra.utils.instantiate(config.generator, _convert_="all")
    discriminator = hydra.utils.instantiate(config.discriminator, _convert_="all")
    assert "mask" in generator.input_keys and "image" in discriminator.input_keys


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_trains(experiment, data_root, tmp_path):
    smaller = [f"{GENERATOR_NODE[experiment]}.{setting}" for setting in tiny.GENERATOR]
    overrides = [f"experiment={experiment}", *smaller, *data_of(experiment, data_root)]
    folder = run(tmp_path, *overrides, *STEPS)
    assert len(list(folder.checkpoints.glob("step_*"))) == 1
    assert len(folder.metrics.read_text().splitlines()) == 2
    assert list(folder.tensorboard.glob("events*"))
    sheet = np.asarray(Image.open(folder.samples / "step_00000002.png"))
    assert sheet.std() > 10


LOSSES = sorted(path.stem for path in (tiny.ROOT / "configs" / "loss").glob("*.yaml"))


@pytest.mark.parametrize(
    "overrides",
    [
        *([f"loss={loss}"] for loss in LOSSES),
        ["task.update_order=g_then_d", "task.discriminator_steps=2", "task.averaging=null"],
        ["devices.precision=mixed_bfloat16"],
        ["devices.precision=mixed_float16"],
        ["trainer.jit_compile=true"],
        ["data.labels.mask_in_step=true", "data.cache.kind=none"],
        ["+loss.discriminator_terms.r1={_target_: losses.gradient_penalty.R1, weight: 10.0}"],
    ],
    ids=lambda overrides: overrides[0].split("=")[0].split(".")[-1] + "_" +
    overrides[0].split("=")[1][:16],
)  # fmt: skip
def test_a_setting_trains(overrides, data_root, tmp_path):
    steps = [text for text in STEPS if "averaging" not in text or "task.averaging=null" not in
             overrides]  # fmt: skip
    folder = run(tmp_path, *tiny.OVERRIDES, *tiny.data_overrides(data_root), *steps, *overrides)
    last = folder.metrics.read_text().splitlines()[-1]
    assert '"g/total"' in last and "nan" not in last


def test_a_perceptual_loss_without_its_weights_says_which_file(data_root, tmp_path):
    with pytest.raises(hydra.errors.InstantiationException) as caught:
        run(
            tmp_path, *tiny.OVERRIDES, *tiny.data_overrides(data_root), *STEPS,
            "perceptual=squeezenet", "perceptual_weights=nowhere.h5",
        )  # fmt: skip
    text = str(caught.value.__cause__)
    assert "nowhere.h5" in text


def test_the_resolved_config_is_readable_again():
    config = compose()
    assert OmegaConf.create(OmegaConf.to_yaml(config, resolve=False)) == config
