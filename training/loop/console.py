"""What a run prints: a progress bar on a terminal, a line at each log interval elsewhere."""

import contextlib
import logging
import math
import os
import sys

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger(__name__)


def say(text: str) -> None:
    """Prints a line; a terminal that is gone, or a full disk behind it, is no error."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (what is left is not tried at exit)


def quiet_log_files() -> None:
    """Makes log files that cannot be written say so once, and try on.

    Python's own way is a traceback for each line.
    """
    said: set[logging.Handler] = set()
    for handler in logging.getLogger().handlers:

        def once(record, handler=handler) -> None:
            if handler not in said:
                said.add(handler)
                with contextlib.suppress(OSError):
                    print(f"The log cannot be written ({handler}): {sys.exception()}. "
                          "Training goes on.", file=sys.stderr)  # fmt: skip

        if isinstance(handler, logging.FileHandler):
            handler.handleError = once  # type: ignore[method-assign]


class Console:
    """Progress of a training run; a terminal that is gone does not end it.

    Args:
        total_steps: steps of the whole run.
        first_step: steps already done by an earlier process.
    """

    def __init__(self, total_steps: int, first_step: int = 0) -> None:
        self.total_steps = total_steps
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            unit="step",
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )
        self._redirect = logging_redirect_tqdm()

    def __enter__(self) -> "Console":
        self._redirect.__enter__()
        quiet_log_files()
        return self

    def __exit__(self, *error) -> None:
        with contextlib.suppress(OSError):
            self._bar.close()
        self._redirect.__exit__(*error)

    def advance(self, steps: int) -> None:
        """Steps done since the last call."""
        with contextlib.suppress(OSError):
            self._bar.update(steps)

    def report(self, step: int, metrics: dict[str, float], seconds_left: float) -> None:
        """Losses, images a second and time left."""
        measured = metrics.get("speed/images_per_second")
        speed = "" if measured is None else f"  {measured:.1f} images/s"
        shown = [n for n in metrics if n.endswith("/total") or n == "accuracy"]
        text = "  ".join(f"{name} {metrics[name]:.3f}" for name in shown)
        left = "" if math.isnan(seconds_left) else f"  {tqdm.format_interval(seconds_left)} left"
        if self._bar.disable:
            log.info(
                "step %d/%d  %s%s%s",
                step, self.total_steps, text, speed, left,
            )  # fmt: skip
        else:
            self._bar.set_postfix_str(f"{text}{speed}", refresh=False)
