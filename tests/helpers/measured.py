"""The command benchmark.py within the process of the test, and its printed table."""

import re

import hydra

from scripts import benchmark
from scripts.benchmarking import commands, workers
from training.loop import devices
from training.runs import run_config


def timed_here(variants, timer, rounds, title, **settings):
    """What workers.measure returns, from timers in this process, one after the other."""
    found = []
    for variant in variants:
        devices.set_precision(variant.config.devices.precision)
        built = hydra.utils.get_class(timer)(variant.config, **settings)
        built.prepare()
        found.append(([built.turn(number) for number in range(rounds)], built.facts()))
    return found


def run(monkeypatch, *arguments: str, measure=timed_here) -> None:
    """Prints what `scripts/benchmark.py arguments` prints, with another `workers.measure`."""
    monkeypatch.setattr(workers, "measure", measure)
    words = benchmark.with_command(list(arguments))
    with hydra.initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        commands.run(hydra.compose("benchmark", words), words)


def rows(text):
    """{first cell: other cells} of the printed table, the header first."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line and set(line) == {"-"})
    table = lines[start - 1], *lines[start + 1 : lines.index("", start)]
    cells = [re.split(r"\s{2,}", line.strip()) for line in table]
    return {name: others for name, *others in cells}
