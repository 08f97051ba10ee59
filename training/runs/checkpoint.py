"""Checkpoints: explicit variables by owner, complete or absent, compared before they are restored.

A checkpoint is a folder such as `step_00001200`, with the files of checkpoint_files.py. Explicit
lists of variables are kept because object-graph checkpoints lose layers held in Python lists
without a word.
"""

import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from training.runs import checkpoint_files

log = logging.getLogger(__name__)

PREFIX = "step_"
BYTES_OF_ENTRY = 300  # of a variable, about, in the manifest and in the header of the other file


class CheckpointError(ValueError):
    """A checkpoint cannot be written, read or matched with the networks at hand."""


class NonFiniteError(CheckpointError):
    """A variable is infinite or not a number."""


class UnwritableError(CheckpointError):
    """The disk refuses a checkpoint; the state is as good as before."""


class CheckpointStore:
    """Writes and reads the checkpoints of one run.

    A checkpoint is written under a temporary name and renamed when it is complete on disk, so a
    process killed at any instant leaves the earlier ones whole.

    Args:
        folder: where the checkpoints live; made at the first save.
        keep: how many of the newest to keep.
        fallback: folder that takes a checkpoint which `folder` refuses, or None.

    Raises:
        ValueError: `keep` below 1.
        CheckpointError: see the methods.
    """

    def __init__(
        self, folder: str | Path, keep: int = 3, *, fallback: str | Path | None = None
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1. Received: keep={keep}")
        self.folder = Path(folder)
        self.keep = keep
        self.fallback = None if fallback is None else CheckpointStore(fallback, keep)

    def steps(self) -> list[int]:
        """Steps of the checkpoints, oldest first.

        A checkpoint gets its name when it is whole: one that lacks a file is damaged.
        """
        found = []
        for path in self.folder.glob(f"{PREFIX}*"):
            number = path.name.removeprefix(PREFIX)
            # Folders that someone has copied or renamed are not ours.
            if re.fullmatch(r"[0-9]{8,18}", number) and self.path(int(number)) == path:
                found.append(int(number))
        return sorted(found)

    def stores(self) -> list["CheckpointStore"]:
        """This store, and its fallback if it has one."""
        return [store for store in (self, self.fallback) if store is not None]

    def holding(self, step: int | None = None) -> "CheckpointStore":
        """This store or its fallback: what has the step, None = what has the newest one."""
        if step is not None:
            return next((store for store in self.stores() if step in store.steps()), self)
        return max(self.stores(), key=lambda store: store.steps()[-1:])

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.folder / f"{PREFIX}{step:08d}"

    def save(self, step: int, owners: dict[str, Any], *, figures: dict | None = None) -> Path:
        """Writes a checkpoint and drops those beyond `keep`.

        Args:
            step: the training step.
            owners: owner name -> object with `.variables`.
            figures: name -> float, kept with the checkpoint; those that are NaN are left out.

        Returns:
            Its folder, which is in the fallback where this disk refuses it.

        Raises:
            NonFiniteError: a value is not finite.
            UnwritableError: the disk refuses, that of the fallback as well; earlier checkpoints
                stay.
        """
        entries = {name: checkpoint_files.entries(owner) for name, owner in owners.items()}
        arrays = {
            name: [np.asarray(variable.numpy()) for variable in owner.variables]
            for name, owner in owners.items()
        }
        _refuse_non_finite(step, arrays, entries)
        partial = self.folder / f".partial_{PREFIX}{step:08d}_{os.getpid()}"
        try:
            self._discard_partials()
            partial.mkdir(parents=True)
            checkpoint_files.write(partial, step, entries, arrays, figures)
            _replace_folder(partial, self.path(step))
        except (OSError, safetensors.SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            refused = self._refused(step, arrays, error)
            if self.fallback is None:
                raise UnwritableError(
                    f"{refused} Free some space or repair the folder, then resume the run; or set "
                    "checkpoints.fallback to a folder on another disk."
                ) from error
            try:
                path = self.fallback.save(step, owners, figures=figures)
            except UnwritableError as second:
                raise UnwritableError(f"{refused} {second}") from second
            log.error("%s It is in the fallback, where resume finds it: %s", refused, path)
            return path
        for old in self.steps()[: -self.keep]:
            if old != step:
                self.drop(old)
        return self.path(step)

    def _refused(self, step, arrays, error) -> str:
        """What the disk refused, and why."""
        values = [value for owned in arrays.values() for value in owned]
        needed = sum(value.nbytes + BYTES_OF_ENTRY for value in values)
        kept = self.steps()
        return (
            f"The checkpoint of step {step} could not be written to {self.folder}: "
            f"{getattr(error, 'strerror', None) or error}. Expected: room for {_size(needed)}. "
            f"Received: {_size(_free_bytes(self.folder))} free. The last whole checkpoint there "
            f"is {f'that of step {kept[-1]}' if kept else 'none'}."
        )

    def drop(self, step: int) -> None:
        """Removes a checkpoint."""
        shutil.rmtree(self.path(step), ignore_errors=True)

    def figures(self, step: int) -> dict[str, float]:
        """The figures kept with a checkpoint; none where it cannot be read."""
        try:
            figures = checkpoint_files.read_manifest(self.path(step), step).get("figures", {})
            return {name: float(value) for name, value in dict(figures).items()}
        except checkpoint_files.DAMAGE:
            return {}

    def restore(self, owners: dict[str, Any], step: int | None = None, *, subset=False) -> int:
        """Assigns the values of a checkpoint, all of them or none.

        Owners and the names, shapes and dtypes of their variables are compared before; of format 1,
        which has other names, counts and shapes. Owners without variables do not count. Where a
        checkpoint is not as it was written, or does not fit, the newest older one that is whole
        takes its place, and the log says why.

        Args:
            owners: owner name -> object with built `.variables`.
            step: which checkpoint; None = the newest that is whole.
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
        owners = {name: owner for name, owner in owners.items() if owner.variables}
        problems = []
        for candidate in [step] if step is not None else reversed(available):
            folder = self.path(candidate)
            try:
                manifest = checkpoint_files.read_manifest(folder, candidate)
                _compare(manifest, owners, folder, subset)
                arrays = checkpoint_files.read_variables(folder, manifest, owners)
                _assign(owners, arrays, folder)
            except checkpoint_files.DAMAGE as error:  # CheckpointError is one of these
                problems.append((candidate, error))
                wrong = "does not fit" if isinstance(error, CheckpointError) else "is damaged"
                log.warning("The checkpoint of step %d %s: %s", candidate, wrong, error)
                continue
            if problems:
                log.warning("The checkpoint of step %d is used in its place.", candidate)
            if not subset and step is None:
                self._put_aside([newer for newer in available if newer > candidate])
            return candidate
        misfits = [reason for _, reason in problems if isinstance(reason, CheckpointError)]
        if misfits:  # none fits: it is the config that is another
            raise misfits[0]
        reasons = "; ".join(f"step {number}: {reason}" for number, reason in problems)
        raise CheckpointError(
            f"Expected a readable checkpoint in {self.folder}. Received: {reasons}."
        )

    def _put_aside(self, damaged) -> None:
        """Out of the way of the checkpoints to come, which `keep` counts."""
        for step in damaged:
            _replace_folder(self.path(step), self.folder / f"damaged_{self.path(step).name}")

    def _discard_partials(self) -> None:
        for leftover in self.folder.glob(f".partial_{PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _free_bytes(folder) -> int:
    """Room below the nearest parent that is there; 0 where that is not told."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), None)
    try:
        return shutil.disk_usage(there).free if there else 0
    except OSError:
        return 0


def _size(count) -> str:
    return f"{count / 1e6:,.2f} MB"


def _replace_folder(source: Path, target: Path) -> None:
    """Renames; a folder of that name (a damaged one of an earlier try) makes room first."""
    if target.exists():
        shutil.rmtree(target)
    os.rename(source, target)
    checkpoint_files.flush_to_disk(target.parent)


def _refuse_non_finite(step, arrays, entries) -> None:
    for owner, values in arrays.items():
        for entry, value in zip(entries[owner], values, strict=True):
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
                raise NonFiniteError(
                    f"Variables must be finite. Received: {owner} variable {entry.path!r} with "
                    f"non-finite values at step {step}. Earlier checkpoints are untouched; "
                    "resume with a lower learning rate in a new run, or another seed."
                )


def _compare(manifest, owners, folder, subset) -> None:
    """Raises CheckpointError for owners or variables that are not those of a manifest."""
    saved = {name: entries for name, entries in manifest["owners"].items() if entries}
    differences = [f"{name} is not in the checkpoint" for name in owners if name not in saved]
    if not subset:
        differences += [f"{name} is only in the checkpoint" for name in saved if name not in owners]
    for name in [name for name in owners if name in saved]:
        now, before = checkpoint_files.entries(owners[name]), saved[name]
        if len(now) != len(before):
            differences.append(f"{name}: {len(before)} variables saved, {len(now)} now")
            continue
        names_now, names_before = map(checkpoint_files.comparable_names, (now, before))
        for index, (new, old) in enumerate(zip(now, before, strict=True)):
            if list(new.shape) != list(old.shape):
                differences.append(
                    f"{name}: {new.path} has shape {new.shape} now, {old.path} was saved with "
                    f"{old.shape}"
                )
            elif manifest["format"] > 1 and names_now[index] != names_before[index]:
                differences.append(f"{name}: {new.path} now, {old.path} saved in its place")
            elif old.dtype not in (None, new.dtype):
                differences.append(f"{name}: {new.path} is {new.dtype} now, {old.dtype} saved")
    _refuse(differences, folder)


def _assign(owners, arrays, folder) -> None:
    """Puts the values into the variables once it is known that each of them can go there."""
    pairs = [
        (name, variable, value, entry)
        for name, owner in owners.items()
        for variable, value, entry in zip(
            owner.variables, arrays[name], checkpoint_files.entries(owner), strict=True
        )
    ]
    differences = [  # format 1 has dtypes in the arrays alone
        f"{name}: {entry.path} is {entry.dtype} now, {value.dtype} saved"
        for name, _, value, entry in pairs
        if str(value.dtype) != entry.dtype
    ]
    _refuse(differences, folder)
    for _, variable, value, _ in pairs:
        variable.assign(value)


def _refuse(differences, folder) -> None:
    if differences:
        shown = "\n  ".join(differences[:10])
        more = f"\n  and {len(differences) - 10} more" if len(differences) > 10 else ""
        raise CheckpointError(
            f"The checkpoint {folder} does not fit the networks of this config:\n  {shown}{more}\n"
            "Use the config of the run that wrote it."
        )
