"""Measures a run: writes figures beside it, with a passport of what they were measured on."""

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from scripts import (
    command_line,
    evaluate_classes,
    evaluate_inpainting,
    evaluation,
    run_config,
    trained_run,
)

# What the network of a run reads decides what is measured; a classifier reads images alone.
EVALUATIONS = {
    "masked_image": evaluate_inpainting,
    "label": evaluate_classes,
    "image": evaluate_classes,
}


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    command_line.load_tensorflow()
    print(evaluate(config))


def evaluate(config: DictConfig) -> str:
    """Measures what a config asks for, writes the report, and returns it as text.

    Raises:
        ValueError: settings that cannot be or that this run's evaluation does not read; a network
            of which nothing is measured.
    """
    check_numbers(config)
    # With a classifier it is the classifier's data that are read.
    data_root = None if config.classifier else config.data_root
    run = trained_run.open_run(
        config.run, step=config.step, data_root=data_root, device=config.device
    )
    measured = evaluation_of(run)
    refuse_settings_of_others(config, measured)
    config = config.copy()
    for name, value in measured.DEFAULTS.items():
        config[name] = value if config[name] is None else config[name]
    report = measured.evaluate(run, config)
    name = f"{report['metric']}_step_{run.step:08d}.json"
    path = Path(config.out) if config.out else run.folder.evaluation / name
    evaluation.write_json(path, report)
    return f"{measured.table(report)}\nStep {run.step}, written to {path}"


def evaluation_of(run):
    """The module that measures what a run's network makes."""
    (network,) = run.task.generation_state().values()
    keys = [key for key in EVALUATIONS if key in network.input_keys]
    if not keys:
        raise ValueError(
            f"Expected a run whose network reads one of {tuple(EVALUATIONS)}. Received: "
            f"run={run.folder.path} of {type(network).__name__}, which reads "
            f"{tuple(network.input_keys)}. Choose a class-conditional run, an inpainting run or a "
            "classifier."
        )
    return EVALUATIONS[keys[0]]


def check_numbers(config) -> None:
    """Raises ValueError for a number that cannot be."""
    for name, least in (("num_images", 1), ("batch_size", 1), ("seed", 0)):
        value = config[name]
        if value is None and name != "seed":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be an integer >= {least}. Received: {name}={value}")


def refuse_settings_of_others(config, measured) -> None:
    """Refuses settings that only other evaluations read, rather than to ignore them."""
    defaults = OmegaConf.load(run_config.CONFIGS / "evaluate.yaml")
    for other in EVALUATIONS.values():
        for name in set(other.SETTINGS) - set(measured.SETTINGS):
            if OmegaConf.select(config, name) != OmegaConf.select(defaults, name):
                raise ValueError(
                    f"The figures of this run, {measured.NAME}, depend on "
                    f"{', '.join(measured.SETTINGS)}. Received: {name}="
                    f"{OmegaConf.select(config, name)}, which is for {other.NAME}. Leave it out."
                )


if __name__ == "__main__":
    command_line.run(main)
