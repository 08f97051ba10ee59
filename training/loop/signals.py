"""Stopping a run in good order: the first SIGINT or SIGTERM saves and stops, the second kills."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether a signal has asked the run to stop.

    `received` is the signal's number, or None. After the first signal the default handlers of the
    operating system are back, so a second one ends the process at once, even inside a long
    TensorFlow call.
    """

    def __init__(self) -> None:
        self.received = None

    def __bool__(self) -> bool:
        return self.received is not None

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listens while the block runs; idle outside the main thread, which owns handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        watched = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, self._handle) for number in watched}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _handle(self, number, frame) -> None:
        self.received = number
        for watched in (signal.SIGINT, signal.SIGTERM):
            signal.signal(watched, signal.SIG_DFL)
        print("\nStopping after this step and saving. Again to leave at once.", flush=True)
