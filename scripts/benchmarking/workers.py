"""Variants of the train step or of a layer, each built and timed in a process of its own."""

import contextlib
import multiprocessing
import signal
from typing import Any, NamedTuple

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from scripts.command import errors
from training.loop import tensorflow_import

CLOSING_SECONDS = 20


class Variant(NamedTuple):
    """What to measure: the config that its timer is made of, with `devices` as in train.py."""

    name: str
    config: DictConfig


def measure(variants: list[Variant], timer: str, rounds: int, title: str, **settings) -> list:
    """Times all variants in turns.

    Args:
        variants: list of Variant.
        timer: name of a class, (config, **settings) -> object with `prepare()`, `turn(number)` and
            `facts()`; by name, so that nothing but the process of a variant imports TensorFlow.
        rounds: turns of each variant.
        title: of the progress bar.

    Returns:
        (list of what each turn returned, what `facts` returned) of each variant.

    Raises:
        ValueError: a variant cannot be built or fails; it is named.
    """
    with contextlib.ExitStack() as stack:
        workers = []
        for variant in variants:
            workers.append(Worker(variant, timer, settings))
            stack.callback(workers[-1].close)
            workers[-1].answer()  # it is built: wrong settings show before time is spent
        for worker in workers:
            worker.ask("prepare")
        numbers = tqdm(range(rounds), title, disable=None)
        turns = [[worker.ask("turn", number) for worker in workers] for number in numbers]
        facts = [worker.ask("facts") for worker in workers]
    return list(zip(zip(*turns, strict=True), facts, strict=True))


class Worker:
    """The process of a variant, seen from the parent."""

    def __init__(self, variant: Variant, timer: str, settings: dict) -> None:
        self.variant = variant
        # "spawn": peak memory and dtype policy are the variant's own.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, OmegaConf.to_yaml(variant.config), timer, settings)
        self.process = context.Process(target=serve, args=arguments)
        self.process.start()
        theirs.close()  # or the end of the process would not end the wait for its answer

    def ask(self, *request: Any) -> Any:
        """The result of a method of the timer; `request` is its name and arguments."""
        with contextlib.suppress(ConnectionError):  # if it has ended, its answer has the reason
            self.connection.send(request)
        return self.answer()

    def answer(self) -> Any:
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

    def close(self) -> None:
        self.connection.close()  # the process ends when its connection closes
        self.process.join(CLOSING_SECONDS)
        self.process.terminate()
        self.process.join()


def serve(connection: Any, config_text: str, timer: str, settings: dict) -> None:
    """Main of the process: builds the variant, then measures at the parent's word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    tensorflow_import.load_tensorflow()
    import tensorflow as tf

    from training.loop import devices

    try:
        config = OmegaConf.create(config_text)
        with devices.set_up(**config.devices).scope():
            built = hydra.utils.get_class(timer)(config, **settings)
            connection.send(("result", None))
            while True:
                method, *arguments = connection.recv()
                connection.send(("result", getattr(built, method)(*arguments)))
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
    except (ValueError, KeyError, OSError, hydra.errors.HydraException, OmegaConfBaseException,
            tf.errors.OpError) as error:  # fmt: skip
        connection.send(("error", errors.reason(error)))
