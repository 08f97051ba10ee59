"""Checkpoints: explicit variables by owner, whole or not at all, compared before they are restored.

A checkpoint is a folder `step_00001200` with `variables.npz` (arrays named "owner/index") and
`manifest.json` (step, shapes and names, figures if any). Explicit lists are kept because
object-graph checkpoints lose layers held in Python lists without a word.
"""

import json
import logging
import math
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

log = logging.getLogger(__name__)

VARIABLES = "variables.npz"
MANIFEST = "manifest.json"
PREFIX = "step_"


class CheckpointError(ValueError):
    """A checkpoint cannot be written, read or matched with the networks at hand."""


class CheckpointStore:
    """Writes and reads the checkpoints of one run.

    A checkpoint is written under a temporary name and renamed when it is complete on disk, so a
    process killed at any instant leaves the earlier ones whole.

    Args:
        folder: where the checkpoints live; made at the first save.
        keep: how many of the newest to keep.

    Raises:
        ValueError: `keep` below 1.
        CheckpointError: see the methods.
    """

    def __init__(self, folder: str | Path, keep: int = 3):
        if keep < 1:
            raise ValueError(f"keep must be at least 1. Received: keep={keep}")
        self.folder = Path(folder)
        self.keep = keep

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, oldest first."""
        return sorted(
            int(path.name[len(PREFIX) :])
            for path in self.folder.glob(f"{PREFIX}*")
            if (path / MANIFEST).is_file()
        )

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.folder / f"{PREFIX}{step:08d}"

    def save(self, step: int, owners: dict[str, Any], *, figures: dict | None = None) -> Path:
        """Writes a checkpoint and drops those beyond `keep`.

        Args:
            step: the training step.
            owners: owner name -> object with `.variables`.
            figures: name -> float, kept with the checkpoint; those that are NaN are left out.

        Raises:
            CheckpointError: a value is not finite, or the disk refuses; earlier checkpoints stay.
        """
        arrays = {name: list(map(_to_numpy, owner.variables)) for name, owner in owners.items()}
        names = {
            name: [getattr(v, "path", v.name) for v in owner.variables]
            for name, owner in owners.items()
        }
        _refuse_non_finite(step, arrays, names)
        partial = self.folder / f".partial_{PREFIX}{step:08d}_{os.getpid()}"
        try:
            self._discard_partials()
            partial.mkdir(parents=True)
            self._write(partial, step, arrays, names, figures)
            _replace_folder(partial, self.path(step))
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            kept = self.steps()
            raise CheckpointError(
                f"The checkpoint of step {step} could not be written to {self.folder}: "
                f"{error.strerror or error}. The last whole checkpoint is "
                f"{f'that of step {kept[-1]}' if kept else 'none'}. Free some space or repair "
                "the folder, then resume the run."
            ) from error
        for old in self.steps()[: -self.keep]:
            if old != step:
                self.drop(old)
        return self.path(step)

    def drop(self, step: int) -> None:
        """Removes a checkpoint."""
        shutil.rmtree(self.path(step), ignore_errors=True)

    def figures(self, step: int) -> dict[str, float]:
        """The figures kept with a checkpoint; none where it cannot be read."""
        try:
            return json.loads((self.path(step) / MANIFEST).read_text()).get("figures", {})
        except (OSError, ValueError):
            return {}

    def restore(self, owners: dict[str, Any], step: int | None = None, *, subset=False) -> int:
        """Assigns the values of a checkpoint after comparing every owner, count and shape.

        Args:
            owners: owner name -> object with built `.variables`.
            step: which checkpoint; None = the newest that is readable.
            subset: whether `owners` may be fewer than those of the checkpoint (sampling).

        Returns:
            The step restored.

        Raises:
            CheckpointError: none is there, the one asked for is not, or something differs.
        """
        available = self.steps()
        if not available:
            raise CheckpointError(
                f"Expected a checkpoint in {self.folder}. Received: none. The run may have been "
                "stopped before its first save; start it again."
            )
        if step is not None and step not in available:
            raise CheckpointError(f"Expected one of the steps {available}. Received: step={step}.")
        problems = []
        for candidate in [step] if step is not None else reversed(available):
            try:
                manifest, arrays = self._read(candidate)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                # A damaged file of a crashed disk is no reason to lose the older checkpoints.
                problems.append(f"step {candidate}: {error}")
                log.warning("The checkpoint of step %d is damaged: %s", candidate, error)
                continue
            _compare(manifest, owners, self.path(candidate), subset)
            for name, owner in owners.items():
                for variable, value in zip(owner.variables, arrays[name], strict=True):
                    variable.assign(value)
            if not subset and step is None:
                self._put_aside([newer for newer in available if newer > candidate])
            return candidate
        raise CheckpointError(
            f"Expected a readable checkpoint in {self.folder}. Received: {'; '.join(problems)}."
        )

    def _put_aside(self, damaged):
        """Out of the way of the checkpoints to come, which `keep` counts."""
        for step in damaged:
            _replace_folder(self.path(step), self.folder / f"damaged_{self.path(step).name}")

    def _write(self, folder, step, arrays, names, figures):
        flat = {
            f"{name}/{index:05d}": value
            for name, values in arrays.items()
            for index, value in enumerate(values)
        }
        with open(folder / VARIABLES, "wb") as file:
            np.savez(file, **flat)
            _flush_to_disk(file)
        manifest = {
            "step": step,
            "tensorflow": tf.__version__,
            "owners": {
                name: [
                    [path, list(value.shape)]
                    for path, value in zip(names[name], values, strict=True)
                ]
                for name, values in arrays.items()
            },
        }
        if figures is not None:
            numbers = {name: float(value) for name, value in figures.items()}
            manifest["figures"] = {n: v for n, v in numbers.items() if not math.isnan(v)}
        with open(folder / MANIFEST, "w") as file:
            json.dump(manifest, file, indent=1)
            _flush_to_disk(file)

    def _read(self, step):
        folder = self.path(step)
        manifest = json.loads((folder / MANIFEST).read_text())
        with open(folder / VARIABLES, "rb") as opened, np.load(opened) as file:
            arrays = {
                name: [file[f"{name}/{index:05d}"] for index in range(len(entries))]
                for name, entries in manifest["owners"].items()
            }
        return manifest, arrays

    def _discard_partials(self):
        for leftover in self.folder.glob(f".partial_{PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _to_numpy(variable) -> np.ndarray:
    return np.asarray(variable.numpy())


def _flush_to_disk(file):
    file.flush()
    os.fsync(file.fileno())


def _replace_folder(source: Path, target: Path):
    """Renames; a folder of that name (a damaged one of an earlier try) makes room first."""
    if target.exists():
        shutil.rmtree(target)
    os.rename(source, target)


def _refuse_non_finite(step, arrays, names):
    for owner, values in arrays.items():
        for name, value in zip(names[owner], values, strict=True):
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
                raise CheckpointError(
                    f"Variables must be finite. Received: {owner} variable {name!r} with "
                    f"non-finite values at step {step}. Earlier checkpoints are untouched; "
                    "resume with a lower learning rate in a new run, or another seed."
                )


def _compare(manifest, owners, folder, subset):
    saved = manifest["owners"]
    differences = [f"{name} is not in the checkpoint" for name in owners if name not in saved]
    if not subset:
        differences += [f"{name} is only in the checkpoint" for name in saved if name not in owners]
    for name in set(owners) & set(saved):
        now = [(getattr(v, "path", v.name), list(v.shape)) for v in owners[name].variables]
        if len(now) != len(saved[name]):
            differences.append(f"{name}: {len(saved[name])} variables saved, {len(now)} now")
            continue
        differences += [
            f"{name}: {path} has shape {shape} now, {old_path} was saved with {old_shape}"
            for (path, shape), (old_path, old_shape) in zip(now, saved[name], strict=True)
            if shape != old_shape
        ]
    if differences:
        shown = "\n  ".join(differences[:10])
        more = f"\n  and {len(differences) - 10} more" if len(differences) > 10 else ""
        raise CheckpointError(
            f"The checkpoint {folder} does not fit the networks of this config:\n  {shown}{more}\n"
            "Use the config of the run that wrote it."
        )
