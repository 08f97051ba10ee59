"""Measures a run, or a folder of images: figures with a passport of what they were measured on."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.command import errors
from training.loop import tensorflow_import


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    tensorflow_import.load_tensorflow()
    from scripts.evaluating import evaluation

    print(evaluation.evaluate(config))


if __name__ == "__main__":
    errors.run(main)
