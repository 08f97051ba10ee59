"""Runs scripts/evaluate.py's own code on tiny runs."""

import json

from scripts.evaluating import evaluation
from tests.helpers import saved_run, tiny


def evaluated(out, *settings):
    """(report, what the command prints) of settings; the files are in the folder `out`."""
    text = evaluation.evaluate(saved_run.compose("evaluate", f"out={out}", *settings))
    (path,) = out.glob("*.json")
    assert str(path.with_suffix(".*")) in text
    return json.loads(path.read_text()), text


def data(tmp_path_factory):
    """Overrides of a tiny embedded data set."""
    return tiny.data_overrides(tiny.write_data(tmp_path_factory.mktemp("data") / "facades"))


def table(text):
    """{figure: {column: cell}} of the printed table; cells of one word."""
    titles, *lines = [line.split("  ") for line in text.splitlines()]
    titles = [title.strip() for title in titles if title.strip()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return {row[0]: dict(zip(titles, row[1:], strict=True))
            for row in rows if len(row) == len(titles) + 1}  # fmt: skip
