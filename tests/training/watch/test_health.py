"""Rules on the figures of a run: when they speak, and that they speak of runs made sick."""

import math
import re

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from tests.helpers import tiny, train_command
from training.runs import run_folder
from training.watch import health, summaries

BOUNDS = {"a/x": {"above": 0.9, "until": 0.5}}
CONFIG = tiny.ROOT / "configs" / "health" / "default.yaml"


def rule(figures=BOUNDS, patience=2):
    return health.Rule(figures, says="The {} is ill.", advice="Rest.", patience=patience)


def spoken(watched, values, name="a/x"):
    return [bool(watched.observe({name: value})) for value in values]


def test_a_rule_speaks_when_it_begins_and_when_it_ends():
    watched = rule()
    assert spoken(watched, [1.0, 0.8, 1.0]) == [False] * 3  # not twice in a row
    ((part, text),) = watched.observe({"a/x": 0.95})
    assert part == "" and text == "The  is ill. Rest. (a/x 0.95"
    assert spoken(watched, [0.6, 0.6, 0.4, 0.6, 0.4]) == [False] * 5  # above `until`, or once
    ((_, text),) = watched.observe({"a/x": 0.3})
    assert text == "No longer so: The  is ill. (a/x 0.3"
    assert spoken(watched, [1.0, 1.0, 1.0, 1.0]) == [False, True, False, False]


def test_all_figures_count_and_what_is_not_measured_does_not():
    watched = rule(BOUNDS | {"b": {"below": 1.0}})
    ill, partly = {"a/x": 1.0, "b": 0.0}, {"a/x": 1.0, "b": 2.0}
    assert [bool(watched.observe(v)) for v in (ill, partly, ill)] == [False] * 3
    for unmeasured in ({"a/x": 1.0}, {"a/x": 1.0, "b": math.nan}, {"c": 1.0}):
        assert not watched.observe(unmeasured)
    assert watched.observe(ill)


def test_a_star_has_a_state_for_each_name():
    watched = rule({"ratio/*": {"above": 1.0}, "norm/*": {"above": 0.0}})
    values = {"ratio/d": 2.0, "norm/d": 1.0, "ratio/g": 0.5, "norm/g": 1.0, "ratio/x": 2.0}
    assert not watched.observe(values)
    ((part, text),) = watched.observe(values)
    assert part == "d" and text.startswith("The d is ill.") and "ratio/d 2, norm/d 1" in text
    assert watched.holds == {"d": True, "g": False}


def test_bounds_may_be_multiples_of_the_first_figures():
    watched = rule({"n": {"above": 10.0, "times": True}})
    assert spoken(watched, [4.0, 6.0, 49.0, 51.0, 51.0], "n") == [False] * 4 + [True]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"a": {}}, {"a": {"above": 1.0, "below": 0.0}}, {"a": {"above": 1.0, "unless": 0.0}}],
)
def test_rules_without_a_bound_are_refused(wrong):
    with pytest.raises(ValueError, match="one of above and below.*Received: figures="):
        rule(wrong)
    with pytest.raises(ValueError, match="patience=0"):
        rule(patience=0)


def test_sentences_reach_the_log_and_tensorboard_and_a_resumed_run_does_not_repeat_them(
    tmp_path, caplog
):
    run = run_folder.RunFolder(tmp_path)

    def summary_from(step):
        summary = summaries.Summaries(run, health=health.Health({"ill": rule(), "none": None}))
        summary.start(step)
        return summary

    summary = summary_from(0)
    for step in (1, 2, 3):
        summary.scalars(step, {"a/x": 1.0})
    summary.close()
    assert [r.getMessage() for r in caplog.records] == [
        "step 2: The  is ill. Rest. (a/x 1; health.rules.ill)"
    ]
    written = b"".join(path.read_bytes() for path in run.tensorboard.iterdir())
    assert b"The  is ill. Rest." in written
    caplog.clear()
    summary = summary_from(2)  # where it had begun
    summary.scalars(3, {"a/x": 1.0})
    assert not caplog.records
    summary = summary_from(1)  # where it had not
    summary.scalars(2, {"a/x": 1.0})
    assert len(caplog.records) == 1


def test_movement_is_that_of_the_weights_relative_to_their_size():
    network = keras.Sequential([keras.Input([2]), keras.layers.Dense(1, use_bias=False)])
    network.layers[0].kernel.assign([[3.0], [4.0]])
    frozen = keras.Sequential([keras.Input([2]), keras.layers.Dense(1, trainable=False)])
    movement = health.Movement({"net": network, "frozen": frozen})
    movement.start(10)
    network.layers[0].kernel.assign([[3.0], [2.0]])
    (found,) = [movement.measure(12)]
    assert found == {"update_ratio/net": pytest.approx(2.0 / np.hypot(3, 2) / 2)}
    assert movement.measure(13) == {"update_ratio/net": 0.0}


# --- Runs -------------------------------------------------------------------------------------

