"""Variants of the train step or of a layer, each built and timed in a process of its own."""

import contextlib
import multiprocessing
import signal
from dataclasses import dataclass

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scripts.benchmarking import benchmark_step
from training.loop import tensorflow_import
from training.runs import run_config

CLOSING_SECONDS = 20


@dataclass(frozen=True)
class Variant:
    """What to measure: for the train step, a training config."""

    name: str
    config: DictConfig


@dataclass(frozen=True)
class Result:
    """What was measured of a variant; lists have one entry a turn."""

    seconds: list[float]  # a step
    waiting: list[float]  # share of the step; empty without pipeline
    compile_seconds: float
    peak_mib: float
    gflops: float  # of a step; 0 if not asked for
    ceiling_shares: list[float]


def measure(variants, *, rounds, steps, pipeline=True, ceiling=False) -> list[Result]:
    """Times all variants in turns.

    Raises:
        ValueError: a variant cannot be built or fails; it is named.
    """
    from tqdm import tqdm

    with started(variants, train_step) as workers:
        compile_seconds = [worker.ask("compile") for worker in workers]
        turns = [[] for _ in workers]
        for number in tqdm(range(rounds), "Rounds", disable=None):
            for worker, of_worker in zip(workers, turns, strict=True):
                of_worker.append(worker.ask("turn", number, steps, pipeline, ceiling))
        peaks = [worker.ask("peak_mib") for worker in workers]
        gflops = [worker.ask("gflops") if ceiling else 0.0 for worker in workers]
    measured = zip(turns, compile_seconds, peaks, gflops, strict=True)
    return [_result(*of_worker, pipeline, ceiling) for of_worker in measured]


def _result(turns, compile_seconds, peak_mib, gflops, pipeline, ceiling):
    timed = "pipeline" if pipeline else "constant"
    return Result(
        seconds=[turn[timed] for turn in turns],
        waiting=[1 - t["constant"] / t["pipeline"] for t in turns] if pipeline else [],
        compile_seconds=compile_seconds,
        peak_mib=peak_mib,
        gflops=gflops,
        ceiling_shares=[gflops / t["constant"] / t["ceiling"] for t in turns] if ceiling else [],
    )


@contextlib.contextmanager
def started(variants, timer):
    """A worker for each variant; their processes end with the block.

    Args:
        variants: list of Variant.
        timer: function of a module, config -> context manager of the object whose methods the
            workers are asked for.

    Raises:
        ValueError: a variant cannot be built; it is named.
    """
    with contextlib.ExitStack() as stack:
        workers = []
        for variant in variants:
            workers.append(Worker(variant, timer))
            stack.callback(workers[-1].close)
            workers[-1].answer()  # it is built: wrong settings show before time is spent
        yield workers


class Worker:
    """The process of a variant, seen from the parent."""

    def __init__(self, variant, timer):
        self.variant = variant
        # "spawn": peak memory and dtype policy are the variant's own.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        text = OmegaConf.to_yaml(variant.config)
        self.process = context.Process(target=serve, args=(theirs, text, timer))
        self.process.start()
        theirs.close()  # or the end of the process would not end the wait for its answer

    def ask(self, method, *arguments):
        with contextlib.suppress(ConnectionError):  # if it has ended, its answer says why
            self.connection.send((method, *arguments))
        return self.answer()

    def answer(self):
        try:
            kind, content = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            raise ValueError(
                f"The process of a variant ended before it was measured, exit code "
                f"{self.process.exitcode} (-9: probably no memory left). "
                f"Received: variant {self.variant.name!r}"
            ) from None
        if kind == "error":
            raise ValueError(f"{content} (in variant {self.variant.name!r})")
        return content

    def close(self):
        """Ends the process, which may have ended by itself."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.process.join(CLOSING_SECONDS)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()


def serve(connection, config_text: str, timer) -> None:
    """Main of the process: builds the variant, then measures at the parent's word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    tensorflow_import.load_tensorflow()
    import tensorflow as tf

    try:
        with timer(OmegaConf.create(config_text)) as built:
            connection.send(("result", None))
            while (request := connection.recv()) is not None:
                method, *arguments = request
                connection.send(("result", getattr(built, method)(*arguments)))
    except EOFError:
        return  # the parent is gone
    except (ValueError, KeyError, OSError, hydra.errors.HydraException, OmegaConfBaseException,
            tf.errors.OpError) as error:  # fmt: skip
        connection.send(("error", innermost(error)))


@contextlib.contextmanager
def train_step(config):
    """The timer of a training config's step, within its strategy."""
    from training.loop import devices

    run_config.check_targets(config)
    run_config.check_keys(config, "train")
    strategy = devices.make_strategy(config.devices.strategy, device=config.devices.device)
    devices.set_precision(config.devices.precision)
    with strategy.scope():
        yield benchmark_step.StepTimer(config)


def innermost(error) -> str:
    """The reason at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)
