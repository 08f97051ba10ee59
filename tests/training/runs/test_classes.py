"""The classes of a run: counted from the data, kept in order, named by users."""

import json
import os

import hydra
import pytest
from omegaconf import OmegaConf

import train
from tests.helpers import tiny
from training.runs import classes, run_folder


@pytest.fixture
def run(tmp_path):
    return run_folder.RunFolder(tmp_path)


def network(**settings):
    return {"_target_": "models.some.Network", **settings}


def config(generator=None, discriminator=None):
    return OmegaConf.create(
        {
            "data": {"source": {"_target_": "data.sources.paired_folders.PairedFolders"}},
            "generator": network(num_classes=generator, twice="${.num_classes}"),
            "discriminator": discriminator or network(width=4),
            "task": {"_target_": "training.tasks.gan.GANTask", "num_classes": None},
        }
    )


def test_the_data_say_how_many_classes_there_are():
    filled = config()
    classes.fill_counts(filled, ["cat", "dog"])
    assert filled.generator.num_classes == filled.generator.twice == 2
    assert filled.discriminator == network(width=4) and filled.task.num_classes is None
    agreed = config(2, network(num_classes=2))
    classes.fill_counts(agreed, ["cat", "dog"])
    assert agreed.discriminator.num_classes == 2


def test_any_network_of_a_config_counts():
    """A run has the networks of its own task; those of another are not there, or null."""
    filled = OmegaConf.create({"image_classifier": network(num_classes=None), "perceptual": None})
    assert classes.networks_with_classes(filled) == ["image_classifier"]
    classes.fill_counts(filled, ["cat", "dog"])
    assert filled.image_classifier.num_classes == 2


def test_another_number_is_refused_with_its_config_line():
    message = "number of classes of the data, 3: a, b, c. Received: discriminator.num_classes=10"
    with pytest.raises(ValueError, match=message):
        classes.fill_counts(config(3, network(num_classes=10)), ["a", "b", "c"])


def test_data_without_classes_are_refused():
    with pytest.raises(
        ValueError,
        match="generator reads or tells the class.*data.sources.paired_folders.PairedFolders",
    ):
        classes.fill_counts(config(), ())


def test_data_without_label_maps_are_refused():
    plain = config(2)
    del plain.generator.num_classes
    plain.segmenter = network(label_map_classes="${data.encoding.num_classes}")
    with pytest.raises(ValueError, match="segmenter tells the class of each pixel.*PairedFolders"):
        classes.fill_counts(plain, ())
    plain.data.encoding = {"num_classes": 5}
    del plain.generator.twice
    classes.fill_counts(plain, ())
    assert plain.segmenter.label_map_classes == 5


def test_the_order_is_written_once_and_compared(run):
    classes.keep(run, ())
    assert classes.saved(run) is None and not list(run.path.iterdir())
    classes.keep(run, ("dog", "älg"))
    assert json.loads(run.image_class_names.read_text()) == classes.saved(run) == ["dog", "älg"]
    assert [path.name for path in run.path.iterdir()] == ["image_class_names.json"]
    classes.keep(run, ("dog", "älg"))
    with pytest.raises(ValueError, match="order: dog, älg.*data with 2: älg, dog; id 0: 'dog' is"):
        classes.keep(run, ("älg", "dog"))
    with pytest.raises(ValueError, match="Expected the 2 classes.*data with 3: dog, älg, cat. "):
        classes.check(run, ("dog", "älg", "cat"))


@pytest.mark.parametrize("text", ["[", "{}", "[1]"])
def test_a_damaged_file_is_named(run, text):
    run.image_class_names.write_text(text)
    with pytest.raises(
        ValueError, match="JSON list.*image_class_names.json. Restore it, or delete it"
    ):
        classes.saved(run)


def test_classes_are_chosen_by_name_or_number():
    names = ["cat", "dog", "7"]
    assert classes.chosen(None, names) == [0, 1, 2]
    assert classes.chosen(["dog", 0], names) == [1, 0]
    assert classes.chosen("cat", names) == [0]
    assert classes.chosen([7, 2, "1"], names) == [2, 2, 1]  # a name counts before a number


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            ["dgo"],
            "numbers 0 to 2.*unknown \\['dgo'\\]. Did you mean 'dog'\\? Known: cat, dog, eel",
        ),
        ([3], "unknown \\['3'\\]"),
        (-1, "unknown \\['-1'\\]"),
        ([], "Received: classes=\\[\\]"),
    ],
)
def test_an_unknown_class_names_the_known_ones(asked, message):
    with pytest.raises(ValueError, match=message):
        classes.chosen(asked, ["cat", "dog", "eel"])


@pytest.mark.slow
def test_a_run_is_not_resumed_with_other_classes(tmp_path):
    root = tiny.write_data(tmp_path / "facades")
    overrides = [
        "experiment=class_synthetic", *tiny.CLASS_OVERRIDES, f"output_root={tmp_path}",
        "data=class_folders", f"data.root={root}", "data.source.photos=photos", "summaries.rows=2",
        "trainer.batch_size=2", "trainer.steps=1", "task.averaging=null",
        "task.discriminator_steps=1",
    ]  # fmt: skip

    def start(*more):
        with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
            composed = hydra.compose("train", [*overrides, *more])
        return train.train(composed, folder)

    folder = run_folder.RunFolder(tmp_path / "run")
    folder.path.mkdir()
    assert start() == 0
    for split in ("train", "validation"):
        (root / "photos" / split / "brick").rename(root / "photos" / split / "zinc")
    with pytest.raises(ValueError, match="started with.*order: brick, .*id 0: 'brick' is now"):
        start("trainer.steps=2")
    with pytest.raises(ValueError, match="generator.num_classes=7. Set it to null"):
        folder.image_class_names.unlink()
        start("trainer.steps=2", "generator.num_classes=7")


def test_a_name_of_a_class_computes_nothing():
    with pytest.raises(ValueError, match="Expected names of classes without.*oc.env:HOME"):
        classes.fill_counts(None, ["a", "${oc.env:HOME}"])


def test_names_of_folders_that_are_no_text_are_kept(run):
    names = ("été", "照片", os.fsdecode(b"\xe9t\xe9"))
    classes.keep(run, names)
    classes.check(run, names)
    assert "照片" in run.image_class_names.read_text()
    assert tuple(json.loads(run.image_class_names.read_text())) == names
