"""Measures the train step of any training config, the input pipeline, and attention layers."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.benchmarking import commands, variants
from scripts.command import errors, overrides
from training.runs import starting


def with_command(arguments: list[str]) -> list[str]:
    """The arguments as Hydra understands them: command as an override, variants quoted."""
    arguments = [variants.quoted_compare(text) for text in arguments]
    example = "python scripts/benchmark.py step devices.precision=mixed_bfloat16"
    return overrides.with_command(arguments, tuple(commands.NUMBERS), example)


@hydra.main(version_base="1.3", config_path="../configs", config_name="benchmark")
def main(config: DictConfig) -> None:
    commands.run(config, starting.task_overrides())


def start() -> None:
    sys.argv[1:] = with_command(sys.argv[1:])
    main()


if __name__ == "__main__":
    errors.run(start)
