"""Runs that start from another run's networks, and layers that keep their weights."""

import json
import re
import shutil

import hydra
import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from tests.helpers import saved_run, tiny, train_command
from training.runs import checkpoint, classes, fine_tuning, run_folder, starting, trained_run
from training.tasks import steps, transfer

OLD = tiny.ROOT / "tests" / "fixtures" / "old_runs"
SMALL = ["trainer.steps=1", "trainer.steps_per_call=1", "summaries.rows=2", "evaluation=null"]
SEMANTIC = ["experiment=spade_synthetic", *tiny.OVERRIDES]
# Five of the twelve classes, in another order and under other names, at another size.
OTHER_CLASSES = [
    "data.encoding.num_classes=5",
    "data.encoding.class_names=[window,wall,door,tree,shop]",
    "data.encoding.class_colors=null",
    "data.encoding.id_map={0:1,1:1,2:0,3:2,4:1,5:1,6:1,7:1,8:1,9:1,10:1,11:4}",
    "data.image_size=[16,24]",
]
NAMED = "start_from_classes={wall: facade, shop: null}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.data_overrides(tiny.write_data(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def source(tmp_path_factory, data):
    """An untrained run of twelve classes, whose averaged weights differ from the raw ones."""
    return saved_run.saved(tmp_path_factory.mktemp("runs") / "source", *SEMANTIC, *data)


def started(config):
    """(task built as train.py builds it, what it took)."""
    data = hydra.utils.instantiate(config.data, _convert_="all")
    classes.fill_counts(config, data.image_class_names)
    source = fine_tuning.open_source(config)
    task = hydra.utils.instantiate(config.task, _convert_="all")
    spec, found = steps.spec_after(data.preprocess, data.element_spec), {}

    def prepare(networks):
        if source is not None:
            maps = fine_tuning.class_maps(source, data, config.start_from_classes)
            found.update(fine_tuning.start(networks, source, spec, maps))
        fine_tuning.freeze(networks, config.get("freeze"), fine_tuning.aliases(config))

    task.build(spec, prepare)
    return task, found


def composed(*words):
    return saved_run.compose("train", *words)


def values(network):
    return {name: v.numpy() for name, v in transfer.variables_by_name(network).items()}


@pytest.mark.slow
def test_a_new_run_takes_what_fits_and_trains_and_resumes(tmp_path, source, data):
    folder = tmp_path / "runs"
    words = [*SEMANTIC, *OTHER_CLASSES, *data, *SMALL, f"output_root={folder}"]
    words += [f"start_from={source}", NAMED, "freeze=[discriminator.first]"]
    assert train_command.train(*words) == 0
    (run,) = (folder / "spade_synthetic").iterdir()
    told = (run / "train.log").read_text()
    written = json.loads((run / "start_from.json").read_text())
    assert (written["run"], written["step"], written["averaged"]) == (str(source), 2, True)
    assert written["classes"] == {"label_map": [
        "window <- window", "wall <- facade", "door <- door", "tree <- nothing", "shop <- nothing"
    ]}  # fmt: skip
    assert written["variables"]["discriminator"]["by_class"] == [
        f"critic_{i}/first/kernel" for i in range(2)
    ]
    for network, report in written["variables"].items():
        assert not report["new"] and not report["dropped"] and report["whole"]
        whole, by_class = len(report["whole"]), len(report["by_class"])
        assert f"  {network}: {whole} variables taken, {by_class} more class by class, 0" in told
    assert "discriminator.first is frozen: 4 variables" in told
    # The frozen layers have moved in no step: rows of classes and the channels of the image.
    old = trained_run.open_run(source, all_networks=True).task.discriminator.critics[0]
    new = trained_run.open_run(run, all_networks=True).task.discriminator.critics[0]
    kernel, before = new.first.kernel.numpy(), old.first.kernel.numpy()
    np.testing.assert_array_equal(kernel[:, :, [0, 1, 2]], before[:, :, [2, 1, 3]])
    np.testing.assert_array_equal(kernel[:, :, 5:], before[:, :, 12:])
    assert not np.array_equal(new.last.kernel, old.last.kernel)
    # It goes on by itself when the other run is gone, with the same layers frozen.
    config = OmegaConf.load(run / ".hydra" / "config.yaml")
    config.start_from = str(tmp_path / "gone")
    OmegaConf.save(config, run / ".hydra" / "config.yaml")
    assert train_command.train(f"resume={run}", "trainer.steps=2") == 0
    again = trained_run.open_run(run, all_networks=True).task.discriminator.critics[0]
    np.testing.assert_array_equal(again.first.kernel, kernel)
    refused = train_command.train(f"resume={run}", "trainer.steps=3", f"start_from={source}")
    assert "start_from" in str(refused) and "may change only" in str(refused)


def test_the_averaged_weights_become_those_of_the_generator_and_its_average(source, data):
    task, found = started(composed(*SEMANTIC, *data, f"start_from={source}", "seed=5"))
    old = values(trained_run.open_run(source).task.generator)
    raw = values(trained_run.open_run(source, averaged=False).task.generator)
    assert any(not np.array_equal(old[name], raw[name]) for name in old)
    state = task.state()
    for owner in ("generator", "averaged_generator"):
        for name, value in values(state[owner]).items():
            np.testing.assert_array_equal(value, old[name])
    assert not found["variables"]["generator"]["by_class"]
    # Neither the optimizers' state nor the step.
    assert int(state["step"].variables[0]) == 0
    assert not any(np.any(v) for v in state["generator_optimizer"].variables if len(v.shape))


