"""A few real steps, a checkpoint, a sheet and an evaluation of a config, timed."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from omegaconf import DictConfig

from scripts.benchmarking import operations, timers
from training.loop import devices, session
from training.runs import checkpoint
from training.watch import summaries

TURNS = 3
SECONDS = 20.0  # after which a phase has no further turn
REPEATED_SECONDS = 20.0  # what took longer at first, compilation included, is not repeated


@dataclass(frozen=True)
class Call:
    """Seconds of what is done now and then: each time, and what the first takes beyond that."""

    first: float
    each: float


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        parameters: of each network.
        setup_seconds: until the first step: data checked and read, networks built.
        compile_seconds: of all kinds of steps.
        step_seconds: first step of a phase -> seconds of a step from there on.
        waiting: share of a step's time in which it waits for the pipeline, 0 to 1.
        prepare, save, sheet, evaluation: Call; the first makes the averaged weights ready.
        checkpoint_bytes, sheet_bytes: of one.
        peak_mib: memory of the process at most; of the first GPU where there is one.
    """

    parameters: dict[str, int]
    setup_seconds: float
    compile_seconds: float
    step_seconds: dict[int, float]
    waiting: float
    prepare: Call
    save: Call
    sheet: Call
    evaluation: Call
    checkpoint_bytes: int
    sheet_bytes: int
    peak_mib: float


def measure(config: DictConfig, run, measuring: Callable) -> tuple[Measured, timers.StepTimer]:
    """Runs a config for a moment, in a folder that is thrown away.

    Args:
        config: a training config, changed in place as training does.
        run: RunFolder for the checkpoint and the sheet.
        measuring: as train.measuring.

    Raises:
        ValueError, FileNotFoundError: whatever train.py refuses.
    """
    begun = time.perf_counter()
    keras.utils.set_random_seed(config.seed)
    strategy = devices.set_up(**config.devices)
    with strategy.scope():
        timer = timers.StepTimer(config, steps=10, pipeline=True, ceiling=())
        task, data = timer.task, timer.data
        evaluate, _ = measuring(config, run, task, data, timer.spec)
        _, preview_batch = data.examples("validation", config.summaries.rows)
        setup_seconds = time.perf_counter() - begun
        compile_seconds, turns = _steps(timer)
        live = _writing(timer, config, run)
        step = timer.step
        prepare = _call(lambda number: live.prepare(step + number))
        save = _call(lambda number: live.saving.save(number))
        sheet = _call(lambda number: live.preview(live.prepared_at, preview_batch))
        evaluation = Call(0.0, 0.0)
        if evaluate is not None:
            evaluation = _call(lambda _: live.evaluate(live.prepared_at, evaluate))
        live.summary.close()
    waits = [1.0 - turn["constant"] / turn["pipeline"] for of in turns.values() for turn in of]
    return Measured(
        parameters={name: network.count_params() for name, network in task.networks.items()},
        setup_seconds=setup_seconds,
        compile_seconds=compile_seconds,
        step_seconds={
            first: statistics.median(turn["pipeline"] for turn in of) for first, of in turns.items()
        },
        waiting=max(0.0, statistics.median(waits)),
        prepare=prepare,
        save=save,
        sheet=sheet,
        evaluation=evaluation,
        checkpoint_bytes=_bytes(live.saving.store.path(live.saving.store.steps()[-1])),
        sheet_bytes=_bytes(run.samples) + _bytes(run.tensorboard),
        peak_mib=_peak_mib(),
    ), timer


def _steps(timer: timers.StepTimer) -> tuple[float, dict[int, list]]:
    """Seconds of compilation, and turns of each phase by its first step."""
    longest = max(timer.task.intervals, default=1)
    timer.steps = max(timer.steps, longest)
    compile_seconds, turns = 0.0, {}
    for first in sorted(timer.task.phases):
        timer.step = first
        warm = timer.timed("constant", longest + 1)  # one of each kind of steps at least
        begun, turns[first] = time.perf_counter(), [timer.turn(0)]
        compile_seconds += max(0.0, warm - (longest + 1) * turns[first][0]["constant"])
        while len(turns[first]) < TURNS and time.perf_counter() - begun < SECONDS:
            turns[first].append(timer.turn(len(turns[first])))
    return compile_seconds, turns


def _writing(timer, config, run) -> session.Session:
    """A session of the same task that writes into the folder of the run."""
    summary = summaries.Summaries(
        run, kind=timer.task.kind, colorize=timer.data.encoding.colors_of,
        image_class_names=timer.data.image_class_names, histograms=config.summaries.histograms,
    )  # fmt: skip
    summary.start(0)
    return session.Session(
        timer.task, timer.trainer.reader(timer.data),
        checkpoint.CheckpointStore(run.checkpoints, keep=1), summary, timer.data.preprocess,
        seed=timer.trainer.seed, jit_compile=timer.trainer.jit_compile, writes=True,
    )  # fmt: skip


def _call(function: Callable[[int], object]) -> Call:
    """Seconds of a call: of the second, where the first was quick enough for another."""
    seconds = []
    while not seconds or (len(seconds) == 1 and seconds[0] < REPEATED_SECONDS):
        begun = time.perf_counter()
        function(len(seconds))
        seconds.append(time.perf_counter() - begun)
    return Call(first=max(0.0, seconds[0] - seconds[-1]), each=seconds[-1])


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _peak_mib() -> float:
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return operations.peak_mib()
