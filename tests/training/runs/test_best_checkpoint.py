"""The best checkpoint: what is better, what a kill leaves, and how a run finds it again."""

import json
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

import train
from tests.experiments import test_segmenter_runs
from tests.helpers import saved_run, saved_variables, tiny
from tests.training.loop import test_trainer
from training.loop import failures
from training.runs import best, checkpoint, checkpoint_files, run_config, run_folder, trained_run

METRIC = "eval/mean_iou"
EXPERIMENTS = run_config.CONFIGS / "experiment"


def owners(value):
    class Owner:
        variables = [tf.Variable(float(value))]

    return {"task": Owner}


def offered(kept, *figures, first=1):
    """Whether each of the figures, at steps 1, 2, ..., became the best."""
    return [
        kept.offer(step, {METRIC: figure, "eval/other": -figure}, owners(step))
        for step, figure in enumerate(figures, first)
    ]


def value_kept(kept):
    state = owners(0)
    assert kept.store.restore(state) == kept.step()
    return float(state["task"].variables[0].numpy())


@pytest.mark.parametrize(
    ("best_is", "figures", "expected", "step"),
    [
        ("highest", [0.2, 0.2, 0.1, 0.3, 0.3], [True, False, False, True, False], 4),
        ("lowest", [0.2, 0.2, 0.1, 0.3, 0.1], [True, False, True, False, False], 3),
        ("highest", [np.nan, 0.0, np.nan], [False, True, False], 2),
        ("lowest", [-1.0, np.inf], [True, False], 1),
    ],
)
def test_the_best_is_kept_and_equal_is_not_better(tmp_path, best_is, figures, expected, step):
    kept = best.BestCheckpoint(tmp_path, METRIC, best_is=best_is)
    assert kept.step() is None
    assert offered(kept, *figures) == expected
    assert kept.store.steps() == [step] and value_kept(kept) == step
    assert kept.store.figures(step) == {METRIC: figures[step - 1], "eval/other": -figures[step - 1]}


def test_what_lies_there_is_what_counts(tmp_path):
    offered(best.BestCheckpoint(tmp_path, METRIC), 0.1, 0.7)
    again = best.BestCheckpoint(tmp_path, METRIC)
    assert offered(again, 0.1, 0.7, 0.6, 0.7) == [False] * 4
    assert again.step() == 2
    assert offered(again, 0.71, first=1) == [True]  # an evaluation between those of before
    assert again.store.steps() == [1]


def test_another_figure_goes_on_from_the_one_beside_the_weights(tmp_path):
    offered(best.BestCheckpoint(tmp_path, METRIC), 0.1, 0.7)
    other = best.BestCheckpoint(tmp_path, "eval/other", best_is="lowest")
    assert offered(other, 0.7, 0.71, first=3) == [False, True]
    unknown = best.BestCheckpoint(tmp_path, "eval/new")
    assert unknown.offer(9, {"eval/new": -5.0}, owners(9))
    assert unknown.store.steps() == [9]


def test_the_same_step_again_is_the_same_state(tmp_path):
    """Replacing it would leave a moment without any; devices may round otherwise."""
    kept = best.BestCheckpoint(tmp_path, METRIC)
    offered(kept, 0.5)
    assert not kept.offer(1, {METRIC: 0.5000001}, owners(7))
    assert value_kept(kept) == 1


def test_a_kill_before_the_old_best_goes_leaves_the_new_one_best(tmp_path):
    kept = best.BestCheckpoint(tmp_path, METRIC)
    offered(kept, 0.5)
    shutil.copytree(kept.store.path(1), tmp_path / "old")
    offered(kept, 0.6, first=2)
    (tmp_path / "old").rename(kept.store.path(1))
    assert kept.store.steps() == [1, 2] and kept.step() == 2
    offered(kept, 0.55, first=3)
    assert kept.store.steps() == [2]


def test_a_kill_while_the_new_best_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    kept = best.BestCheckpoint(tmp_path, METRIC)
    offered(kept, 0.5)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_replace_folder", killed)
    with pytest.raises(KeyboardInterrupt):
        offered(kept, 0.6, first=2)
    assert kept.step() == 1 and value_kept(kept) == 1
    monkeypatch.undo()
    assert offered(kept, 0.6, first=2) == [True]
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000002"]


def test_a_damaged_best_gives_way(tmp_path):
    kept = best.BestCheckpoint(tmp_path, METRIC)
    offered(kept, 0.5)
    (kept.store.path(1) / checkpoint_files.MANIFEST).write_text('{"figures": {')
    assert offered(kept, 0.1, first=2) == [True]


