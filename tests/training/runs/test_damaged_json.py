"""Damaged JSON of a run: what is whole is used, or the error names the file."""

import json
import math

import pytest

from scripts.comparing import run_differences, run_figures
from scripts.evaluating import reports
from tests.helpers import text_mutations
from training.runs import classes, json_files, run_folder

MUTATIONS = 2000
LINES = [
    {"step": 10, "d/loss": 0.5, "speed/images_per_second": 12.0},
    {"step": 20, "d/loss": math.nan, "eval/fid": 3.25e-07},
    {"step": 30, "d/loss": 1},
]
METRICS = "".join(json.dumps(line) + "\n" for line in LINES).encode()
REPORT = {
    "name": "step_00000002", "title": "t", "step": 2, "protocol": "abcd",
    "figures": {"all": {"fid": 1.5, "kid": None}}, "std": {"all": {"fid": 0.1}},
    "confusion": {}, "notes": ["n"], "passport": {"protocol": {"a": {"b": 1}, "c": [2]}},
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    (tmp_path / "evaluation").mkdir()
    return run_folder.RunFolder(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [b"5", b"null", b"[1]", b'"a"', b"", b"{", b'{"d/loss": 1}', b'{"step": null}',
     b'{"step": "3"}', b'{"step": true}', b'{"step": 1.5}', b'{"step": 7, "a": "b"}',
     b'{"step": 7, "a": [1]}',
     b'{"step": 7, "a": null}', b'\xff{"step": 7}', b'{"step": 7, "a": ' + b"9" * 400 + b"}",
     b'{"step": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"step": 7, "a\xff": 1}'],
    ids=range(19),
)  # fmt: skip
def test_a_damaged_line_of_the_metrics_is_left_out(damage, run):
    first, rest = METRICS.split(b"\n", 1)
    run.metrics.write_bytes(first + b"\n" + damage + b"\n" + rest)
    assert [line["step"] for line in run_folder.metrics_lines(run.metrics)] == [10, 20, 30]
    state = run_differences.state(run)
    assert state["step"] == 30 and state["values"]["d/loss"] == {"value": 1, "step": 30}
    run_folder.drop_metrics_after(run.metrics, 20)
    assert run.metrics.read_bytes() == b"".join(METRICS.splitlines(keepends=True)[:2])


def test_json_of_too_many_lists_is_refused_before_it_takes_memory():
    bomb = b"[" + b"[]," * json_files.MAX_LISTS + b"[]]"
    with pytest.raises(ValueError, match="at most 20000000 lists"):
        json_files.parsed(bomb)


def test_mutated_metrics_are_read_and_resumed(run):
    whole = 0
    for content in text_mutations.of(METRICS, MUTATIONS):
        run.metrics.write_bytes(content)
        state = run_differences.state(run)
        run_differences.state_blocks({"a": state, "b": state})
        run_folder.drop_metrics_after(run.metrics, 20)
        steps = [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()]
        assert all(step <= 20 for step in steps)
        whole += steps == [10, 20]
    assert whole > MUTATIONS / 20  # damage of the last line leaves the others


def test_mutated_class_names_are_read_or_refused_by_name(run):
    names = ["cat", "dog", "Bäume"]
    refused = 0
    for content in text_mutations.of(json.dumps(names, ensure_ascii=False).encode(), MUTATIONS):
        run.image_class_names.write_bytes(content)
        try:
            found = classes.saved(run)
            assert isinstance(found, list) and all(isinstance(name, str) for name in found)
        except ValueError as error:
            refused += 1
            assert str(run.image_class_names) in str(error)
    assert MUTATIONS / 2 < refused < MUTATIONS


def test_mutated_reports_are_shown_or_named(run):
    path = run.evaluation / "step_00000002_abcd.json"
    unread = 0
    for content in text_mutations.of(json.dumps(REPORT).encode(), MUTATIONS):
        path.write_bytes(content)
        figures = run_figures.collected({"a": run})
        run_figures.blocks(figures)
        unread += any(str(path) in text for text in figures["unread"])
        reports._with_earlier(path, dict(REPORT))
        report = reports.read(path)
        if report is not None:
            reports.rows(report)
    assert MUTATIONS / 2 < unread < MUTATIONS


def test_json_of_any_size_and_depth_is_a_value_error(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("[" * 30 + "]" * 30)
    json_files.read(path)
    for text in ("[" * 40 + "]" * 40, "[" * 10**6, '{"a":' * 10**5, "1" * 5000):
        path.write_text(text)
        with pytest.raises(ValueError):
            json_files.read(path)
    monkeypatch.setattr(json_files, "MAX_BYTES", 10)
    path.write_text("[" + " " * 10 + "]")
    with pytest.raises(ValueError, match="at most 10 bytes.*a.json"):
        json_files.read(path)
