"""Trainings of equal CPU time: when they stop, what is measured, the table."""

import pytest
from hydra import compose, initialize_config_dir

from scripts.benchmarking import commands, quality
from tests.helpers import saved_run, tiny
from training.runs import checkpoint

CONFIGS = str(tiny.ROOT / "configs")


def config(*overrides):
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose("benchmark", ["command=quality", *map(str, overrides)])


def test_the_table_has_a_row_for_each_variant(tmp_path):
    arms = [quality.Arm(name, seed, tmp_path, []) for name in "ab" for seed in (0, 1)]
    found = [{"steps": 10, "x": 1.0}, {"steps": 20, "x": 2.0}, {"steps": 5}, {"steps": 5, "x": 3.0}]
    assert quality.table(arms, found) == [
        ["variant", "steps", "x"], ["a", "15 ± 7.1", "1.5 ± 0.71"], ["b", "5 ± 0", "3"],
    ]  # fmt: skip


def test_settings_of_other_commands_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cpu_seconds must be an integer >= 1"):
        commands.check_settings(config("cpu_seconds=0"), ["cpu_seconds=0"])
    assert commands.check_settings(config(), ["experiment=spade_synthetic", "jobs=1"]) == [
        "experiment=spade_synthetic"
    ]


@pytest.mark.slow
def test_variants_are_trained_for_equal_cpu_time_and_measured(tmp_path, capsys):
    data = tiny.write_data(tmp_path / "data")
    judge = saved_run.saved(
        tmp_path / "judge", *tiny.SEGMENTER_OVERRIDES, *tiny.data_overrides(data)
    )
    given = [*tiny.OVERRIDES, *tiny.data_overrides(data), "trainer.steps=100000", "evaluation=null"]
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        settings = compose("benchmark", [
            "command=quality", "cpu_seconds=25", f"out={tmp_path / 'out'}", "jobs=2",
            'compare=["trainer.steps=3"]', f'evaluate=["judge={judge}"]', *given,
        ])  # fmt: skip
        commands.run(settings, given)
    said = capsys.readouterr().out
    assert "mean_iou" in said and "mean_iou, real" in said and "trainer.steps=3" in said
    assert "trainer.steps=3" in (tmp_path / "out" / "quality.md").read_text()
    out_of_time, short = (
        checkpoint.CheckpointStore(tmp_path / "out" / name / "checkpoints").steps()
        for name in ("0_seed_0", "1_seed_0")
    )
    assert short == [3] and 3 < out_of_time[-1] < 100000


@pytest.mark.slow
def test_a_training_that_fails_is_named(tmp_path):
    given = ["experiment=spade_facades_small", f"data.root={tmp_path / 'missing'}"]
    with (
        initialize_config_dir(CONFIGS, version_base="1.3"),
        pytest.raises(ValueError, match="exit code 1 .*missing"),
    ):
        commands.run(
            compose("benchmark", ["command=quality", f"out={tmp_path / 'out'}", *given]), given
        )
