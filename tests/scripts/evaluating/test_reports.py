"""The passport, the files and the table of an evaluation, on figures at hand."""

import json
import types

import numpy as np
import tensorflow as tf

from scripts.evaluating import reports, subjects


def run_of(*values):
    """A TrainedRun of one network with these variables."""
    owner = types.SimpleNamespace(variables=[tf.Variable(value) for value in values])
    task = types.SimpleNamespace(generation_state=lambda: {"network": owner})
    return types.SimpleNamespace(task=task)


def report(**changes):
    return {
        "title": "a run, step 3", "name": "step_00000003", "run": "a run", "step": 3,
        "protocol": "0123abcd", "figures": {"generated": {"fid": np.float64(0.5)}}, "std": {},
        "confusion": {}, "notes": ["Look twice."], "passport": {"data": "these"},
    } | changes  # fmt: skip


def test_the_hash_is_that_of_the_values():
    plain = subjects.weights_hash(run_of([1.0, 2.0], [3.0]))
    assert plain == subjects.weights_hash(run_of([1.0, 2.0], [3.0]))
    others = [
        run_of([1.0, 2.0], [3.5]), run_of([3.0], [1.0, 2.0]), run_of([1.0], [2.0, 3.0]),
        run_of([[1.0, 2.0]], [3.0]), run_of([1, 2], [3]),
    ]  # fmt: skip
    assert len({plain, *map(subjects.weights_hash, others)}) == 6


def test_a_protocol_is_known_by_its_facts():
    facts = {"data": {"n_real": 5, "split": "test"}, "seed": 0}
    known = reports.protocol_hash(facts)
    assert len(known) == 8
    assert known == reports.protocol_hash(
        {"seed": np.int64(0), "data": {"split": "test", "n_real": 5}}
    )
    assert known != reports.protocol_hash(facts | {"seed": 1})


def test_means_and_deviations_over_repeats():
    measured = [{"generated": {"fid": value, "kid": 1.0}} for value in (1.0, 2.0, 6.0)]
    means, deviations = reports.over_repeats(measured)
    assert means == {"generated": {"fid": 3.0, "kid": 1.0}}
    assert deviations == {"generated": {"fid": np.sqrt(7.0), "kid": 0.0}}
    assert reports.over_repeats(measured[:1]) == (measured[0], {})


def test_files_are_plain_whole_and_say_where_the_sheet_is(tmp_path):
    figures = {"generated": {"fid": np.float64(0.5), "kid": np.nan}, "its stage": {"fid": 2}}
    sheet = np.zeros([4, 5, 3], np.uint8)
    path = reports.write(tmp_path / "new", report(figures=figures), sheet)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        f"step_00000003_0123abcd.{suffix}" for suffix in ("json", "md", "png")
    ]
    found = json.loads(path.read_text())
    assert found["figures"] == {"generated": {"fid": 0.5, "kid": None}, "its stage": {"fid": 2}}
    page = path.with_suffix(".md").read_text()
    assert "| fid | 0.5 | 2 |\n| kid | - | - |" in page and "Look twice." in page
    assert "![What was measured](step_00000003_0123abcd.png)" in page


def test_what_was_measured_before_by_the_same_protocol_stays(tmp_path):
    def written(**changes):
        path = reports.write(tmp_path, report(**changes), None)
        return json.loads(path.read_text())["figures"]

    written(figures={"generated": {"fid": 1.0, "kid": 2.0}, "real": {"miou": 3.0}})
    both = written(figures={"generated": {"fid": 1.5}})
    assert both == {"generated": {"fid": 1.5, "kid": 2.0}, "real": {"miou": 3.0}}
    assert written(passport={"data": "others"}) == {"generated": {"fid": 0.5}}
    (tmp_path / "step_00000003_0123abcd.json").write_text("torn")
    assert written() == {"generated": {"fid": 0.5}}


def test_the_table_has_a_line_for_each_figure():
    figures = {"generated": {"fid": 12.3456, "kid": float("nan")}, "real": {"miou": 1.0}}
    std = {"generated": {"fid": 0.0123}}
    assert reports.text(report(figures=figures, std=std)).splitlines() == [
        "          generated  real",
        "fid   12.35 ± 0.012     -",
        "kid               -     -",
        "miou              -     1",
        "Look twice.",
    ]


def test_damaged_reports_of_other_steps_are_no_points_of_the_curves(tmp_path):
    folder = types.SimpleNamespace(evaluation=tmp_path / "e", tensorboard=tmp_path / "t")
    for step, figures in ((3, {"generated": {"fid": 0.5, "kid": None}}), (4, [1]), (5, None)):
        name = f"step_{step:08d}"
        path = reports.write(folder.evaluation, report(name=name, step=step), None)
        path.write_text(json.dumps(report(step=step, figures=figures)))
    (folder.evaluation / "step_00000006_0123abcd.json").write_text('{"figures": ')
    reports.write_curves(folder, "0123abcd")
    found = [
        (event.step, value.tag)
        for path in (folder.tensorboard / "evaluation_0123abcd").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert found == [(3, "evaluation_generated/fid")]
