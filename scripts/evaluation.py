"""What all evaluations share: what was measured on what, and where figures are written."""

import hashlib
import json
import math
import platform
from importlib import metadata
from pathlib import Path

import numpy as np

PACKAGES = ("tensorflow", "keras", "numpy", "pillow")


def weights_hash(owners: dict) -> str:
    """SHA-256 of the values of all variables, in their order; their names have no part in it.

    Args:
        owners: owner name -> object with `.variables`.
    """
    digest = hashlib.sha256()
    for name in sorted(owners):
        for variable in owners[name].variables:
            value = np.ascontiguousarray(variable.numpy())
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()


def passport(run) -> dict:
    """Which weights of which run were measured.

    Args:
        run: TrainedRun.
    """
    return {
        "run": str(run.folder.path),
        "step": run.step,
        "weights_sha256": weights_hash(run.task.generation_state()),
    }


def versions() -> dict[str, str]:
    """Versions of Python and the packages that figures depend on."""
    return {"python": platform.python_version()} | {n: metadata.version(n) for n in PACKAGES}


def write_json(path: Path, report: dict) -> None:
    """Writes a report, whole or not at all; NaN, which JSON does not have, becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    text = json.dumps(_plain(report), ensure_ascii=False, indent=1, allow_nan=False)
    partial.write_text(text + "\n")
    partial.replace(path)


def _plain(value):
    """The value with NumPy's types as Python's."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def table(header: list[str], rows: list[list[str]]) -> str:
    """Text columns under a header, the first aligned left, the others right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
