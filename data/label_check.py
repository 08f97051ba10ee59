"""The check before training: are all files readable, of one size per pair, and their ids legal?"""

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data import decoded_cache, label_files, photos
from data.batch import IGNORE_ID
from data.label_maps import FOREIGN_ID

log = logging.getLogger(__name__)

MAX_NAMED = 5
CACHE_VERSION = 1


@dataclass
class LabelReport:
    """What the check saw: pixels per class, pixels ignored, files read, classes that never occur.

    `values` counts the raw file values before any mapping.
    """

    class_names: tuple[str, ...]
    pixels: np.ndarray
    ignored: int
    files: int
    values: dict[int, int] = field(default_factory=dict)

    @property
    def absent(self):
        return [name for name, n in zip(self.class_names, self.pixels, strict=True) if n == 0]

    def table(self):
        """A text table: id, class, pixels, share of all pixels."""
        total = max(1, int(self.pixels.sum()) + self.ignored)
        rows = [(str(i), name, int(n)) for i, (name, n) in
                enumerate(zip(self.class_names, self.pixels, strict=True))]  # fmt: skip
        rows += [(str(IGNORE_ID), "(ignored)", self.ignored)] if self.ignored else []
        width = max(len(name) for _, name, _ in rows)
        lines = [f"{'id':>3}  {'class':<{width}}  {'pixels':>14}  share"]
        for index, name, pixels in rows:
            lines.append(f"{index:>3}  {name:<{width}}  {pixels:>14,}  {pixels / total:.4f}")
        return "\n".join(lines)


def check_source(source, encoding, cache_folder, *, progress=True):
    """Checks the files of all splits, or a sample of each, and counts the classes.

    Args:
        source: object with `root`, `splits` and `records(split)`; unpaired files are its errors.
        encoding: LabelEncoding; its `check` says how many files are read.
        cache_folder: where results are kept by file name, size and time; None keeps none.
        progress: bool, show a bar (on terminals only).

    Returns:
        LabelReport over the files read.

    Raises:
        ValueError: a split is empty, or files are damaged, of different sizes, in colours, or
            hold values that mean no class. The message names files, values and settings.
    """
    records = []
    for split in source.splits:
        members = source.records(split)
        if not members:
            raise ValueError(f"Split '{split}' is empty. Received: 0 pairs.")
        records += sample(members, encoding.sample_size)
    cache_file = None
    if cache_folder is not None:
        where = hashlib.sha256(os.path.abspath(source.root).encode()).hexdigest()[:12]
        cache_file = Path(cache_folder) / f"check-{where}.json"
    facts = gather_facts(records, encoding, cache_file, progress=progress)
    report = summarize(facts.values(), encoding)
    complaints = list(_complaints(facts, encoding, report.values))
    if complaints:
        raise ValueError(
            f"The data check of {len(records)} pairs found what would spoil the training:\n"
            + "\n".join(f"- {complaint}" for complaint in complaints)
        )
    if report.absent and encoding.sample_size is None:
        log.warning("Classes that occur in no label map: %s", ", ".join(report.absent))
    return report


def check_pair(record, encoding):
    """Raises the ValueError that `check_source` would raise for this one pair."""
    facts = {record: inspect(record, encoding.colour_palette)}
    values = summarize(facts.values(), encoding).values
    for complaint in _complaints(facts, encoding, values):
        raise ValueError(complaint)


