"""Reports of scripts/evaluate.py: side by side where they measure the same, apart where not."""

import re
from collections.abc import Iterator

from scripts.evaluating import reports

ABSENT = "-"
HASH = re.compile(r"[0-9a-f]{40,}")
HASH_SHOWN = 12


def collected(folders: dict) -> dict:
    """The newest report of each run and protocol.

    Args:
        folders: name of run -> RunFolder.

    Returns:
        {"together": [{"protocol", "reports": {name: report}}] of protocols that several runs have,
        "apart": [{"run", "protocol", "report", "nearest": {"run", "protocol"} or None, "differs":
        {key: [here, there]}}] of the others, "unread": complaints about files}.
    """
    by_protocol, unread = {}, []
    for name, folder in folders.items():
        for path in sorted(folder.evaluation.glob("*.json")):
            report = reports.read(path)
            if report is None:
                unread.append(f"{path} is no report with a protocol: measure the run again.")
                continue
            of_runs = by_protocol.setdefault(report["protocol"], {})
            if name not in of_runs or report["step"] >= of_runs[name]["step"]:
                of_runs[name] = report
    together = [
        {"protocol": protocol, "reports": of_runs}
        for protocol, of_runs in by_protocol.items()
        if len(of_runs) > 1
    ]
    apart = [
        {"run": name, "protocol": protocol, "report": report, **_nearest(name, report, by_protocol)}
        for protocol, of_runs in by_protocol.items()
        for name, report in of_runs.items()
        if len(of_runs) == 1
    ]
    return {"together": together, "apart": apart, "unread": unread}


def _nearest(name, report, by_protocol) -> dict:
    """The report of another run that was measured most like this one, and in what they differ."""
    others = [
        (other, protocol, differences(report, found))
        for protocol, of_runs in by_protocol.items()
        for other, found in of_runs.items()
        if other != name
    ]
    if not others:
        return {"nearest": None, "differs": {}}
    other, protocol, differs = min(others, key=lambda entry: len(entry[2]))
    return {"nearest": {"run": other, "protocol": protocol}, "differs": differs}


def differences(report, other) -> dict:
    """{key: [here, there]}: in what two reports were not measured alike, by their passports."""
    here, there = (
        dict(_leaves(found.get("passport", {}).get("protocol", {}))) for found in (report, other)
    )
    keys = dict.fromkeys([*here, *there])
    return {
        key: [here.get(key, ABSENT), there.get(key, ABSENT)]
        for key in keys
        if here.get(key, ABSENT) != there.get(key, ABSENT)
    }


def _leaves(node, prefix="") -> Iterator[tuple]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def blocks(figures: dict) -> list:
    """Sentences and tables of `collected`."""
    shown = []
    for entry in figures["together"]:
        shown += [
            f"Measured the same way (protocol {entry['protocol']}):",
            _table(entry["reports"]),
        ]
    for entry in figures["apart"]:
        shown += [_why_apart(entry), _table({entry["run"]: entry["report"]})]
    if not shown:
        shown.append("There are no figures to compare: python scripts/evaluate.py run=RUN")
    return shown + figures["unread"]


def _why_apart(entry) -> str:
    run, protocol, nearest = entry["run"], entry["protocol"], entry["nearest"]
    if nearest is None:
        return f"{run} (protocol {protocol}): no other run has figures."
    differs = "; ".join(
        f"{key} {_short(here)} / {_short(there)}" for key, (here, there) in entry["differs"].items()
    )
    return (
        f"{run} (protocol {protocol}) cannot be compared: no other run was measured this way. The "
        f"nearest is {nearest['run']} (protocol {nearest['protocol']}); they differ in: "
        f"{differs or 'what their passports do not say'}."
    )


def _short(value) -> str:
    return str(value)[:HASH_SHOWN] if HASH.fullmatch(str(value)) else str(value)


def _table(of_runs: dict) -> list:
    """Rows of a table: a line a figure, a column a run."""
    keys = dict.fromkeys(
        (row, name)
        for report in of_runs.values()
        for row, figures in report["figures"].items()
        for name in figures
    )
    lines = [["step", *(str(report["step"]) for report in of_runs.values())]]
    for row, name in keys:
        figures = (reports.cell(report, row, name, 5) for report in of_runs.values())
        lines.append([f"{row}: {name}", *figures])
    return [["", *of_runs], *lines]
