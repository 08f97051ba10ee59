"""The two files of a checkpoint: variables and a manifest, verified before they are used.

`variables.safetensors` has an array for each variable, named "owner/index/path". `manifest.json`
has, in format 2,

    format, step, provenance    2; the training step; see provenance.py
    variables                   size in bytes and SHA-256 of the other file
    owners                      {owner: [[path, shape, dtype] of each variable, in order]}
    figures                     {name: float} of an evaluation, where there was one
    sha256                      of all that, as JSON with sorted keys

Format 1, which has no key `format`, is read as well: `variables.npz` with arrays "owner/index", no
hashes, no dtypes.
"""

import hashlib
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import safetensors
from safetensors import numpy as safetensors_numpy

from training.runs import npz_files, provenance

FORMAT = 2
MANIFEST = "manifest.json"
VARIABLES = "variables.safetensors"
VARIABLES_1 = "variables.npz"
# What files that are not as they were written make their readers raise.
DAMAGE = (
    OSError, ValueError, LookupError, RuntimeError, MemoryError, TypeError, ArithmeticError,
    safetensors.SafetensorError,
)  # fmt: skip
MAX_MANIFEST_BYTES = 64 << 20  # a variable takes about 100 bytes


class Entry(NamedTuple):
    """An entry of a manifest, one variable.

    Attributes:
        path: as Keras names it.
        shape: sizes.
        dtype: "float32" and the like; None = unknown, in format 1.
    """

    path: str
    shape: list[int]
    dtype: str | None = None


def entries(owner: Any) -> list[Entry]:
    """The entries of the variables of an object with `.variables`, in their order."""
    return [
        Entry(
            getattr(variable, "path", variable.name).partition(":")[0],
            list(variable.shape),
            keras.backend.standardize_dtype(variable.dtype),
        )
        for variable in owner.variables
    ]


def comparable_names(listed: list[Entry]) -> list[list[tuple[str, int]]]:
    """Names that do not depend on what was built before in the same process.

    Keras counts layers of one name, all of a process together: the second network has the layers
    `conv2d_8`, `conv2d_9` in the place of `conv2d`, `conv2d_1`. Names that are alike but for such
    numbers are numbered by their order below the same parent.
    """
    numbers, names = {}, []
    for entry in listed:
        parent, parts = "", []
        for part in entry.path.split("/"):
            base = re.sub(r"_[0-9]+(?=_|$)", "", part)
            known = numbers.setdefault((parent, base), {})
            parts.append((base, known.setdefault(part, len(known))))
            parent = f"{parent}/{part}"
        names.append(parts)
    return names