def sample(records, size):
    """`size` records spread evenly over a split; None = all."""
    if size is None or size >= len(records):
        return list(records)
    return [records[i * len(records) // size] for i in range(size)]


def inspect(record, palette):
    """Facts of one pair: sizes, counts of file values, and what is wrong with reading it."""
    facts = {"photo_size": None, "label_size": None, "values": {}, "colours": None, "error": None}
    try:
        facts["photo_size"] = list(photos.inspect_photo(record.photo))
        if record.label_map is not None:
            values = label_files.read_values(record.label_map, palette)
            counts = np.bincount(values.reshape(-1), minlength=256)
            facts["label_size"] = list(values.shape)
            facts["values"] = {str(v): int(counts[v]) for v in np.flatnonzero(counts)}
    except label_files.ColourMapError as error:
        facts["colours"] = str(error)
    except (OSError, ValueError) as error:
        facts["error"] = str(error)
    return facts


def gather_facts(records, encoding, cache_file, *, progress):
    """{record: facts}, in parallel; pairs whose files did not change come from the cache."""
    known = _load(cache_file)
    palette = json.dumps(encoding.palette, sort_keys=True)
    facts, to_read = {}, []
    for record in records:
        stamp = _stamp(record, palette)
        entry = known.get(record.name)
        if entry is not None and stamp is not None and entry["stamp"] == stamp:
            facts[record] = entry["facts"]
        else:
            to_read.append((record, stamp))
    if to_read:
        with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
            found = pool.map(lambda item: inspect(item[0], encoding.colour_palette), to_read)
            bar = tqdm(found, "Checking data", len(to_read), disable=None if progress else True)
            for (record, stamp), result in zip(to_read, bar, strict=True):
                facts[record] = result
                if stamp is not None and not result["error"] and not result["colours"]:
                    known[record.name] = {"stamp": stamp, "facts": result}
        _store(cache_file, known)
    return {record: facts[record] for record in records}


def summarize(all_facts, encoding):
    values = np.zeros(256, np.int64)
    files = 0
    for facts in all_facts:
        files += 1
        for value, count in facts["values"].items():
            values[int(value)] += count
    ids = np.bincount(encoding.lookup, weights=values, minlength=256).astype(np.int64)
    return LabelReport(
        class_names=encoding.class_names,
        pixels=ids[: encoding.num_classes],
        ignored=int(ids[IGNORE_ID]),
        files=files,
        values={int(v): int(values[v]) for v in np.flatnonzero(values)},
    )


def _complaints(facts, encoding, all_values):
    yield from _complaints_about_files(facts)
    yield from _complaints_about_values(facts, encoding, all_values)


def _complaints_about_files(facts):
    damaged = [found["error"] for found in facts.values() if found["error"]]
    if damaged:
        yield f"{len(damaged)} pairs cannot be read: {_first(damaged, '; ')}"
    coloured = [found["colours"] for found in facts.values() if found["colours"]]
    if coloured:
        yield f"{len(coloured)} label maps hold colours instead of class ids. First: {coloured[0]}"
    unequal = [
        f"{record.photo} {_size(found['photo_size'])} and {record.label_map} "
        f"{_size(found['label_size'])}"
        for record, found in facts.items()
        if found["label_size"] and found["photo_size"] != found["label_size"]
    ]
    if unequal:
        yield (
            f"{len(unequal)} pairs differ in size (height x width), so pixels and ids do not "
            f"match: {_first(unequal, '; ')}. Remake them, or resize both with "
            f"`{label_files.CONVERT_COMMAND}`"
        )


def _complaints_about_values(facts, encoding, all_values):
    files_of = {}
    for record, found in facts.items():
        for value in found["values"]:
            if encoding.lookup[int(value)] == FOREIGN_ID:
                files_of.setdefault(int(value), []).append(record.label_map)
    if not files_of:
        return
    listed = [
        f"value {value} in {len(files)} files ({all_values[value]:,} pixels), first {files[0]}"
        for value, files in sorted(files_of.items())
    ]
    yield (
        f"Label maps hold values that mean no class; with data.labels.num_classes="
        f"{encoding.num_classes}, {encoding.describe_known_values()} are expected. "
        f"Received: {_first(listed, '; ')}. {_advice(encoding, files_of, all_values)}"
    )


def _advice(encoding, foreign, all_values):
    """Common numberings are recognised; else the general advice."""
    classes = encoding.num_classes
    present = set(all_values) - {encoding.ignore_index}
    if not encoding.id_map and min(present) == 1 and max(present) == classes:
        mapping = ",".join(f"{i + 1}:{i}" for i in range(classes))
        return f"The values count from 1. Set 'data.labels.id_map={{{mapping}}}'"
    if not encoding.id_map and classes == 2 and present == {0, 255}:
        return "These are black and white masks. Set 'data.labels.id_map={0:0,255:1}'"
    return encoding.advice_for(foreign)


def _first(items, separator):
    rest = f"{separator}and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else ""
    return separator.join(items[:MAX_NAMED]) + rest


def _size(size):
    return f"{size[0]}x{size[1]}"


def _stamp(record, palette):
    try:
        paths = [record.photo] + ([record.label_map] if record.label_map else [])
        return [palette, *(decoded_cache.file_stamp(path) for path in paths)]
    except OSError:
        return None  # Vanished since the folder was listed: `inspect` says so.


def _load(path):
    try:
        content = json.loads(path.read_text())
        return content["pairs"] if content["version"] == CACHE_VERSION else {}
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return {}


def _store(path, known):
    if path is None:
        return
    try:
        content = json.dumps({"version": CACHE_VERSION, "pairs": known})
        decoded_cache.write_atomically(path, content.encode())
    except OSError as error:
        log.info("The result of the data check is not kept: %s", error)
