"""The network configurations: every constructor argument is written out, and they instantiate."""

import inspect
import pathlib

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

from models.layers import attentive_normalization

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
GROUPS = ("generator", "discriminator", "image_classifier", "segmenter")
FILES = sorted(path for group in GROUPS for path in FOLDER.glob(f"{group}/*.yaml"))


def with_classes(path):
    """The config; a class count that the data would fill in is 10."""
    config = OmegaConf.load(path)
    if "defaults" in config:
        base, _ = config.pop("defaults")
        config = OmegaConf.merge(OmegaConf.load(path.with_name(f"{base}.yaml")), config)
    if "num_classes" in config and config.num_classes != 0:
        assert config.num_classes is None
        config.num_classes = 10
    if "label_map_classes" in config:
        assert config._get_node("label_map_classes")._value() == "${data.encoding.num_classes}"
        config.label_map_classes = 10
    return config


def nodes(config):
    """Yields every mapping with a `_target_`, outermost first."""
    if "_target_" in config:
        yield config
    for key in config:
        child = config[key]
        if isinstance(child, DictConfig):
            yield from nodes(child)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_config_names_every_argument_and_instantiates(path):
    config = with_classes(path)
    for node in nodes(config):
        target = hydra.utils.get_class(node._target_)
        arguments = set(inspect.signature(target).parameters) - {"kwargs"}
        assert set(node) - {"_target_"} == arguments
    network = hydra.utils.instantiate(config, _convert_="all")
    assert isinstance(network.input_keys, tuple)
    type(network).from_config(network.get_config())


def without_names(config):
    """The config of a layer, and of the templates in it, without names of their own."""
    config = {key: value for key, value in config.items() if key != "name"}
    for key in ("normalizer", "attentive_norm", "attention"):
        if config.get(key):
            config[key] = without_names(config[key]["config"])
    return config


def norm(**settings):
    return attentive_normalization.AttentiveNormalization(**settings)


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("generator/spade", {}),
        ("generator/class_conditional", {"num_classes": 10, "attentive_norm_block": 3}),
        ("generator/unconditional", {"num_classes": 0, "attentive_norm_block": 3}),
        ("discriminator/multiscale_patch", {}),
        ("image_classifier/residual", {"num_classes": 10}),
        ("segmenter/deeplab_v3", {"label_map_classes": 10}),
        (
            "segmenter/deeplab_v3_plus",
            {"label_map_classes": 10, "output_stride": 16, "decoder": True},
        ),
        ("discriminator/projection", {"num_classes": 10, "attentive_norm_block": 1}),
        ("discriminator/unconditional", {"num_classes": 0, "attentive_norm_block": 1}),
        (
            "generator/inpainting",
            {"attention": norm(temperature=10.0, affine=False)},
        ),
        ("discriminator/inpainting_critics", {}),
        ("discriminator/inpainting_patch_critics", {}),
        ("discriminator/sn_patch", {}),
    ],
)
def test_defaults_of_the_files_are_those_of_the_constructors(name, required):
    network = hydra.utils.instantiate(with_classes(FOLDER / f"{name}.yaml"), _convert_="all")
    if hasattr(network, "attentive_norm"):
        # A discriminator's features are small: only a large temperature tells its regions apart.
        temperature = 10.0 if name.startswith("discriminator") else 1.0
        required = {**required, "attentive_norm": norm(temperature=temperature)}
    expected = type(network)(**required).get_config()
    assert without_names(network.get_config()) == without_names(expected)
