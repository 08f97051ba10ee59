"""Where data sets and caches lie by default, and files that are whole or not there."""

import codecs
import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
"""Of this checkout, whatever the working directory: embedded data set, caches without a place."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 does
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
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


def read_text(path: str | Path, what: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with their mark, as Windows writes it.

    Raises:
        FileNotFoundError: there is none. ValueError: it is in another encoding, or too large.
    """
    content = read_bytes(path, what)
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: the {what} is a text in UTF-8. Received: {error}. Save it in UTF-8"
        ) from None


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A path beside `target` for a folder to be filled and renamed; what is left there goes."""
    work = target.parent / f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial"
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
