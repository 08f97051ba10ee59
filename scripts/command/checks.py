"""Checks of settings that several commands have."""

from omegaconf import DictConfig


def check_whole_numbers(config: DictConfig | dict, *, optional: str = "", **least: int) -> None:
    """Raises ValueError for a setting that is no whole number or below its least.

    Args:
        config: of the command.
        optional: a setting that may be null.
        least: of each setting.
    """
    for name, low in least.items():
        value = config[name]
        if value is None and name == optional:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ValueError(f"{name} must be an integer >= {low}. Received: {name}={value}")
