"""From the settings of a user to files: what a run's kind makes of them, and where it is kept."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scripts.command import checks
from scripts.sampling import grids, photographs
from training.runs import run_config, run_folder, starting, trained_run

# Settings of configs/sample.yaml that runs of all kinds have.
COMMON = ("run", "step", "averaged", "seeds", "layouts", "device", "data_root", "out", "batch_size")


def sample(config: DictConfig) -> str:
    """Writes the images a config asks for; returns a sentence that says where.

    Raises:
        ValueError, FileNotFoundError: settings that cannot be, or that this run or these files do
            not allow.
    """
    check_numbers(config)
    run = trained_run.open_run(
        config.run, step=config.step, data_root=config.data_root, device=config.device,
        averaged=config.averaged,
    )  # fmt: skip
    kind = run.task.kind
    refuse_settings_of_others(config, run)
    if not config.out:
        run.folder.check_writable()
    out = Path(config.out) if config.out else run_folder.new_run_folder(
        run.folder.samples, starting.now()
    )  # fmt: skip
    try:
        return (photographs if "images" in kind.settings else grids).sample(run, config, out)
    finally:
        if not config.out and not any(out.iterdir()):
            out.rmdir()  # Nothing was made: settings or files were refused.


def check_numbers(config: DictConfig) -> None:
    """Raises ValueError for a count, batch size or seed list that cannot be."""
    numbers: Any = dict.fromkeys(("count", "batch_size", "grid_styles"), 1)
    checks.check_whole_numbers(config, optional=list(numbers), **numbers)
    checks.check_averaged(config)
    seeds = config.seeds
    if seeds is not None and (
        isinstance(seeds, int) or not seeds or not all(isinstance(seed, int) for seed in seeds)
    ):
        raise ValueError(f"seeds must be a list of integers, seeds=[0,1]. Received: seeds={seeds}")


def refuse_settings_of_others(config: DictConfig, run) -> None:
    """Refuses runs that are not sampled, and settings that only other kinds read.

    Raises:
        ValueError: which run, which setting.
    """
    kind = run.task.kind
    if kind.settings is None:
        raise ValueError(
            "Expected a run of a generator, which makes images. Received: "
            f"run={run.folder.path} of {type(run.task).__name__}. What a classifier is worth: "
            f"python scripts/evaluate.py run={run.folder.path}"
        )
    defaults = OmegaConf.load(run_config.CONFIGS / "sample.yaml")
    for name in config:
        if name not in (*COMMON, *kind.settings) and config[name] != defaults[name]:
            raise ValueError(
                f"The network of this run is sampled by {kind.condition or 'noise'!r}, with the "
                f"settings {', '.join(kind.settings)}. Received: {name}={config[name]}. Leave it "
                "out."
            )
