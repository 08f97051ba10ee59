"""The data configs over real files: they compose, build the pipeline, and their hints work."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue
from PIL import Image

from data import batch, pipeline
from data.synthetic import synthetic_facades
from tests.helpers import image_files

CONFIGS = Path(__file__).parents[2] / "configs"


def build(name, *overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(f"data/{name}", overrides=["+seed=0", *overrides])
    return instantiate(config.data, _convert_="all")


@pytest.fixture
def root(tmp_path):
    for index in range(40):
        image_files.write_pair(tmp_path, f"{index:02d}", np.full((40, 50), index % 12))
    return tmp_path


def test_facades(root):
    pipe = build("facades", f"data.root={root}")
    assert pipe.check().pixels.sum() == 40 * 2000
    assert pipe.image_size == (256, 256) and pipe.load_size == (286, 286)
    assert pipe.num_classes == 12 and pipe.class_names[11] == "shop"
    assert pipe.num_examples("train") + pipe.num_examples("validation") == 40
    (found,) = pipe.training_dataset(global_batch_size=2).take(1)
    batch.check_batch(found, required=("image", "mask"), num_classes=12)


def test_synthetic_facades(tmp_path):
    counts = ("data.source.train_count=6", "data.source.validation_count=5")
    pipe = build("synthetic_facades", f"data.root={tmp_path / 'set'}", *counts)
    assert pipe.check().files == 11 and pipe.class_names == synthetic_facades.CLASS_NAMES
    assert pipe.class_colors == synthetic_facades.CLASS_COLORS
    found = next(iter(pipe.training_dataset(global_batch_size=2)))
    batch.check_batch(found, required=("image", "label_map", "mask", "label"), num_classes=12)


def test_rectangular_sizes_and_switches(root):
    pipe = build("facades", f"data.root={root}", "data.image_size=[32,48]",
                 "data.resize.load_size=null", "data.augmentations.flip.probability=0",
                 "data.cache.kind=none", "data.encoding.mask_in_step=true", "seed=3")  # fmt: skip
    (found,) = pipe.training_dataset(global_batch_size=2).take(1)
    assert found["image"].shape == (2, 32, 48, 3) and "mask" not in found
    assert pipe.seed == 3


def test_own_data_asks_for_the_number_of_classes(root):
    with pytest.raises(Exception, match="num_classes") as error:
        build("paired_folders", f"data.root={root}")
    assert isinstance(error.value.__cause__ or error.value, MissingMandatoryValue)
    pipe = build("paired_folders", f"data.root={root}", "data.encoding.num_classes=12")
    pipe.check()
    assert pipe.class_names[0] == "class 0"


def test_the_hints_of_error_messages_are_valid_overrides(root):
    image_files.write_pair(root, "extra", np.full((4, 4), 255))
    own = ("paired_folders", f"data.root={root}")
    with pytest.raises(ValueError, match="data.encoding.num_classes=12"):
        build(*own, "data.encoding.num_classes=10").check()
    with pytest.raises(ValueError, match="data.encoding.ignore_index=255"):
        build(*own, "data.encoding.num_classes=12").check()
    build(*own, "data.encoding.num_classes=12", "data.encoding.ignore_index=255").check()
    mapping = ",".join(f"{value}:{value % 2}" for value in (*range(12), 255))
    two = build(*own, "data.encoding.num_classes=2", f"data.encoding.id_map={{{mapping}}}")
    assert (two.check().pixels > 0).all()
    build(*own, "data.encoding.num_classes=2", "data.encoding.palette=[[255,0,0],[0,255,0]]")


def test_split_rules_are_chosen_by_name(tmp_path):
    image_files.write_folder(tmp_path, {"train": 3, "val": 2}, (8, 8))
    pipe = build("facades", f"data.root={tmp_path}", "data/splits=folders",
                 "data.source.splits.validation=val")  # fmt: skip
    assert pipe.num_examples("validation") == 2
    (tmp_path / "a.txt").write_text("train/000\n")
    (tmp_path / "validation.txt").write_text("val/000\n")
    pipe = build("facades", f"data.root={tmp_path}", "data/splits=lists",
                 "data.source.splits.files={train: a.txt}")  # fmt: skip
    assert pipe.evaluation_names("train") == ["train/000"]


def write_photos(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 30, 3), number, np.uint8)).save(path)


def test_class_folders(tmp_path):
    write_photos(tmp_path, *(f"train/{c}/{i}.png" for c in "ab" for i in range(20)))
    pipe = build("class_folders", f"data.root={tmp_path}")
    assert pipe.check().files == 40 and pipe.image_size == (64, 64)
    assert pipe.image_class_names == ("a", "b") and pipe.num_examples("validation") > 0
    assert set(pipe.element_spec) == {"image", "label"}
    turned = build("class_folders", f"data.root={tmp_path}", "data.source.class_order=[b,a]")
    assert turned.image_class_names == ("b", "a")
    with pytest.raises(ValueError, match="data.source.photos=train"):
        build("class_folders", f"data.root={tmp_path}", "data/splits=hashed").check()
    hint = build("class_folders", f"data.root={tmp_path}", "data/splits=hashed",
                 "data.source.photos=train")  # fmt: skip
    assert hint.image_class_names == ("a", "b")
    (found,) = hint.training_dataset(global_batch_size=2).take(1)
    batch.check_batch(found, required=("image", "label"))


def test_synthetic_classes(tmp_path):
    pipe = build("synthetic_classes", f"data.root={tmp_path / 'set'}", "data.image_size=[32,32]",
                 "data.source.image_size=32", "data.source.train_count=10",
                 "data.source.validation_count=5")  # fmt: skip
    assert pipe.check().files == 15 and len(pipe.image_class_names) == 5
    (found,) = pipe.training_dataset(global_batch_size=2).take(1)
    assert {key: value.shape for key, value in found.items()} == {
        "image": (2, 32, 32, 3), "label": (2,)}  # fmt: skip


@pytest.mark.parametrize("name", ["cifar10", "imagenet2012", "oxford_iiit_pet"])
def test_tfds_names_what_is_missing(tmp_path, name):
    pipe = build(name, f"data.root={tmp_path}")
    with pytest.raises(FileNotFoundError, match=f"not prepared.*{name}.*data.download=true"):
        pipe.check()
    assert not list(tmp_path.iterdir())
    assert build(name, "data.download=true").source.download is True


def test_tfds_asks_for_a_name(tmp_path):
    with pytest.raises(Exception, match="name") as error:
        build("tfds", f"data.root={tmp_path}")
    assert isinstance(error.value.__cause__ or error.value, MissingMandatoryValue)


def test_prepared_tfds_data(tmp_path):
    """Written by tfds, under the names and with the features that the configs expect."""
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
    }
    mask = np.arange(63, dtype=np.uint8).reshape(9, 7, 1) % 3 + 1
    item = {"image": np.zeros((9, 7, 3), np.uint8), "label": 1, "segmentation_mask": mask}
    for name in ("oxford_iiit_pet", "cifar10", "mine"):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name, version="1.0.0", data_dir=tmp_path,
            features=tfds.features.FeaturesDict(features),
            split_datasets={split: [(i, item) for i in range(10)] for split in ("train", "test")},
        )  # fmt: skip
    pets = build("oxford_iiit_pet", f"data.root={tmp_path}")
    assert pets.check().pixels.tolist() == [20 * 21] * 3
    assert pets.num_examples("train") == 18 and pets.num_examples("validation") == 2
    (found,) = pets.training_dataset(global_batch_size=2).take(1)
    batch.check_batch(found, required=("image", "mask", "label"), num_classes=3)
    cifar = build("cifar10", f"data.root={tmp_path}")
    assert cifar.num_examples("train") == 10 and cifar.image_class_names == ("cat", "dog")
    mine = build("tfds", f"data.root={tmp_path}", "data.source.name=mine", "data.seed=1",
                 "data.source.splits={train: 'train[:70%]', validation: test}")  # fmt: skip
    assert mine.num_examples("train") == 7 and mine.num_examples("validation") == 10


def test_typos_are_refused():
    with pytest.raises(ConfigCompositionException):
        build("facades", "data.encoding.ignore_indx=255")


@pytest.mark.parametrize("path", sorted((CONFIGS / "data").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_key_is_an_argument(path):
    """No node of a data config holds a key that its class would not take."""
    import inspect

    from hydra.utils import get_object

    def visit(node):
        if OmegaConf.is_dict(node):
            if "_target_" in node:
                arguments = dict(inspect.signature(get_object(node._target_)).parameters)
                if "settings" in arguments:  # handed on to the pipeline
                    arguments |= inspect.signature(pipeline.ImagePipeline).parameters
                extra = set(map(str, node)) - set(arguments) - {"_target_", "defaults"}
                assert not extra, extra
            for key in node:
                if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(
                    node, key
                ):
                    visit(node[key])

    visit(OmegaConf.load(path))
