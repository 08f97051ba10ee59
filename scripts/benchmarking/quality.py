"""A training config and its variants, trained for equal CPU time, then measured."""

import concurrent.futures
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig
from tqdm import tqdm

from scripts.benchmarking import variants
from scripts.command import tables
from training.runs import run_config, starting

ROOT = run_config.CONFIGS.parent
OUT_OF_TIME = 128 + signal.SIGXCPU
# The limit of a process that has none itself: the soft one sends SIGXCPU, and training stops.
LIMITED = 'ulimit -S -t "$0" && exec "$@"'


class Arm(NamedTuple):
    """One training: a variant with a seed."""

    variant: str
    seed: int
    folder: Path
    overrides: list[str]


def run(config: DictConfig, given: list[str]) -> None:
    """Trains and measures each variant with each seed, and prints and writes the table.

    A training that is there already, in `out`, is not repeated.

    Args:
        config: compare, seeds, cpu_seconds, threads, jobs, evaluate, out.
        given: overrides of the training config.

    Raises:
        ValueError: a variant that cannot be composed; a training or an evaluation that fails.
    """
    out = Path(config.out or starting.OUTPUTS / "quality" / starting.now())
    arms = []
    for number, (name, changes) in enumerate(variants.named(config.compare)):
        variants.composed(given, changes)  # what is wrong shows before time is spent
        for seed in config.seeds:
            overrides = [*variants.replaced(given, changes), f"seed={seed}"]
            arms.append(Arm(name, seed, out / f"{number}_seed_{seed}", overrides))
    with concurrent.futures.ThreadPoolExecutor(config.jobs) as pool:
        measured = pool.map(lambda arm: measure(arm, config), arms)
        found = list(tqdm(measured, "Trainings", len(arms), disable=None))
    rows = table(arms, found)
    text = (
        f"{variants.GIVEN}: {' '.join(given)}\n{config.cpu_seconds} CPU seconds, threads: "
        f"{config.threads}, seeds: {list(config.seeds)}; mean ± standard deviation"
    )
    (out / "quality.md").write_text(f"{text}\n\n{tables.markdown(rows)}\n")
    print(f"{text}\n\n{tables.table(rows)}\n\n{out / 'quality.md'}")


def measure(arm: Arm, config: DictConfig) -> dict[str, float]:
    """The figures of an arm: its steps, and what evaluate.py says of the generated images."""
    from scripts.evaluating import reports  # TensorFlow, which takes seconds

    environment = dict(os.environ)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        environment[name] = str(config.threads)
    if not (arm.folder / "checkpoints").is_dir():
        command = ["train.py", *arm.overrides, f"hydra.run.dir={arm.folder}"]
        limited = ["sh", "-c", LIMITED, str(config.cpu_seconds), sys.executable]
        _run([*limited, *command], environment, arm, (0, OUT_OF_TIME))
    command = ["scripts/evaluate.py", f"run={arm.folder}", *config.evaluate]
    _run([sys.executable, *command], environment, arm, (0,))
    found = [reports.read(path) for path in sorted((arm.folder / "evaluation").glob("*.json"))]
    newest: Any = max((report for report in found if report), key=lambda report: report["step"])
    of_real = newest["figures"].get("real", {})
    beside = {f"{name}, real": value for name, value in of_real.items()}
    return {"steps": newest["step"], **newest["figures"]["generated"], **beside}


def _run(command, environment, arm, allowed) -> None:
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode not in allowed:
        lines = done.stderr.strip().splitlines()
        raise ValueError(
            f"Every training and evaluation must succeed. Received: exit code {done.returncode} of "
            f"{' '.join(command[-len(arm.overrides) - 2 :])}: {' '.join(lines[-3:])}"
        )


def table(arms: list[Arm], found: list[dict[str, float]]) -> list[list[str]]:
    """Header and a row for each variant: mean and standard deviation over its seeds."""
    names = list(dict.fromkeys(name for figures in found for name in figures))
    rows = [["variant", *names]]
    for variant in dict.fromkeys(arm.variant for arm in arms):
        of = [figures for arm, figures in zip(arms, found, strict=True) if arm.variant == variant]
        values = [[figures[name] for figures in of if figures.get(name) is not None]
                  for name in names]  # fmt: skip
        rows.append([variant, *(_mean(each) for each in values)])
    return rows


def _mean(values) -> str:
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4g}{spread}"
