"""Brings label maps into the form that trains fastest; checks and shows data before training."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.command import errors, overrides
from training.loop import tensorflow_import

COMMANDS = ("convert", "check", "preview")


def with_command(arguments: list[str]) -> list[str]:
    """The arguments as Hydra understands them: the command as an override."""
    example = "python scripts/prepare_dataset.py check root=datasets/mine"
    return overrides.with_command(arguments, COMMANDS, example)


def main(config: DictConfig) -> None:
    if config.command not in COMMANDS:
        raise ValueError(
            f"Expected command={' or '.join(COMMANDS)}. Received: command={config.command!r}"
        )
    tensorflow_import.load_tensorflow()
    from scripts.preparing import commands

    commands.run(config)


def start() -> None:
    sys.argv[1:] = with_command(sys.argv[1:])
    # The preview is composed of the groups of train.py, unlike the others.
    name = "preview" if "command=preview" in sys.argv else "prepare_dataset"
    hydra.main(version_base="1.3", config_path="../configs", config_name=name)(main)()


if __name__ == "__main__":
    errors.run(start)