def test_a_run_without_averaged_weights_gives_its_raw_ones(tmp_path, data):
    source = saved_run.saved(tmp_path / "run", *SEMANTIC, *data, "task.averaging=null")
    task, found = started(composed(*SEMANTIC, *data, f"start_from={source}", "seed=5"))
    raw = values(trained_run.open_run(source).task.generator)
    assert found["averaged"] is False
    for name, value in values(task.state()["averaged_generator"]).items():
        np.testing.assert_array_equal(value, raw[name])


@pytest.mark.parametrize("kind", ["spade", "style", "class", "inpaint", "segment", "classify"])
def test_runs_of_format_1_give_all_of_their_networks(kind, data):
    """Their checkpoints name variables otherwise; the networks that they build do not."""
    run = run_folder.RunFolder(OLD / kind / "run")
    config, _ = starting.load_run(run)
    root = data[0].partition("=")[2]
    given = {"data.root": root, "start_from": str(run.path), "seed": 9}
    for key, value in (given | {"start_from_step": None, "start_from_classes": None}).items():
        OmegaConf.update(config, key, value)
    task, found = started(config)
    old = trained_run.open_run(run.path, all_networks=True).task
    for name, network in task.networks.items():
        report = found["variables"][name]
        assert report["whole"] and not report["new"] and not report["dropped"]
        before = values(old.networks[name])
        for variable, value in values(network).items():
            np.testing.assert_array_equal(value, before[variable])


def test_the_best_checkpoint_or_a_step(source, data, tmp_path):
    run = run_folder.RunFolder(shutil.copytree(source, tmp_path / "run"))
    words = [*SEMANTIC, *data, f"start_from={run.path}"]
    task, _ = started(composed(*SEMANTIC, *data))
    checkpoint.CheckpointStore(run.checkpoints).save(7, task.state())
    checkpoint.CheckpointStore(run.best).save(5, task.state())
    for asked, expected in (("null", 7), ("2", 2), ("best", 5)):
        assert started(composed(*words, f"start_from_step={asked}"))[1]["step"] == expected


FROM = "start_from=SOURCE"
REFUSED = {
    "other kind": (["start_from=OTHER"], ["segmentation", "semantic", "OTHER"]),
    "no run": (["start_from=/no/such"], ["folder of a training run", "/no/such", "no folder"]),
    "empty": (["start_from="], ["start_from", "''"]),
    "no step": ([FROM, "start_from_step=3"], ["[2]", "step=3"]),
    "no best": ([FROM, "start_from_step=best"], ["step=best", "checkpoints.best_metric"]),
    "step alone": (["start_from_step=3"], ["start_from_step=3", "start_from=RUN"]),
    "classes alone": (["start_from_classes={a: a}"], ["start_from_classes", "start_from=RUN"]),
    "new name": (
        [FROM, "start_from_classes={doors: door}"],
        ["doors: door", "the new run", "Did you mean 'door'?", "window"],
    ),
    "old name": ([FROM, "start_from_classes={door: wall}"], ["'wall'", "SOURCE", "facade"]),
    "list": ([FROM, "start_from_classes=[door]"], ["['door']", "{wall: facade}"]),
    "number": ([FROM, "start_from_classes={door: 3}"], ["{'door': 3}", "{wall: facade}"]),
    "sizes": (
        [FROM, "generator.width=6", "generator.normalizer.hidden=6"],
        ["generator", "no kernel", "SOURCE"],
    ),
    "layer": (
        ["freeze=[discriminator.frist]"],
        ["'discriminator.frist'", "discriminator.critic_0", "generator.block_0"],
    ),
    "network": (["freeze=[critic.first]"], ["'critic.first'", "discriminator.critic_0"]),
    "text": (["freeze=discriminator"], ["freeze=discriminator", "list"]),
    "all": (["freeze=[discriminator]"], ["discriminator", "left to train"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_says_so(source, data, case, request):
    other = request.getfixturevalue("segmenter_run") if case == "other kind" else ""
    words, facts = (
        [text.replace("SOURCE", str(source)).replace("OTHER", str(other)) for text in texts]
        for texts in REFUSED[case]
    )
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        started(composed(*SEMANTIC, *data, *words))
    for fact in facts:
        assert fact in str(error.value)


@pytest.fixture(scope="module")
def segmenter_run(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    return saved_run.saved(folder, *tiny.SEGMENTER_OVERRIDES, *data)


def test_a_segmenter_is_frozen_by_the_name_of_its_config(segmenter_run, data):
    freeze = "freeze=[segmenter.stem,segmenter.stage_0_block_0]"
    words = [*tiny.SEGMENTER_OVERRIDES, *data, f"start_from={segmenter_run}", freeze]
    task, _ = started(composed(*words))
    network, average = task.network, task.state()["averaged_network"]
    frozen = [v.path for v in network.variables if not v.trainable and "kernel" in v.path]
    assert {re.findall("stem|stage_0_block_0", path)[0] for path in frozen} == {
        "stem", "stage_0_block_0"
    }  # fmt: skip
    # Batch statistics of the average: those in frozen layers are not estimated anew.
    statistics = [v for v in average.variables if "moving_mean" in v.path]
    before = [v.numpy() for v in statistics]
    images = keras.random.normal((2, tiny.SIZE, tiny.SIZE, 3), seed=1)
    task.prepare_generation([{"image": images}])
    changed = [not np.array_equal(v, b) for v, b in zip(statistics, before, strict=True)]
    kept = ["stage_0_block_0" in v.path for v in statistics]
    assert any(kept) and changed == [not k for k in kept]
