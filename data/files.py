"""Where data sets and caches lie by default, and files that are whole or not there."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
"""Of this checkout, whatever the working directory: embedded data set, caches without a place."""
MAX_BYTES = 2**30
"""Of a file that is read whole: the largest image that is decoded has half of that."""


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes a file so that a reader sees all of it or none, and makes its folder.

    Raises:
        OSError: it cannot be written there; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_bytes(path: str | Path, what: str) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is none, or no regular one (a pipe is never opened); it is called
            `what`. ValueError: it is larger than `MAX_BYTES`.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no {what} at this path. Received: path={path}")
    if (size := os.path.getsize(path)) > MAX_BYTES:
        raise ValueError(
            f"{path}: a {what} of {size:,} bytes, more than {MAX_BYTES:,}. Replace or remove the "
            "file"
        )
    return Path(path).read_bytes()


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A path beside `target` for a folder to be filled and renamed; what is left there goes."""
    work = target.parent / f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
