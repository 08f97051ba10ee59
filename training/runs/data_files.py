"""The files a run was trained on: names, sizes and encoding, compared when it goes on."""

import gzip
import json
import logging
import zlib
from typing import Any

from training.runs import json_files, whole_files

MAX_BYTES = 1 << 29
MAX_NAMED = 5

log = logging.getLogger(__name__)


def of(data) -> dict[str, Any]:
    """The encoding of the data and, by split, each item in order as [name, bytes of its files]."""
    items = {
        split: [
            [record.name, *(part[1] for part in record.stamp() if isinstance(part, list))]
            for record in data.source.records(split)
        ]
        for split in data.source.splits
    }
    # As JSON gives it back, so that the two can be compared.
    return json.loads(json.dumps({"encoding": data.encoding.settings(), "items": items}))


def keep(run, listed: dict[str, Any]) -> None:
    """Writes what `of` gives into the folder of a run."""
    with whole_files.written(run.data_files) as partial:
        partial.write_bytes(gzip.compress(json.dumps(listed).encode(), mtime=0))


def warn_of_changes(run, listed: dict[str, Any]) -> None:
    """Says in the log what differs from the data the run was trained on so far.

    It goes on all the same: the images of a step are then other ones than without the change.
    """
    changes = differences(saved(run), listed) if run.data_files.is_file() else []
    if changes:
        log.warning("The data are not those this run was trained on so far: %s", "; ".join(changes))


def saved(run) -> dict[str, Any] | None:
    """What `keep` wrote; None where it is damaged."""
    try:
        with gzip.open(run.data_files) as file:
            found = json_files.parsed(file.read(MAX_BYTES))
        lists = [items for items in found["items"].values() for items in items]
        return found if all(isinstance(item[0], str) for item in lists) else None
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, zlib.error):
        return None


def differences(old: dict[str, Any] | None, new: dict[str, Any]) -> list[str]:
    """What has changed, in words; empty = nothing."""
    if old is None:
        return ["what is kept of them in data_files.json.gz is damaged"]
    found = ["the encoding of label maps"] if old.get("encoding") != new["encoding"] else []
    for split in {**old["items"], **new["items"]}:
        before, now = ({item[0]: item[1:] for item in part["items"].get(split, [])}
                       for part in (old, new))  # fmt: skip
        changed = {
            "added": [name for name in now if name not in before],
            "gone": [name for name in before if name not in now],
            "of another size": [n for n in now if n in before and now[n] != before[n]],
        }
        found += [
            f"{split}: {len(names)} {what}: {', '.join(names[:MAX_NAMED])}"
            + (" ..." if len(names) > MAX_NAMED else "")
            for what, names in changed.items()
            if names
        ]
        if not any(changed.values()) and list(before) != list(now):
            found.append(f"{split}: the order of the items")
    return found
