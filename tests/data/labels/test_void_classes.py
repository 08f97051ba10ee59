"""Questions about classes that may be no classes, and that their proposals answer them."""

import re
import shlex

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from data.labels import void_classes
from scripts.command import overrides
from scripts.preparing import commands
from tests.helpers import label_sets

SIZE = (40, 60)


def areas(rng):
    """Ids 0..2 in areas that are large and not the same in any two maps."""
    ids = np.zeros(SIZE, np.uint8)
    ids[rng.integers(10, 30) :] = 1
    ids[:, rng.integers(20, 40) :] = 2
    return ids


def thin_lines(ids):
    """Id 3 between the areas, five pixels wide."""
    marked = ids.copy()
    for axis in (0, 1):
        changes = np.diff(ids.astype(int), axis=axis) != 0
        for row, column in zip(*np.nonzero(changes), strict=True):
            marked[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = 3
    return marked


def frame(ids):
    marked = np.full_like(ids, 3)
    marked[3:-3, 5:-5] = ids[3:-3, 5:-5]
    return marked


def write(root, change):
    rng = np.random.default_rng(3)
    for kind in ("photos", "labels"):
        (root / kind).mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", SIZE[::-1]).save(root / f"photos/{number}.png")
        Image.fromarray(change(areas(rng))).save(root / f"labels/{number}.png")
    return root


def asked(root, capsys, **settings):
    commands.check(label_sets.settings("check", root=root, **settings))
    printed = capsys.readouterr().out
    return [line for line in printed.splitlines() if line.startswith("Question: ")]


def first_as_void(ids):
    return ((thin_lines(ids) + 1) % 4).astype(np.uint8)


FOUND = {
    "lines between areas": (thin_lines, {"class_names": list("abcd")}, 3, "along borders alone"),
    "the first id": (first_as_void, {"class_names": list("abcd")}, 0, "along borders alone"),
    "the edges": (frame, {"class_names": list("abcd")}, 3, "edges of the photographs alone"),
    "a class that never occurs": (lambda ids: ids,
                                  {"class_names": list("abcd")}, 3, "occurs in no label map"),
    "the name": (lambda ids: ids, {"class_names": ["a", "b", "Void"]}, 2, "has the name"),
    "the last id": (lambda ids: ids, {}, 2, "the last id"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_it_is_asked_and_the_proposal_answers(tmp_path, capsys, case):
    change, settings, value, reason = FOUND[case]
    root = write(tmp_path / "set", change)
    (question,) = asked(root, capsys, **settings)
    assert question.startswith(f"Question: Class {value} (") and reason in question
    words = shlex.split(re.search(r"set (num_classes=.*); then", question)[1])
    parsed = OverridesParser.create().parse_overrides(overrides.with_nulls(words))
    proposed = {override.key_or_group: override.value() for override in parsed}
    if "class_names" in settings:
        kept = [name for i, name in enumerate(settings["class_names"]) if i != value]
        proposed["class_names"] = kept
    assert asked(root, capsys, **proposed) == []


def test_nothing_is_asked_about_classes_that_are_known(tmp_path, capsys):
    root = write(tmp_path / "set", lambda ids: ids)
    assert asked(root, capsys, class_names=list("abc")) == []
    assert asked(root, capsys, num_classes=3, ignore_index=255) == []


@pytest.mark.parametrize("shape", [(1, 1), (6, 90), (7, 7)])
def test_small_maps(shape):
    values = np.zeros(shape, np.uint16)
    values[0, 0] = 40_000
    found = void_classes.inside(values)
    assert set(found) <= {"0", "40000"} and found["40000"][0] == 0
    deep = sum(count[0] for count in found.values())
    assert deep == (1 if shape == (7, 7) else 0)
