"""The commands of benchmark.py and the settings that each reads.

Steps and layers are measured in processes of their own: only `data` imports TensorFlow in this one.
"""

from typing import Any

from omegaconf import DictConfig

from scripts.benchmarking import attention, quality, step
from scripts.command import checks, overrides
from training.loop import tensorflow_import
from training.runs import run_config

NUMBERS = {
    "step": ("rounds", "steps"),
    "data": ("rounds", "image_size", "pairs", "batch_size"),
    "attention": ("rounds", "steps", "channels", "entities", "batch_size"),
    "quality": ("cpu_seconds", "threads", "jobs"),
}
OTHERS = {
    "step": ("command", "compare", "synthetic_batches", "ceiling"),
    "data": ("command", "seconds", "root"),
    "attention": ("command", "sizes", "precision"),
    "quality": ("command", "compare", "seeds", "evaluate", "out"),
}
OF_TRAIN = ("step", "quality")  # they take the settings of train.py
BATCH_SIZES = {"data": 16, "attention": 4}


def run(config: DictConfig, given: list[str]) -> None:
    """Measures what the config asks for and prints the table.

    Args:
        config: configs/benchmark.yaml, composed.
        given: the overrides of the command line.

    Raises:
        ValueError: a setting or a variant that cannot be; it is named.
    """
    if config.command not in NUMBERS:
        raise ValueError(
            f"Expected command={' or '.join(NUMBERS)}. Received: command={config.command!r}"
        )
    if config.batch_size is None:
        config.batch_size = BATCH_SIZES.get(config.command)
    if isinstance(config.sizes, int):
        config.sizes = [config.sizes]
    of_train = check_settings(config, given)
    if config.command == "step":
        step.run(config, of_train)
    elif config.command == "attention":
        attention.run(config)
    elif config.command == "quality":
        quality.run(config, of_train)
    else:
        tensorflow_import.load_tensorflow()
        from scripts.benchmarking import input_pipelines

        input_pipelines.run(config)


def check_settings(config: DictConfig, given: list[str]) -> list[str]:
    """Refuses settings that the command does not read, and numbers that cannot be.

    Returns:
        Those overrides that are of the training config.
    """
    known = {*NUMBERS[config.command], *OTHERS[config.command]}
    ours, of_train = run_config.root_keys("benchmark"), []
    for text in given:
        key = overrides.key_of(text)
        if key not in ours and config.command in OF_TRAIN:
            of_train.append(text)
        elif key not in known:
            raise ValueError(
                f"The command {config.command!r} takes {sorted(known)}"
                + (" and the settings of train.py" if config.command in OF_TRAIN else "")
                + f". Received: {text}"
            )
    least: Any = dict.fromkeys(NUMBERS[config.command], 1)
    checks.check_whole_numbers(config, **least)
    for size in config.sizes or [None]:
        checks.check_whole_numbers({"sizes": size}, sizes=1)
    if type(config.seconds) not in (int, float) or config.seconds <= 0:
        raise ValueError(f"seconds must be a positive number. Received: seconds={config.seconds}")
    return of_train
