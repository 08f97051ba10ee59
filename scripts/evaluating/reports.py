"""What an evaluation leaves: figures with a passport, as JSON, table, page and curves."""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data import files
from scripts.command import tables
from training.runs import json_files
from training.watch import contact_sheet


def protocol_hash(facts: dict) -> str:
    """8 digits of all that figures depend on but the weights; equal ones can be compared."""
    text = json.dumps(plain(facts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def over_repeats(measured: list[dict]) -> tuple[dict, dict]:
    """(means, standard deviations) of {column: {figure: value}} over repeats; none of one."""
    means, deviations = {}, {}
    for column, figures in measured[0].items():
        values = {name: [repeat[column][name] for repeat in measured] for name in figures}
        means[column] = {name: float(np.mean(of)) for name, of in values.items()}
        if len(measured) > 1:
            deviations[column] = {name: float(np.std(of, ddof=1)) for name, of in values.items()}
    return means, deviations


def plain(value) -> Any:
    """The value with NumPy's types as Python's, NaN as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def rows(report: dict) -> list[list[str]]:
    """The figures as text: a line of titles, then one for each figure."""
    columns = report["figures"]
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    lines = [["", *columns]]
    for name in names:
        lines.append([name, *(cell(report, column, name) for column in columns)])
    return lines


def text(report: dict) -> str:
    """The report for a terminal."""
    return "\n".join([*tables.aligned(rows(report)), *report["notes"]])


def cell(report: dict, column: str, name: str, digits: int = 4) -> str:
    """A figure and its deviation over repeats as text; "-" where there is none."""
    value = report["figures"].get(column, {}).get(name)
    if value is None or math.isnan(value):
        return "-"
    deviation = report.get("std", {}).get(column, {}).get(name)
    return f"{value:.{digits}g}" + ("" if deviation is None else f" ± {deviation:.2g}")


def markdown(report: dict, sheet: str | None) -> str:
    """The report as a page."""
    page = [f"# {report['title']}", "", tables.markdown(rows(report))]
    page += ["", *(f"{note}\n" for note in report["notes"])]
    if sheet is not None:
        page += [f"![What was measured]({sheet})", ""]
    passport = json.dumps(plain(report["passport"]), ensure_ascii=False, indent=1)
    page += [f"Protocol {report['protocol']}: figures of equal protocols compare.", ""]
    return "\n".join([*page, "```json", passport, "```", ""])


def write(folder: Path, report: dict, sheet: np.ndarray | None) -> Path:
    """Writes JSON, page and sheet of a report; returns the path of the JSON file.

    Another protocol is another file. What was measured before by the same one, of the same weights,
    stays beside what is new.
    """
    path = folder / f"{report['name']}_{report['protocol']}.json"
    report = _with_earlier(path, plain(report))
    picture = path.with_suffix(".png")
    if sheet is not None:
        contact_sheet.write_sheet(picture, sheet)
    page = markdown(report, None if sheet is None else picture.name)
    content = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    files.write_atomically(path.with_suffix(".md"), page.encode(errors="backslashreplace"))
    files.write_atomically(path, content.encode(errors="backslashreplace"))
    return path


def _with_earlier(path, report) -> dict:
    """The report with the figures of an earlier one that has its passport."""
    try:
        earlier = json_files.read(path)
        if not _is_report(earlier) or earlier["passport"] != report["passport"]:
            return report
        for part in ("figures", "std"):
            columns = earlier[part] | report[part]
            report[part] = {name: earlier[part].get(name, {}) | columns[name] for name in columns}
        report["confusion"] = earlier["confusion"] | report["confusion"]
        report["notes"] = list(dict.fromkeys(report["notes"] + earlier["notes"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or not one of ours
        return report
    return report


def read(path: Path) -> dict | None:
    """The report of a run in a file; None where there is none, or a damaged one."""
    try:
        report = json_files.read(path)
    except (OSError, ValueError):
        return None
    of_run = _is_report(report) and type(report.get("step")) is int
    return report if of_run and report["figures"] else None


def _is_report(content) -> bool:
    """Whether what a file holds has the form of a report."""
    if not isinstance(content, dict) or not isinstance(content.get("protocol"), str):
        return False
    passport = content.get("passport", {})
    notes = content.get("notes", [])
    tables = [content.get("figures"), content.get("std", {})]
    if not all(isinstance(part, dict) for part in (passport, *tables)):
        return False
    columns = [column for table in tables for column in table.values()]
    return (
        isinstance(passport.get("protocol", {}), dict)
        and isinstance(notes, list)
        and all(isinstance(note, str) for note in notes)
        and all(isinstance(column, dict) for column in columns)
        and all(v is None or json_files.is_number(v) for c in columns for v in c.values())
    )


def write_curves(run_folder, protocol: str) -> None:
    """Curves in TensorBoard over all steps of a run that were measured by one protocol."""
    folder = run_folder.tensorboard / f"evaluation_{protocol}"
    shutil.rmtree(folder, ignore_errors=True)
    writer = tf.summary.create_file_writer(str(folder))
    for path in sorted(run_folder.evaluation.glob(f"step_*_{protocol}.json")):
        report = read(path) or {"step": 0, "figures": {}}
        with writer.as_default(step=report["step"]):
            for column, figures in report["figures"].items():
                for name, value in figures.items():
                    if value is not None:
                        tag = f"evaluation_{column.replace(' ', '_')}/{name}"
                        tf.summary.scalar(tag, float(value))
    writer.close()