SMALL = [
    "attention=none", "data.image_size=[32,32]", "generator.channels=[64,64,32,32]",
    "generator.noise_dim=32", "discriminator.channels=[32,64,64]",
    "discriminator.downsample=[true,true,true]", "trainer.batch_size=16",
    "trainer.log_every_steps=10", "trainer.preview_every_steps=40",
    "trainer.checkpoint_every_steps=1000", "summaries.rows=2", "task.averaging.decay=0.9",
    "task.averaging.calibration_batches=2",
]  # fmt: skip
RATE = "task.optimizers.{}.learning_rate={}"
SICK = {
    "learning rates times 100": (
        [
            "trainer.steps=40",
            "trainer.log_every_steps=5",
            RATE.format("generator", 2e-2),
            RATE.format("discriminator", 4e-2),
        ],
        {"steps_too_large"},
    ),
    "discriminator without updates": (
        ["trainer.steps=80", RATE.format("discriminator", 0.0)],
        {"generator_won", "weights_rest"},
    ),
    "generator without updates": (
        ["trainer.steps=80", RATE.format("generator", 0.0)],
        {"discriminator_won", "weights_rest"},
    ),
    "16 photographs": (
        ["trainer.steps=400", "data.source.train_count=16"],
        {"overfitting"},
    ),
}


def spoken_rules(output_root):
    """Names of the rules that the run spoke of, by its log."""
    (log,) = output_root.glob("*/*/train.log")
    return set(re.findall(r"health\.rules\.(\w+)", log.read_text()))


UNCONDITIONAL = ["experiment=unconditional_synthetic", "task.discriminator_steps=1"]
SICK |= {
    "one image for all noise": (
        [*UNCONDITIONAL, "trainer.steps=80", RATE.format("discriminator", 0.0),
         RATE.format("generator", 2e-3)],
        {"generator_won", "weights_rest", "samples_alike"},
    ),
    "2 photographs": (
        [*UNCONDITIONAL, "trainer.steps=800", "data.source.train_count=2", "trainer.batch_size=2",
         RATE.format("generator", 5e-4), RATE.format("discriminator", 1e-3),
         "data/augmentations=none"],
        {"overfitting", "copies"},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SICK)
def test_a_sick_run_says_what_ails_it(name, tmp_path):
    settings, expected = SICK[name]
    overrides = ["experiment=class_synthetic", *SMALL, *settings, f"output_root={tmp_path / 'out'}"]
    assert train_command.train(*overrides, f"data.root={tmp_path / 'data'}") == 0
    assert spoken_rules(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [
    "spade_synthetic", "spade_synthetic_style", "class_synthetic", "unconditional_synthetic",
    "inpaint_synthetic", "segment_synthetic", "classify_synthetic",
])  # fmt: skip
def test_the_shipped_experiments_are_silent(experiment, tmp_path):
    """From their first steps, as they are, with intervals at which each rule could speak."""
    intervals = [f"trainer.{name}_every_steps=10" for name in ("preview", "evaluate")]
    settings = ["trainer.steps=40", "trainer.log_every_steps=5", *intervals]
    out = f"output_root={tmp_path / 'out'}"
    assert train_command.train(f"experiment={experiment}", *settings, out) == 0
    assert spoken_rules(tmp_path / "out") == set()


@pytest.mark.slow
def test_figures_are_measured_on_two_devices_in_half_precision_with_micro_batches(tmp_path):
    settings = [
        "devices.strategy=mirrored", "devices.logical_cpus=2", "devices.precision=mixed_bfloat16",
        "task.accumulate_steps=2", "trainer.batch_size=8", "trainer.steps=10",
        "trainer.steps_per_call=5", "trainer.on_nonfinite=rollback", f"output_root={tmp_path}",
    ]  # fmt: skip
    done = tiny.command("train.py", "experiment=class_synthetic", *SMALL, *settings)
    assert done.returncode == 0, done.stderr
    (metrics,) = tmp_path.glob("*/*/metrics.jsonl")
    logged, evaluated = run_folder.metrics_lines(metrics)
    for network in ("generator", "discriminator"):
        assert 0 < logged[f"gradient_norm/{network}"] < 1000
        assert 1e-5 < logged[f"update_ratio/{network}"] < 0.01
    assert 0 <= logged["d/accuracy_real"] <= 1 and 0 <= logged["d/accuracy_fake"] <= 1
    for name in ("diversity", "class_diversity", "nearest_training_ratio", "logit_real_train"):
        assert math.isfinite(evaluated[f"eval/{name}"])


def test_metrics_of_the_rules_exist():
    """Names that no run logs would make a rule silent for ever."""
    known = {
        "d/accuracy_real", "d/accuracy_fake", "update_ratio/*", "gradient_norm/*",
        "eval/overfitting", "eval/*diversity", "eval/nearest_training_ratio",
    }  # fmt: skip
    figures = [name for each in OmegaConf.load(CONFIG).rules.values() for name in each.figures]
    assert set(figures) == known
