"""What a run would take and what speaks against it, before it starts."""

import types

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from data.labels import label_check
from scripts.preflight import advice, forecast, measurement
from tests.helpers import saved_run, tiny
from training.loop import schedules, trainer
from training.tasks import averaging

CALL = measurement.Call(first=5.0, each=2.0)
MEASURED = measurement.Measured(
    parameters={"generator": 1234}, setup_seconds=10.0, compile_seconds=20.0,
    step_seconds={0: 0.5, 40: 1.0}, waiting=0.25, prepare=CALL, save=CALL, sheet=CALL,
    evaluation=CALL, checkpoint_bytes=10**8, sheet_bytes=10**6, peak_mib=2048.0,
)  # fmt: skip
SETTINGS = {"preview_every_steps": 50, "checkpoint_every_steps": 30, "evaluate_every_steps": 0}


def test_a_run_is_the_sum_of_its_parts():
    whole = forecast.whole_run(MEASURED, trainer.Trainer(steps=100, batch_size=8, **SETTINGS), 2)
    assert whole.seconds == {
        "start": 30.0,
        "steps": 40 * 0.5 + 60 * 1.0,
        "averaged weights": 5.0 + 5 * 2.0,  # at 30, 50, 60, 90 and 100
        "checkpoints": 5.0 + 4 * 2.0,
        "sheets": 5.0 + 2 * 2.0,
        "evaluations": 5.0 + 1 * 2.0,
    }
    assert whole.bytes == {"checkpoints": 3 * 10**8, "sheets and curves": 2 * 10**6}
    short = forecast.whole_run(MEASURED, trainer.Trainer(steps=30, batch_size=8, **SETTINGS), 2)
    assert short.seconds["steps"] == 15.0  # it ends before the second phase


def test_the_report_says_what_was_measured():
    loop = trainer.Trainer(steps=100, batch_size=8, **SETTINGS)
    text = forecast.text("mine", MEASURED, forecast.whole_run(MEASURED, loop, 2), loop, 8)
    for words in (
        "Preflight of mine: 100 steps of 8 images", "1,234 parameters", "2.0 GiB", "8 images/s",
        "input-bound: steps wait for data 25 %", "0:02:34: start 0:00:30", "checkpoints 300 MB",
    ):  # fmt: skip
        assert words in text


def task_of(**parts):
    """A task with nothing to complain of, but for these parts."""
    known = {"networks": {}, "averaging": None, "optimizers": {}, "discriminator_steps": 1}
    return types.SimpleNamespace(**known | parts)


def network(*layers):
    built = keras.Sequential([keras.Input([8, 8, 3]), *layers])
    return {"discriminator": built}


def said(found):
    (text,) = found
    return text


def test_batch_statistics_of_one_image():
    with_statistics = task_of(networks=network(keras.layers.BatchNormalization()))
    assert "batch of one image" in said(advice.batch_of_one(with_statistics, 2, 2))
    assert not [*advice.batch_of_one(with_statistics, 4, 2)]
    assert not [*advice.batch_of_one(task_of(networks=network(keras.layers.Conv2D(2, 3))), 1, 1)]


def test_a_critic_without_bound():
    plain = saved_run.compose("train", "experiment=class_synthetic")
    objective = types.SimpleNamespace(discriminator_terms={})
    critic = task_of(networks=network(keras.layers.Conv2D(2, 3)), objective=objective)
    assert "spectral norm" in said(advice.unbounded_critic(plain, critic))
    other = saved_run.compose("train", "experiment=class_synthetic", "loss=least_squares")
    assert not [*advice.unbounded_critic(other, critic)]
    objective.discriminator_terms = {"r1": object()}
    assert not [*advice.unbounded_critic(plain, critic)]


@pytest.mark.parametrize(
    ("words", "count", "warned"),
    [
        ([], 800, True),
        ([], 5000, False),
        (["augment=diffaugment"], 800, False),
        (["regularizer=lecam"], 800, False),
        (["start_from=RUN"], 800, False),
        (["experiment=segment_synthetic"], 800, False),
    ],
)
def test_few_images(words, count, warned):
    assert bool([*advice.few_images(saved_run.compose("train", *words), count)]) == warned


def test_rare_classes_of_pixels_and_of_images():
    names = ("wall", "door", "absent")
    pixels = {"train": np.array([995, 5, 0])}
    report = label_check.LabelReport(names, pixels["train"], 0, 1, pixels_by_split=pixels)
    text = said(advice.rare_classes(report, types.SimpleNamespace(class_names=names)))
    assert "door (0.5 %)" in text and "absent" not in text and "wall" not in text
    records = [types.SimpleNamespace(label=int(i == 0)) for i in range(200)]
    data = types.SimpleNamespace(
        image_class_names=("cat", "dog"), source=types.SimpleNamespace(records=lambda _: records)
    )
    assert "dog (1 of 200)" in said(advice.rare_classes(None, data))


def test_large_weights_and_a_small_evaluation():
    config = OmegaConf.create({"task": {"loss": {"class_weights": [1.0, 25.0]}}})
    assert "door 25" in said(advice.large_weights(config, ("wall", "door")))
    config = saved_run.compose("train", "features=efficientnet_lite0")
    assert "distance of 40 images" in said(advice.small_evaluation(config, 40))
    assert not [*advice.small_evaluation(saved_run.compose("train"), 40)]


@pytest.mark.parametrize(
    ("end_step", "words"), [(50, "near 0 long before"), (100, None), (400, "still falls")]
)
def test_schedules_of_another_length(end_step, words):
    rate = schedules.ConstantThenLinear(1e-3, end_step=end_step)
    task = task_of(optimizers={"generator": keras.optimizers.Adam(rate)})
    found = [*advice.schedules(task, 100)]
    assert (words is None and not found) or words in said(found)


def test_averages_longer_than_the_run():
    slow = task_of(averaging=averaging.WeightAveraging(0.9999))
    text = said(advice.long_average(slow, 1000, 8))
    assert "in 6931 steps" in text and "half_life_images=400" in text
    assert not [*advice.long_average(slow, 100_000, 8)]
    in_images = averaging.WeightAveraging(half_life_images=1e6)
    assert not [*advice.long_average(task_of(averaging=in_images), 1000, 8)]


def test_a_preflight_leaves_no_folder_and_forecasts(tmp_path):
    data = tiny.write_data(tmp_path / "data")
    before = sorted(p for p in data.rglob("*"))
    words = [*tiny.data_overrides(data), *tiny.OVERRIDES, "experiment=spade_synthetic"]
    given = ["preflight=true", f"output_root={tmp_path / 'out'}", *words]
    environment = tiny.environment() | {"TMPDIR": str(tmp_path)}
    done = tiny.command("train.py", *given, env=environment)
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stdout and "Warning: 24 training images are few" in done.stdout
    assert sorted(p for p in data.rglob("*")) == before
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("words", [["-m"], ["resume=auto"], ["hydra.run.dir=x"]])
def test_only_of_a_new_run(words, tmp_path):
    done = tiny.command("train.py", "preflight=true", f"output_root={tmp_path / 'out'}", *words)
    assert done.returncode == 1 and "Expected preflight=true of" in done.stderr
    assert not [*tmp_path.iterdir()]
