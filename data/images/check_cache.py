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

CACHE_VERSION = 3


def cache_file(folder, root) -> Path | None:
    """Where the findings about the files below `root` are kept; None without a folder."""
    if folder is None:
        return None
    where = hashlib.sha256(os.path.abspath(root).encode()).hexdigest()[:12]
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
        content = json.loads(path.read_text())
        return content["pairs"] if content["version"] == CACHE_VERSION else {}
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return {}


def _store(path, known) -> None:
    if path is None:
        return
    try:
        content = json.dumps({"version": CACHE_VERSION, "pairs": known})
        files.write_atomically(path, content.encode())
    except OSError as error:
        log.info("The result of the data check is not kept: %s", error)
