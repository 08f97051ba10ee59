"""What a whole training takes, from what a few steps of it took."""

import datetime
from dataclasses import dataclass

from scripts.command import tables
from scripts.preflight.measurement import Measured


@dataclass(frozen=True)
class Forecast:
    """Seconds and bytes of the whole run; of these, by what they go to."""

    seconds: dict[str, float]
    bytes: dict[str, int]

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes.values())


def whole_run(measured: Measured, trainer, keep: int) -> Forecast:
    """Adds up a run.

    Args:
        measured: of the same config.
        trainer: training.loop.trainer.Trainer.
        keep: newest checkpoints that stay; the best one comes to them.
    """
    starts = [*measured.step_seconds, trainer.steps]
    steps = {
        first: max(0, min(end, trainer.steps) - first)
        for first, end in zip(starts[:-1], starts[1:], strict=True)
    }
    saves, sheets, evaluations = (
        events(trainer.steps, every)
        for every in (
            trainer.checkpoint_every_steps,
            trainer.preview_every_steps,
            trainer.evaluate_every_steps,
        )
    )
    prepared = len(saves | sheets | evaluations)
    calls = {
        "averaged weights": (measured.prepare, prepared),
        "checkpoints": (measured.save, len(saves)),
        "sheets": (measured.sheet, len(sheets)),
        "evaluations": (measured.evaluation, len(evaluations)),
    }
    seconds = {
        "start": measured.setup_seconds + measured.compile_seconds,
        "steps": sum(count * measured.step_seconds[first] for first, count in steps.items()),
    }
    seconds |= {name: call.first + count * call.each for name, (call, count) in calls.items()}
    kept = min(keep, len(saves)) + (1 if measured.evaluation.each else 0)
    return Forecast(
        seconds,
        {
            "checkpoints": kept * measured.checkpoint_bytes,
            "sheets and curves": len(sheets) * measured.sheet_bytes,
        },
    )


def events(steps: int, every: int) -> set[int]:
    """Steps at which something is due: at every so many, 0 = never, and at the last."""
    return {*(range(every, steps, every) if every else ()), steps}


def text(name: str, measured: Measured, forecast: Forecast, trainer, images: int) -> str:
    """The report: a line each of networks, memory, speed, time and disk.

    Args:
        name: of the run.
        images: that a step learns from.
    """
    last = list(measured.step_seconds.values())[-1]
    bound = "input-bound" if measured.waiting > 0.1 else "compute-bound"
    parts = ", ".join(
        f"{what} {hours(seconds)}" for what, seconds in forecast.seconds.items() if seconds >= 1.0
    )
    rows = [[network, f"{count:,} parameters"] for network, count in measured.parameters.items()]
    rows += [
        ["memory at most", f"{measured.peak_mib / 1024:.1f} GiB"],
        ["speed", f"{images / last:.3g} images/s, {last:.3g} s a step"],
        ["", f"{bound}: steps wait for data {100 * measured.waiting:.0f} % of the time"],
        ["whole run", f"{hours(forecast.total_seconds)}: {parts}"],
        ["disk", ", ".join(f"{what} {size(n)}" for what, n in forecast.bytes.items())],
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"  {row[0].ljust(width)}  {row[1]}" for row in rows]
    return "\n".join([f"Preflight of {name}: {trainer.steps} steps of {images} images", *lines])


def hours(seconds: float) -> str:
    """h:mm:ss."""
    return str(datetime.timedelta(seconds=round(seconds)))


def size(count: int) -> str:
    """In MB or GB, of 10^6 and 10^9 bytes."""
    return f"{tables.three_digits(count / 1e9)} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
