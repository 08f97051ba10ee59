"""Measures a run: writes figures beside it, with a passport of what they were measured on."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from scripts import command_line, evaluate_classes, evaluation, trained_run


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    command_line.load_tensorflow()
    print(evaluate(config))


def evaluate(config: DictConfig) -> str:
    """Measures what a config asks for, writes the report, and returns it as text."""
    check_numbers(config)
    run, judge = open_runs(config)
    report = evaluate_classes.evaluate(run, judge, config)
    name = f"{evaluate_classes.NAME}_step_{run.step:08d}.json"
    path = Path(config.out) if config.out else run.folder.evaluation / name
    evaluation.write_json(path, report)
    return f"{evaluate_classes.table(report)}\nStep {run.step}, written to {path}"


def open_runs(config):
    """(run, run of the classifier that judges it); no second one where the first is a classifier.

    Raises:
        ValueError: a generator without a classifier.
    """
    settings = {"device": config.device}
    if config.classifier is None:
        run = trained_run.open_run(
            config.run, step=config.step, data_root=config.data_root, **settings
        )
        if hasattr(run.task, "generator"):
            raise ValueError(
                "Expected the run of a classifier that judges the images of a generator. Received: "
                f"run={config.run} and no classifier. Add classifier=RUN, trained on the same "
                "data, such as by python train.py experiment=classify_synthetic"
            )
        return run, None
    run = trained_run.open_run(config.run, step=config.step, **settings)
    return run, trained_run.open_run(config.classifier, data_root=config.data_root, **settings)


def check_numbers(config) -> None:
    """Raises ValueError for a number that cannot be."""
    for name, least in (("num_images", 1), ("batch_size", 1), ("seed", 0)):
        value = config[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be an integer >= {least}. Received: {name}={value}")


if __name__ == "__main__":
    command_line.run(main)
