"""Samples a run: label maps, classes, noise or photographs in, pictures and a contact sheet out."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.command import errors
from training.loop import tensorflow_import


@hydra.main(version_base="1.3", config_path="../configs", config_name="sample")
def main(config: DictConfig) -> None:
    tensorflow_import.load_tensorflow()
    from scripts.sampling import sampling

    print(sampling.sample(config))


if __name__ == "__main__":
    errors.run(main)