def write(
    folder: Path,
    step: int,
    owners: dict[str, list[Entry]],
    arrays: dict[str, list[np.ndarray]],
    figures: dict[str, float] | None = None,
) -> None:
    """Writes both files into a folder, to the disk itself.

    Args:
        folder: an empty folder.
        step: the training step.
        owners: owner name -> entries.
        arrays: owner name -> values, in the same order.
        figures: name -> float; those that are NaN are left out.

    Raises:
        OSError, safetensors.SafetensorError: the disk refuses.
    """
    path = folder / VARIABLES
    named = {
        _key(name, index, entry): value
        for name in owners
        for index, (entry, value) in enumerate(zip(owners[name], arrays[name], strict=True))
    }
    safetensors_numpy.save_file(named, path)
    manifest = {
        "format": FORMAT,
        "step": step,
        "provenance": provenance.provenance(),
        "variables": {"bytes": path.stat().st_size, "sha256": _hash_of_file(path)},
        "owners": owners,
    }
    if figures is not None:
        numbers = {name: float(value) for name, value in figures.items()}
        manifest["figures"] = {n: v for n, v in numbers.items() if not math.isnan(v)}
    manifest["sha256"] = _hash_of(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for written in (path, folder / MANIFEST, folder):
        flush_to_disk(written)


def read_manifest(folder: Path, step: int) -> dict[str, Any]:
    """The manifest of a checkpoint of this step; "owners" holds entries.

    Raises:
        one of DAMAGE: it cannot be read, or is not as it was written.
    """
    manifest = json.loads(_bytes_of(folder / MANIFEST, MAX_MANIFEST_BYTES).decode())
    if not isinstance(manifest, dict) or not isinstance(manifest.get("owners"), dict):
        raise ValueError(f"{MANIFEST} is not one of a checkpoint")
    if manifest.setdefault("format", 1) not in (1, FORMAT):
        raise ValueError(
            f"it has format {manifest['format']} of a later version of this application; this "
            f"one, {provenance.version()}, reads up to {FORMAT}"
        )
    if manifest["format"] == FORMAT and manifest.pop("sha256", None) != _hash_of(manifest):
        raise ValueError(f"{MANIFEST} is not as it was written: its SHA-256 is another")
    if manifest.get("step") != step:
        raise ValueError(f"{MANIFEST} is that of step {manifest.get('step')}")
    manifest["owners"] = {
        name: [_entry(described) for described in (saved if isinstance(saved, list) else [saved])]
        for name, saved in manifest["owners"].items()
    }
    return manifest


def _entry(described) -> Entry:
    """The entry of a line of a manifest, from whomever it may be."""
    if not isinstance(described, list) or len(described) not in (2, 3):
        raise ValueError(f"{MANIFEST} does not list variables")
    entry = Entry(*described)
    sizes = isinstance(entry.shape, list) and all(type(size) is int for size in entry.shape)
    if not (isinstance(entry.path, str) and sizes and isinstance(entry.dtype, str | None)):
        raise ValueError(f"{MANIFEST} does not list variables")
    return entry


def read_variables(folder: Path, manifest: dict[str, Any], owners) -> dict[str, list[np.ndarray]]:
    """The values of some of the owners of a manifest, by owner.

    Raises:
        one of DAMAGE: they cannot be read, or are not as they were written.
    """
    listed = {name: manifest["owners"][name] for name in owners}
    if manifest["format"] == 1:
        keys = {name: [f"{name}/{i:05d}" for i in range(len(listed[name]))] for name in listed}
        found = npz_files.read_arrays(_regular(folder / VARIABLES_1), sum(keys.values(), []))
        arrays = {name: [found[key] for key in keys[name]] for name in keys}
    else:
        path, written = _regular(folder / VARIABLES), manifest["variables"]
        if path.stat().st_size != written["bytes"]:
            raise ValueError(
                f"{VARIABLES} has {path.stat().st_size} bytes; {written['bytes']} were written"
            )
        if _hash_of_file(path) != written["sha256"]:
            raise ValueError(f"{VARIABLES} is not as it was written: its SHA-256 is another")
        with safetensors.safe_open(path, framework="np") as file:
            arrays = {
                name: [file.get_tensor(_key(name, *item)) for item in enumerate(listed[name])]
                for name in listed
            }
    for name, values in arrays.items():
        for entry, value in zip(listed[name], values, strict=True):
            _check_value(f"{name} {entry.path}", entry, value)
    return arrays


def _check_value(name, entry, value) -> None:
    """Raises ValueError for an array that is not what its entry says, or not finite."""
    expected = "" if entry.dtype is None else f"{entry.dtype} "
    if list(value.shape) != entry.shape or entry.dtype not in (None, str(value.dtype)):
        raise ValueError(
            f"{name} is {value.dtype} {list(value.shape)} and not, as {MANIFEST} says, "
            f"{expected}{entry.shape}"
        )
    if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        raise ValueError(f"{name} has values that are not finite, which is never saved")


def _regular(path) -> Path:
    """The path of a file; to open a pipe or a device of that name would wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path.name} is not a regular file")
    return path


def _bytes_of(path, limit) -> bytes:
    size = _regular(path).stat().st_size
    if size > limit:
        raise ValueError(f"{path.name} has {size} bytes; {limit} are the most there can be")
    return path.read_bytes()


def flush_to_disk(path: Path) -> None:
    """Returns when a file, or the names in a folder, would survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key(owner, index, entry) -> str:
    return f"{owner}/{index:05d}/{entry.path}"


def _hash_of(manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _hash_of_file(path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
