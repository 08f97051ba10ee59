"""train.py preflight=true."""

from collections.abc import Callable

from omegaconf import DictConfig

from scripts.preflight import advice, forecast, measurement


def run(config: DictConfig, run_folder, measuring: Callable) -> None:
    """Prints what a config would take and what speaks against it.

    Args:
        config: a training config, checked.
        run_folder: RunFolder that is thrown away afterwards; the caches of the data go there too.
        measuring: as train.measuring.
    """
    config.data.cache.folder = str(run_folder.path / "cache")
    measured, timer = measurement.measure(config, run_folder, measuring)
    trainer = timer.trainer
    images = trainer.batch_size * getattr(timer.task, "accumulate_steps", 1)
    whole = forecast.whole_run(measured, trainer, config.checkpoints.keep)
    lines = [f"Warning: {text}" for text in advice.warnings(config, timer, trainer.steps)]
    print(forecast.text(config.name, measured, whole, trainer, images))
    print("\n".join(lines or ["Nothing speaks against it."]), flush=True)
