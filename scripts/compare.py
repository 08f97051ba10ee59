"""Puts runs side by side: their configs, training, figures, and pictures of the same inputs."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.command import errors, overrides
from training.loop import tensorflow_import


@hydra.main(version_base="1.3", config_path="../configs", config_name="compare")
def main(config: DictConfig) -> None:
    tensorflow_import.load_tensorflow()
    from scripts.comparing import comparison

    print(comparison.compare(config))


def start() -> None:
    sys.argv[1:] = overrides.with_paths(sys.argv[1:], "runs")
    main()


if __name__ == "__main__":
    errors.run(start)
