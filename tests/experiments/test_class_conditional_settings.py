"""Settings of the class-conditional networks as the command line takes them."""

import hydra
import pytest
from omegaconf import OmegaConf

from data.sources import class_folders
from models.layers import batch_normalization, pixel_normalization
from tests.helpers import tiny
from training.kinds import noise

EMBEDDING = (
    "generator.embedding={_target_: models.layers.class_embedding.ClassEmbedding, "
    "num_classes: ${generator.num_classes}, units: 4}"
)
NORMALIZERS = {
    "batch_normalization.PlainBatchNormalization": batch_normalization.PlainBatchNormalization,
    "pixel_normalization.PixelNormalization": pixel_normalization.PixelNormalization,
}


def generator(*overrides):
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        config = hydra.compose(
            "train",
            ["experiment=class_synthetic", *tiny.CLASS_OVERRIDES, "generator.num_classes=3",
             *overrides],
        )  # fmt: skip
    return hydra.utils.instantiate(config.generator, _convert_="all")


@pytest.mark.parametrize("name", NORMALIZERS)
def test_the_normalisation_of_the_blocks_is_chosen_by_its_target(name):
    network = generator(EMBEDDING, f"generator.normalizer={{_target_: models.layers.{name}}}")
    assert isinstance(network.normalizer, NORMALIZERS[name])
    network.build({"label": (None,), "noise": (None, 8), "seed": (None, 2)})


def test_each_class_has_its_own_scale_and_shift_by_default():
    normalizer = generator().normalizer
    assert isinstance(normalizer, batch_normalization.ConditionalBatchNormalization)
    assert (normalizer.num_classes, normalizer.momentum, normalizer.epsilon) == (3, 0.9, 1e-5)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_something_must_read_the_class(name):
    with pytest.raises(hydra.errors.InstantiationException) as caught:
        generator(f"generator.normalizer={{_target_: models.layers.{name}}}")
    assert "Expected something that reads the class" in str(caught.value.__cause__)


def test_a_class_that_is_listed_twice_is_named(tmp_path):
    for name in ("cat", "dog"):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        (folder / "a.png").touch()
    source = class_folders.ClassFolders(tmp_path, class_order=["cat", "dog", "cat"])
    with pytest.raises(ValueError, match=r"Received: 2 folders.*listed twice: \['cat'\]"):
        source.image_class_names  # noqa: B018


def test_a_misspelt_target_is_named_with_its_key(tmp_path):
    target = "losses.differentiable_augmentation.Augmentation"
    done = tiny.command(
        "train.py",
        "experiment=class_synthetic",
        f"task.objective.augment={{_target_: {target}}}",
        f"output_root={tmp_path}",
    )
    assert f"Received: task.objective.augment._target_={target}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("truncation", "abc"),
        ("per_class", "x"),
        ("per_class", 1.5),
        ("steps", None),
        ("seed", True),
    ],
)
def test_numbers_of_sampling_are_numbers(name, value):
    config = OmegaConf.load(tiny.ROOT / "configs" / "sample.yaml")
    settings = {key: config[key] for key in ("per_class", "steps", "seed", "truncation")}
    noise.check_numbers(**settings)
    with pytest.raises(ValueError, match=f"Expected a number. Received: {name}={value!r}"):
        noise.check_numbers(**settings | {name: value})
