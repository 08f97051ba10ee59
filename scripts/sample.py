"""Samples a run: label maps, classes, holes or photographs in, pictures and a contact sheet out."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.command import errors
from scripts.sampling import (
    sample_classes,
    sample_inpainting,
    sample_label_maps,
    sample_segmentation,
)
from training.loop import tensorflow_import
from training.runs import run_config, starting, trained_run

# What a network reads decides what it is sampled from.
SAMPLERS = {
    "mask": sample_label_maps,
    "label": sample_classes,
    "masked_image": sample_inpainting,
    "image": sample_segmentation,
}


@hydra.main(version_base="1.3", config_path="../configs", config_name="sample")
def main(config: DictConfig) -> None:
    tensorflow_import.load_tensorflow()
    print(sample(config))


def sample(config: DictConfig) -> str:
    """Writes the images a config asks for; returns a sentence that says where."""
    from training.runs import run_folder

    check_numbers(config)
    run = trained_run.open_run(
        config.run, step=config.step, data_root=config.data_root, device=config.device
    )
    sampler, key = sampler_of(run)
    refuse_settings_of_others(config, sampler, key)
    out = Path(config.out) if config.out else run_folder.new_run_folder(
        run.folder.samples, starting.now()
    )  # fmt: skip
    try:
        count = sampler.sample(run, config, out)
    finally:
        if not config.out and not any(out.iterdir()):
            out.rmdir()  # Nothing was made: settings or files were refused.
    if sampler is sample_segmentation:
        return sample_segmentation.sentence(run, config, out, count)
    return f"{count} images of step {run.step} in {out}, sheet {out}/sheet.png"


def sampler_of(run):
    """(module that samples the run's network, entry of the batch that the choice rests on).

    Raises:
        ValueError: a classifier, or a generator that reads something else.
    """
    segments = getattr(run.task, "target", None) == "label_map"
    if not hasattr(run.task, "generator") and not segments:
        raise ValueError(
            "Expected a run of a generator, which makes images. Received: "
            f"run={run.folder.path} of {type(run.task).__name__}. What a classifier is worth: "
            f"python scripts/evaluate.py run={run.folder.path}"
        )
    network = run.task.network if segments else run.task.generator
    keys = [key for key in SAMPLERS if key in network.input_keys]
    if not keys:
        raise ValueError(
            f"Expected a run whose network reads one of {tuple(SAMPLERS)}. Received: "
            f"{type(network).__name__}, which reads {network.input_keys}."
        )
    return SAMPLERS[keys[0]], keys[0]


def check_numbers(config) -> None:
    """Raises ValueError for a count, batch size or seed list that cannot be."""
    for name in ("count", "batch_size", "grid_styles"):
        value = config[name]
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be an integer >= 1. Received: {name}={value}")
    seeds = config.seeds
    if seeds is not None and (
        isinstance(seeds, int) or not seeds or not all(isinstance(seed, int) for seed in seeds)
    ):
        raise ValueError(f"seeds must be a list of integers, seeds=[0,1]. Received: seeds={seeds}")


def refuse_settings_of_others(config, sampler, key) -> None:
    """Refuses settings that only other samplers read, rather than to ignore them."""
    defaults = OmegaConf.load(run_config.CONFIGS / "sample.yaml")
    for other in SAMPLERS.values():
        for name in other.SETTINGS:
            if name not in sampler.SETTINGS and config[name] != defaults[name]:
                raise ValueError(
                    f"The network of this run is sampled by {key!r}, with the settings "
                    f"{', '.join(sampler.SETTINGS)}. Received: {name}={config[name]}. Leave it out."
                )


if __name__ == "__main__":
    errors.run(main)
