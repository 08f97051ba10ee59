"""The check before training: are all files readable, of one size per pair, and their ids legal?"""

import collections
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from data.batch import IGNORE_ID
from data.images import check_cache, photos
from data.labels import label_files, void_classes
from data.labels.label_maps import FOREIGN_ID

log = logging.getLogger(__name__)

MAX_NAMED = 5


@dataclass
class LabelReport:
    """What the check saw: pixels per class, pixels ignored, files read, classes that never occur.

    `values` counts the raw file values before any mapping; `pixels_by_split` is `pixels` of each
    split alone; `inside` has of each file value the files with it and the sums of
    `void_classes.inside`.
    """

    class_names: tuple[str, ...]
    pixels: np.ndarray
    ignored: int
    files: int
    values: dict[int, int] = field(default_factory=dict)
    pixels_by_split: dict[str, np.ndarray] = field(default_factory=dict)
    inside: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def absent(self) -> list[str]:
        return [name for name, n in zip(self.class_names, self.pixels, strict=True) if n == 0]

    def table(self) -> str:
        """A text table: id, class, pixels, share of all pixels."""
        total = max(1, int(self.pixels.sum()) + self.ignored)
        rows = [(str(i), name, int(n)) for i, (name, n) in
                enumerate(zip(self.class_names, self.pixels, strict=True))]  # fmt: skip
        rows += [(str(IGNORE_ID), "(ignored)", self.ignored)] if self.ignored else []
        width = max((len(name) for _, name, _ in rows), default=5)
        lines = [f"{'id':>3}  {'class':<{width}}  {'pixels':>14}  share"]
        for index, name, pixels in rows:
            lines.append(f"{index:>3}  {name:<{width}}  {pixels:>14,}  {pixels / total:.4f}")
        return "\n".join(lines)


def check_source(source, encoding, cache_folder, *, reader=None, progress=True) -> LabelReport:
    """Checks the files of all splits, or a sample of each, and counts the classes.

    Args:
        source: object with `root`, `splits` and `records(split)`; unpaired files are its errors.
        encoding: LabelEncoding or NoLabelMaps; its `check` says how many files are read.
        cache_folder: where results are kept by file name, size and time; None keeps none.
        reader: photos.PhotoReader. Default: its defaults.
        progress: bool, show a bar (on terminals only).

    Returns:
        LabelReport over the files read.

    Raises:
        ValueError: a split is empty, a label map is missing, or files are damaged, of different
            sizes, in colours, or hold values that mean no class. The message names files, values
            and settings.
    """
    items = "pairs" if encoding.has_maps else "photographs"
    reader = reader or photos.PhotoReader()
    records, of_split = [], {}
    for split in source.splits:
        members = source.records(split)
        if not len(members):
            raise ValueError(f"Split '{split}' is empty. Received: 0 {items}.")
        of_split[split] = [item_for(r, encoding) for r in sample(members, encoding.sample_size)]
        records += of_split[split]
    findings = check_cache.gather(
        records,
        lambda record: inspect(record, encoding.colour_palette, reader),
        check_cache.cache_file(cache_folder, source.root),
        settings=[encoding.palette, reader.settings()],
        progress=progress,
    )
    report = summarize(findings.values(), encoding)
    complaints = list(_complaints(findings, encoding, report.values))
    dark = reader.complaint_of({r.photo: found["white"] for r, found in findings.items()})
    complaints += [dark] if dark else []
    if complaints:
        raise ValueError(
            f"The data check of {len(records)} {items} found what would spoil the training:\n"
            + "\n".join(f"- {complaint}" for complaint in complaints)
        )
    _warn(findings, encoding, report)
    report.pixels_by_split = {
        split: summarize((findings[record] for record in members), encoding).pixels
        for split, members in of_split.items()
    }
    return report


def check_pair(record, encoding, reader=None) -> None:
    """Raises the ValueError that `check_source` would raise for this one pair."""
    record = item_for(record, encoding)
    reader = reader or photos.PhotoReader()
    findings = {record: inspect(record, encoding.colour_palette, reader)}
    values = summarize(findings.values(), encoding).values
    for complaint in _complaints(findings, encoding, values):
        raise ValueError(complaint)


