"""Lock files: one process at a time, until it ends, however it ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOCK_TRIES, SECONDS_BETWEEN_TRIES = 3, 0.1  # `is_held` holds a lock for a moment
DIGITS_OF_A_PID = 20


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds a lock file, which has the number of the process that holds it.

    Raises:
        ValueError: another process holds it, it is no lock file, or it cannot be written.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.fdopen(os.open(path, flags, 0o666), "r+", errors="replace")
    except OSError as error:
        raise ValueError(
            f"Expected a folder that can be written to. Received: {path.parent}, {path.name}: "
            f"{error.strerror}."
        ) from error
    with file:
        for _ in range(LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(SECONDS_BETWEEN_TRIES)
        else:
            raise ValueError(
                f"Expected a run that no other process writes to. Received: {path.parent}, in use "
                f"by process {file.read(DIGITS_OF_A_PID).strip() or 'unknown'}. Wait for it or "
                "stop it."
            )
        content = file.read(DIGITS_OF_A_PID + 1).strip()
        if content and not (content.isdigit() and len(content) <= DIGITS_OF_A_PID):
            raise ValueError(f"Expected a lock file of ours. Received: {path}, which has text.")
        _rewrite(file.fileno(), str(os.getpid()))
        try:
            yield
        finally:
            _rewrite(file.fileno(), "")


def _rewrite(descriptor, text) -> None:
    with contextlib.suppress(OSError):  # a full disk; the number is to be read, and locks nothing
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def is_held(path: Path) -> bool:
    """Whether a process holds a lock file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
