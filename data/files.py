"""Where data sets and caches lie by default, and files that are whole or not there."""

import os
import tempfile
from pathlib import Path

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
"""Of this checkout, whatever the working directory: embedded data set, caches without a place."""


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
