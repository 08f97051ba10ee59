"""JSON that may be damaged or made by someone else, read with one kind of error."""

import json
from pathlib import Path
from typing import Any

MAX_BYTES = 2**26
MAX_DEPTH = 32
MAX_LISTS = 20_000_000  # and mappings: a text of "[]," takes twenty times its size and minutes


def read(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, too large, or nested too deep.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"Expected at most {MAX_BYTES} bytes of JSON. Received: {path}")
    return parsed(path.read_bytes())


def parsed(text: bytes) -> Any:
    """What JSON text means; a ValueError where it is none, or nested too deep."""
    if text.count(b"[") + text.count(b"{") > MAX_LISTS:
        raise ValueError(f"Expected JSON of at most {MAX_LISTS} lists and mappings.")
    try:
        content = json.loads(text)
    except RecursionError:
        level = [None]
    else:
        level = [content]
        for _ in range(MAX_DEPTH):
            level = [child for item in level for child in _children(item)]
    if level:
        raise ValueError(f"Expected JSON nested at most {MAX_DEPTH} deep.")
    return content


def _children(item) -> list:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def is_number(value: object) -> bool:
    """Whether a value is a float, NaN included, or an integer that can be one."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 1e300)
