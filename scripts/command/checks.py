"""Checks of settings that several commands have."""

from collections.abc import Sequence

from omegaconf import DictConfig


def check_whole_numbers(
    config: DictConfig | dict, *, optional: Sequence[str] = (), **least: int
) -> None:
    """Raises ValueError for a setting that is no whole number or below its least.

    Args:
        config: of the command.
        optional: settings that may be null.
        least: of each setting.
    """
    for name, low in least.items():
        value = config[name]
        if value is None and name in optional:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ValueError(f"{name} must be an integer >= {low}. Received: {name}={value}")


def check_averaged(config) -> None:
    """Raises ValueError where `averaged` is neither true nor false."""
    if not isinstance(config.averaged, bool):
        raise ValueError(f"averaged must be true or false. Received: averaged={config.averaged}")