def test_a_figure_that_there_is_not_is_named_with_those_there_are(tmp_path):
    kept = best.BestCheckpoint(tmp_path, "eval/mean_uio")
    message = "best_metric=eval/mean_uio. Did you mean 'eval/mean_iou'. It gives: eval/mean_iou, e"
    with pytest.raises(ValueError, match=message):
        offered(kept, 0.5)
    with pytest.raises(ValueError, match="Received: best_metric=accuracy. It gives: eval/psnr."):
        best.BestCheckpoint(tmp_path, "accuracy").check(["eval/psnr"])
    with pytest.raises(ValueError, match="highest or lowest. Received: best_is=largest"):
        best.BestCheckpoint(tmp_path, METRIC, best_is="largest")


def test_patience_ends_once(tmp_path):
    kept = best.BestCheckpoint(tmp_path, METRIC, patience=2)
    stalled = []
    for step, figure in enumerate([0.1, 0.0, 0.1, 0.0, 0.2, 0.2], 1):
        offered(kept, figure, first=step)
        stalled.append(kept.stalled())
    assert stalled == [False, False, True, False, False, False]
    with pytest.raises(ValueError, match="Received: checkpoints.patience=0"):
        best.BestCheckpoint(tmp_path, METRIC, patience=0)


# --- In the loop ------------------------------------------------------------------------------


def fitted(folder, *, peak, fail_at=-1):
    """A run of 12 steps with a checkpoint each 5 and an evaluation each 2, best at step `peak`."""
    task = test_trainer.FiveLineTask(fail_at=fail_at)
    run = run_folder.RunFolder(folder)

    def evaluate():
        return {METRIC: -abs(float(task.variables[1].numpy()) - peak)}, {}

    return test_trainer.fit(
        folder, task, evaluate=evaluate, best=best.BestCheckpoint(run.best, METRIC),
        evaluate_every_steps=2, log_every_steps=1, steps_per_call=1,
    )  # fmt: skip


def test_the_run_says_when_it_is_no_better_and_draws_its_best(tmp_path, caplog):
    run = run_folder.RunFolder(tmp_path / "run")
    figures = iter([3.0, 2.0, 4.0, 5.0, 6.0, 7.0])
    kept = best.BestCheckpoint(run.best, METRIC, best_is="lowest", patience=3)
    test_trainer.fit(
        run.path, test_trainer.FiveLineTask(), evaluate=lambda: ({METRIC: next(figures)}, {}),
        best=kept, evaluate_every_steps=2, steps_per_call=1, preview_every_steps=0,
    )  # fmt: skip
    assert sorted(path.name for path in run.samples.iterdir()) == [
        f"step_{step:08d}.png"
        for step in (2, 4, 12)  # the best so far, and the end
    ]
    assert caplog.text.count("has not improved in 3 evaluations; it was best at step 4") == 1


