"""Stopping a run in good order: the first of WATCHED stops, a second SIGINT or SIGTERM kills."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from training.loop import console

# SIGXCPU: the CPU time that `ulimit -S -t`, or a queue, allows is used up.
WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)


class StoppedEarly(KeyboardInterrupt):
    """A signal came before the first step; there is nothing to save."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} before the first step")
        self.number = number


class StopRequest:
    """Whether a signal has asked the run to stop.

    `received` is the signal's number, or None. Until `training_begins` a signal raises
    StoppedEarly, because building can take minutes; from then on it is only noted. (SIGTERM to one
    of several workers is taken by TensorFlow while they are built.) After the first
    signal the default handlers of SIGINT and SIGTERM are back, so a second one ends the process at
    once, even inside a long TensorFlow call. A terminal that closes sends SIGHUP more than once,
    a limit on CPU time SIGXCPU every second, so that they never do. Ignored from the start, as by
    nohup, SIGHUP stays ignored.
    """

    def __init__(self) -> None:
        self.received = None
        self.training = False
        self._watched: list[signal.Signals] = []

    def __bool__(self) -> bool:
        return self.received is not None

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listens while the block runs; idle outside the main thread, which owns handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        self._watched = [n for n in WATCHED if n != signal.SIGHUP or not _is_ignored(n)]
        previous = {number: signal.signal(number, self._handle) for number in self._watched}
        try:
            yield self
        finally:
            self._watched = []
            if self.received == signal.SIGXCPU:  # it comes each second, to the end of the process
                previous[signal.SIGXCPU] = signal.SIG_IGN
            for number, handler in previous.items():
                signal.signal(number, handler)

    def training_begins(self) -> None:
        """From here on there is something to save: a signal is noted and the loop looks at it.

        Raises:
            StoppedEarly: a signal came before, and what it raised was lost in other code.
        """
        if self.received is not None:
            raise StoppedEarly(self.received)
        self.training = True
        for number in self._watched:  # TensorFlow takes SIGTERM as it joins a cluster of workers
            signal.signal(number, self._handle)

    def _handle(self, number, frame) -> None:
        first, self.received = self.received is None, number
        for watched in (signal.SIGINT, signal.SIGTERM):
            signal.signal(watched, signal.SIG_DFL)
        if not self.training:
            raise StoppedEarly(number)
        if first:
            console.say("\nStopping after this step and saving. Again to leave at once.")


def _is_ignored(number) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN
