"""What a run prints: a progress bar on a terminal, a line at each log interval elsewhere."""

import logging
import math
import sys

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger(__name__)


class Console:
    """Progress of a training run.

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
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()
        self._redirect.__exit__(*error)

    def advance(self, steps: int) -> None:
        """Steps done since the last call."""
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