def contents(run):
    """Names and bytes of all checkpoint files."""
    files = sorted(path for path in run.checkpoints.rglob("*") if path.is_file())
    return {str(path.relative_to(run.checkpoints)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("peak", "fail_at"), [(2, 1), (2, 4), (4, 4), (6, 7), (8, 9), (12, 7)]
)  # checkpoints at 5, 10 and 12
def test_a_stopped_run_ends_with_the_same_newest_and_best(tmp_path, peak, fail_at):
    """Also where the best came after the checkpoint that the run starts again from."""
    _, whole, _ = fitted(tmp_path / "whole", peak=peak)
    with pytest.raises(failures.NonFiniteMetricError):
        fitted(tmp_path / "cut", peak=peak, fail_at=fail_at)
    _, resumed, _ = fitted(tmp_path / "cut", peak=peak)
    assert contents(resumed) == contents(whole)
    assert [path.name for path in whole.best.iterdir()] == [f"step_{peak:08d}"]


def test_a_best_that_cannot_be_written_does_not_end_the_run(tmp_path, caplog):
    best_folder = run_folder.RunFolder(tmp_path / "run").best
    best_folder.parent.mkdir(parents=True)
    best_folder.write_text("a file in its place")
    store, run, stopped = fitted(tmp_path / "run", peak=12)
    assert stopped == 0 and store.steps() == [5, 10, 12]
    assert "The best state is not kept: The checkpoint of step 2 could not" in caplog.text


# --- In a run ---------------------------------------------------------------------------------


def composed(*overrides):
    return test_segmenter_runs.compose("experiment=segment_synthetic", *overrides)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four steps with an evaluation after each."""
    folder = tmp_path_factory.mktemp("best")
    return test_segmenter_runs.run(
        folder / "run", "experiment=segment_synthetic", *test_segmenter_runs.SMALL,
        *tiny.data_overrides(tiny.write_data(folder / "facades")), "trainer.steps=4",
        "trainer.evaluate_every_steps=1", "trainer.preview_every_steps=0",
        f"checkpoints.best_metric={METRIC}",
    )  # fmt: skip


@pytest.fixture
def as_command(trained):
    """The run as a command finds it, which Hydra has given its config."""
    hydra_folder = trained.config.parent
    hydra_folder.mkdir(exist_ok=True)
    data = tiny.data_overrides(trained.path.parent / "facades")
    config = composed(
        *test_segmenter_runs.SMALL, *data, f"checkpoints.best_metric={METRIC}"
    )  # fmt: skip
    OmegaConf.save(config, trained.config)
    (hydra_folder / "hydra.yaml").write_text("hydra: {runtime: {choices: {}}}")
    return trained.path


def test_a_segmenter_keeps_its_best(trained):
    lines = [json.loads(line) for line in trained.metrics.read_text().splitlines()]
    logged = {line["step"]: line[METRIC] for line in lines if METRIC in line}
    store = checkpoint.CheckpointStore(trained.best)
    (step,) = store.steps()
    assert list(logged) == [1, 2, 3, 4] and logged[step] == max(logged.values())
    assert store.figures(step)[METRIC] == pytest.approx(logged[step], rel=1e-5)


def test_a_command_opens_the_best(trained, as_command):
    (step,) = checkpoint.CheckpointStore(trained.best).steps()
    opened = trained_run.open_run(as_command, step="best")
    assert opened.step == step and trained_run.open_run(as_command).step == 4
    expected = saved_variables.of(trained.best / f"step_{step:08d}")["averaged_network/00000"]
    (network,) = opened.task.generation_state().values()
    np.testing.assert_array_equal(network.variables[0].numpy(), expected)


def test_a_run_without_a_best_says_how_to_get_one(as_command, tmp_path):
    other = shutil.copytree(as_command, tmp_path / "run")
    shutil.rmtree(other / "checkpoints" / "best")
    with pytest.raises(checkpoint.CheckpointError, match="without one.*checkpoints.best_metric="):
        trained_run.open_run(other, step="best")


@pytest.mark.parametrize("wrong", ["last", 1.5, True])
def test_a_step_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=f"the newest, or best. Received: step={wrong}"):
        trained_run.open_run("anywhere", step=wrong)


MEASURED = types.SimpleNamespace(
    generate=lambda batch, seeds: {}, kind=types.SimpleNamespace(classes=None)
)
FOUR_ITEMS = types.SimpleNamespace(num_examples=lambda split: 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("checkpoints.best_metric=eval/iou", "It gives: eval/mean_iou, .*eval/iou/shop"),
        ("evaluation=null", "measures none. Received: best_metric=eval/mean_iou"),
        ("evaluation.metrics.segmentation=null", "measures none. Received: best_metric="),
        ("checkpoints.best_is=top", "highest or lowest. Received: best_is=top"),
    ],
)
def test_wrong_settings_are_named_before_the_first_step(tmp_path, setting, message):
    config = composed(f"checkpoints.best_metric={METRIC}", setting)
    with pytest.raises(ValueError, match=message):
        train.measuring(config, run_folder.RunFolder(tmp_path), None, FOUR_ITEMS)


def test_auto_is_the_signal_where_it_is_measured(tmp_path):
    run, config = run_folder.RunFolder(tmp_path), saved_run.compose("train")
    spec = {"image": tf.TensorSpec([None, 32, 32, 3])}
    _, kept = train.measuring(config, run, MEASURED, FOUR_ITEMS, spec)
    assert (kept.metric, kept.best_is, kept.patience) == (best.SIGNAL, "lowest", 5)
    for words in (["evaluation=null"], tiny.NO_FIGURES):
        assert train.measuring(saved_run.compose("train", *words), run, None, None) == (None, None)
    for experiment in (path.stem for path in sorted(EXPERIMENTS.glob("*.yaml"))):
        config = saved_run.compose("train", f"experiment={experiment}")
        generates = not experiment.startswith(("segment", "classify"))
        assert ("sliced_wasserstein" in config.evaluation.metrics) == generates
        assert ("sliced_wasserstein" in config.evaluation.gap) == generates
        whole = generates and not experiment.startswith("inpaint")
        assert ("discriminator" in config.evaluation.gap) == whole
        assert ("training_neighbours" in config.evaluation.metrics) == whole
        assert config.checkpoints.best_metric == "auto"


def test_what_is_not_asked_for_is_not_there(tmp_path):
    run = run_folder.RunFolder(tmp_path)
    assert train.measuring(composed("evaluation=null"), run, None, None) == (None, None)
    evaluate, kept = train.measuring(composed(), run, MEASURED, None)
    assert callable(evaluate) and kept is None
