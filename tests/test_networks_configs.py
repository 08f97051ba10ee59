"""The network configurations: every constructor argument is written out, and they instantiate."""

import inspect
import pathlib

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
FILES = sorted([*FOLDER.glob("generator/*.yaml"), *FOLDER.glob("discriminator/*.yaml")])


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
    config = OmegaConf.load(path)
    for node in nodes(config):
        target = hydra.utils.get_class(node._target_)
        arguments = set(inspect.signature(target).parameters) - {"kwargs"}
        assert set(node) - {"_target_"} == arguments
    network = hydra.utils.instantiate(config, _convert_="all")
    assert isinstance(network.input_keys, tuple)
    type(network).from_config(network.get_config())


def test_defaults_of_the_files_are_those_of_the_constructors():
    for name in ("generator/spade", "discriminator/multiscale_patch"):
        network = hydra.utils.instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"), _convert_="all")
        expected, actual = type(network)().get_config(), network.get_config()
        for config in (expected, actual):
            config.pop("name")
            config.get("normalizer", {"config": {"name": None}})["config"].pop("name")
        assert actual == expected