def sample(records, size) -> list:
    """`size` records spread evenly over a split; None = all."""
    if size is None or size >= len(records):
        return list(records)
    return [records[i * len(records) // size] for i in range(size)]


def inspect(record, palette, reader) -> dict:
    """Findings of one item: sizes, counts of file values, and what is wrong with reading it."""
    findings: dict = dict.fromkeys(("photo_size", "label_size", "colours", "error", "white"))
    findings["values"] = {}
    try:
        photo, label_map = record.read()
        facts = reader.inspect(photo, record.photo)
        findings |= {"photo_size": list(facts.size), "pictures": facts.pictures}
        findings["white"] = facts.white
        if label_map is not None:
            values = label_files.decode_values(label_map, record.label_map, palette)
            if facts.orientation != photos.UPRIGHT and (
                values.shape != facts.size or not facts.fits_a_map
            ):
                raise ValueError(photos.rotated_complaint(record.photo))
            counts = np.bincount(values.reshape(-1), minlength=256)
            findings["label_size"] = list(values.shape)
            findings["values"] = {str(v): int(counts[v]) for v in np.flatnonzero(counts)}
            findings["inside"] = void_classes.inside(values)
    except label_files.ColourMapError as error:
        findings["colours"] = str(error)
    except (OSError, ValueError) as error:
        findings["error"] = str(error)
    return findings


def item_for(record, encoding) -> Any:
    """The record as training reads it: with a label map where the encoding has maps."""
    if not encoding.has_maps:
        return record if record.label_map is None else replace(record, label_map=None)
    if record.label_map is None:
        raise ValueError(
            f"The data set has no label maps. Received: '{record.name}', a photograph alone. Set "
            f"data.encoding=null, or read photographs with maps: data=paired_folders, or "
            f"data.source.label_map_key of a tfds data set"
        )
    return record


def summarize(all_findings, encoding) -> LabelReport:
    values: collections.Counter[int] = collections.Counter()
    inside: dict[int, tuple[int, ...]] = {}
    files = 0
    for findings in all_findings:
        files += 1
        for value, (deep, middle) in findings.get("inside", {}).items():
            before = inside.get(int(value), (0, 0, 0))
            inside[int(value)] = (before[0] + 1, before[1] + deep, before[2] + middle)
        for value, count in findings["values"].items():
            values[int(value)] += count
    ids = np.zeros(256, np.int64)
    for value, count in values.items():
        ids[encoding.ids_of(value)] += count
    return LabelReport(
        class_names=encoding.class_names,
        pixels=ids[: encoding.num_classes],
        ignored=int(ids[IGNORE_ID]),
        files=files,
        values=dict(sorted(values.items())),
        inside=inside,
    )


def _complaints(findings, encoding, all_values) -> Iterator[str]:
    damaged = [found["error"] for found in findings.values() if found["error"]]
    if damaged:
        items = "pairs" if any(record.label_map for record in findings) else "photographs"
        yield f"{len(damaged)} {items} cannot be read: {_first(damaged, '; ')}"
    coloured = [found["colours"] for found in findings.values() if found["colours"]]
    if coloured:
        yield f"{len(coloured)} label maps hold colours instead of class ids. First: {coloured[0]}"
    unequal = [
        "{} {}x{} and {} {}x{}".format(
            record.photo, *found["photo_size"], record.label_map, *found["label_size"]
        )
        for record, found in findings.items()
        if found["label_size"] and found["photo_size"] != found["label_size"]
    ]
    if unequal:
        yield (
            f"{len(unequal)} pairs differ in size (height x width), so pixels and ids do not "
            f"match: {_first(unequal, '; ')}. Remake them, or resize both with "
            f"`{label_files.CONVERT_COMMAND}`"
        )
    yield from _complaints_about_values(findings, encoding, all_values)


def _complaints_about_values(findings, encoding, all_values) -> Iterator[str]:
    files_of = {}
    for record, found in findings.items():
        for value in found["values"]:
            if encoding.ids_of(int(value)) == FOREIGN_ID:
                files_of.setdefault(int(value), []).append(record.label_map)
    if not files_of:
        return
    listed = [
        f"value {value} in {len(files)} files ({all_values[value]:,} pixels), first {files[0]}"
        for value, files in sorted(files_of.items())
    ]
    advice = encoding.advice_for(files_of, all_values)
    yield (
        f"Label maps hold values that mean no class; with data.encoding.num_classes="
        f"{encoding.num_classes}, {encoding.describe_known_values()} are expected. "
        f"Received: {_first(listed, '; ')}. {advice}"
    )


def _warn(findings, encoding, report) -> None:
    if report.absent and encoding.sample_size is None:
        log.warning("Classes that occur in no label map: %s", ", ".join(report.absent))
    photos.warn_of_pictures({r.photo: found.get("pictures", 1) for r, found in findings.items()})


def _first(items, separator) -> str:
    rest = f"{separator}and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else ""
    return separator.join(items[:MAX_NAMED]) + rest
