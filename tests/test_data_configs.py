"""The data configs over real files: they compose, build the pipeline, and their hints work."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from data import batch
from tests import image_files

CONFIGS = Path(__file__).parents[1] / "configs"


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


def test_rectangular_sizes_and_switches(root):
    pipe = build("facades", f"data.root={root}", "data.image_size=[32,48]",
                 "data.resize.load_size=null", "data.augmentations.flip.probability=0",
                 "data.cache.kind=none", "data.labels.mask_in_step=true", "seed=3")  # fmt: skip
    (found,) = pipe.training_dataset(global_batch_size=2).take(1)
    assert found["image"].shape == (2, 32, 48, 3) and "mask" not in found
    assert pipe.seed == 3


def test_own_data_asks_for_the_number_of_classes(root):
    with pytest.raises(Exception, match="num_classes") as error:
        build("paired_folders", f"data.root={root}")
    assert isinstance(error.value.__cause__ or error.value, MissingMandatoryValue)
    pipe = build("paired_folders", f"data.root={root}", "data.labels.num_classes=12")
    pipe.check()
    assert pipe.class_names[0] == "class 0"


def test_the_hints_of_error_messages_are_valid_overrides(root):
    image_files.write_pair(root, "extra", np.full((4, 4), 255))
    own = ("paired_folders", f"data.root={root}")
    with pytest.raises(ValueError, match="data.labels.num_classes=12"):
        build(*own, "data.labels.num_classes=10").check()
    with pytest.raises(ValueError, match="data.labels.ignore_index=255"):
        build(*own, "data.labels.num_classes=12").check()
    build(*own, "data.labels.num_classes=12", "data.labels.ignore_index=255").check()
    mapping = ",".join(f"{value}:{value % 2}" for value in (*range(12), 255))
    two = build(*own, "data.labels.num_classes=2", f"data.labels.id_map={{{mapping}}}")
    assert (two.check().pixels > 0).all()
    build(*own, "data.labels.num_classes=2", "data.labels.palette=[[255,0,0],[0,255,0]]")


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


def test_typos_are_refused():
    with pytest.raises(ConfigCompositionException):
        build("facades", "data.labels.ignore_indx=255")


@pytest.mark.parametrize("path", sorted((CONFIGS / "data").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_key_is_an_argument(path):
    """No node of a data config holds a key that its class would not take."""
    import inspect

    from hydra.utils import get_class

    def visit(node):
        if OmegaConf.is_dict(node):
            if "_target_" in node:
                arguments = inspect.signature(get_class(node._target_)).parameters
                extra = set(map(str, node)) - set(arguments) - {"_target_", "defaults"}
                assert not extra, extra
            for key in node:
                if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(
                    node, key
                ):
                    visit(node[key])

    visit(OmegaConf.load(path))
