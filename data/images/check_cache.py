"""Findings of the data check, kept by name, size and times of the files until these change."""

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from data import files

log = logging.getLogger(__name__)

CACHE_VERSION = 5  # 4: a checksum before the findings, 5: photographs upright, where values lie


def cache_file(folder, root) -> Path | None:
    """Where the findings about the files below `root` are kept; None without a folder."""
    if folder is None:
        return None
    where = hashlib.sha256(os.fsencode(os.path.abspath(root))).hexdigest()[:12]
    return Path(folder) / f"check-{where}.json"


def gather(records, inspect, path, *, settings, progress=True) -> dict:
    """{record: findings}, in parallel; items whose files did not change come from the cache.

    Args:
        records: list of Record.
        inspect: record -> JSON-clean dict with `error` and `colours`; findings with one of
            them set are not kept.
        path: file of the cache, or None.
        settings: JSON-clean value that the findings depend on.
        progress: bool, show a bar (on terminals only).
    """
    known = _load(path)
    settings = json.dumps(settings, sort_keys=True)
    findings, to_read = {}, []
    for record in records:
        stamp = _stamp(record, settings)
        entry = known.get(record.name)
        if entry is not None and stamp is not None and entry["stamp"] == stamp:
            findings[record] = entry["findings"]
        else:
            to_read.append((record, stamp))
    if to_read:
        with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
            results = pool.map(lambda item: inspect(item[0]), to_read)
            bar = tqdm(results, "Checking data", len(to_read), disable=None if progress else True)
            for (record, stamp), result in zip(to_read, bar, strict=True):
                findings[record] = result
                if stamp is not None and not result["error"] and not result["colours"]:
                    known[record.name] = {"stamp": stamp, "findings": result}
        _store(path, known)
    return {record: findings[record] for record in records}


def _stamp(record, settings) -> list | None:
    try:
        return [settings, *record.stamp()]
    except OSError:
        return None  # Vanished since the folder was listed: `inspect` raises.


def _load(path) -> dict:
    try:
        mark, content = path.read_bytes().split(b"\n", 1)
    except (AttributeError, OSError, ValueError):  # no path, no file, one of another version
        return {}
    return json.loads(content) if mark == _mark(content) else {}


def _mark(content) -> bytes:
    """The first line of the file: what is damaged is not read, and everything is checked anew."""
    return f"{CACHE_VERSION} {hashlib.sha256(content).hexdigest()}".encode()


def _store(path, known) -> None:
    if path is None:
        return
    try:
        content = json.dumps(known).encode()
        files.write_atomically(path, _mark(content) + b"\n" + content)
    except OSError as error:
        log.info("The result of the data check is not kept: %s", error)
