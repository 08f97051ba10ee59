"""Lists of splits and palettes: hostile ones, and damaged ones by number."""

import os

import numpy as np
import pytest

from data.labels import palette_files
from data.sources import splits
from tests.helpers import mutations

STEMS = ("a/1", "a/2", "b.c", "\u00e9", "long" * 20)
LIST = "\ufeff# the items\r\na/1\r\na/2.jpg # two\r\n\r\n b.c\n\u00e9\n".encode()
PALETTES = [
    b"wall: [255, 0, 1]\nsky: '#00ff10'\nignore: [0, 0, 0]\n",
    b'[[1, 2, 3], [4, 5, 6], "#0a0B0c"]',
    b'{"a": [1, 2, 3], "b": [4, 5, 6]}',
    b"- [1, 2, 3]\n- '#ffffff'\n",
]
COUNT = 2000


def listed(path):
    return splits.ListSplits({"train": path.name}).assign(STEMS, path.parent)["train"]


def outcomes_of(read, path, whole):
    """ "read" or "refused" of each damaged file; what is refused is named."""
    found = []
    for number in range(COUNT):
        draw = np.random.default_rng(number)
        path.write_bytes(
            mutations.mutated(whole[number % len(whole)], draw, whole + [b"\0\xff" * 9])
        )
        try:
            read(path)
            found.append("read")
        except ValueError as error:
            assert str(path) in str(error), (number, error)
            assert len(str(error)) < 2000, number
            found.append("refused")
    return found


def test_a_list_with_a_byte_order_mark_and_windows_lines(tmp_path):
    (tmp_path / "train.txt").write_bytes(LIST)
    assert listed(tmp_path / "train.txt") == ["a/1", "a/2", "b.c", "\u00e9"]


@pytest.mark.parametrize(
    "content",
    [
        b"../a/1",
        b"/etc/passwd",
        b"a/1\0",
        b"a/1\xff",
        b"x" * 10**6,
        b"\xff\xfea\0",
        b"a/1\na/1",
        b"",
    ],
    ids=["above", "absolute", "NUL", "no UTF-8", "one long line", "UTF-16", "twice", "empty"],
)
def test_lists_that_name_other_things_are_refused(tmp_path, content):
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(ValueError, match="train.txt") as error:
        listed(tmp_path / "train.txt")
    assert len(str(error.value)) < 1000


def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="list of split 'train'.*pipe"):
        listed(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="palette file.*pipe"):
        palette_files.load_palette(tmp_path / "pipe")


def test_damaged_lists(tmp_path):
    found = outcomes_of(listed, tmp_path / "train.txt", [LIST])
    assert 0 < found.count("read") < COUNT


@pytest.mark.parametrize(
    "content",
    [
        b"a: &x [1, 2, 3]\nb: *x",
        b"a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
        b"[" * 60000,
        b"- [1, 2, 3]\n" * 10**5,
        b"!!python/object/apply:os.system [id]",
        b"- [1.5, 2, 3]",
        b"- [.inf, 2, 3]",
        b"- {0: 1, 1: 2, 2: 3}",
        b"- [true, [], 3]",
        b"5",
        b"null",
        b"a: 2001-99-99",
        b"\n".join(b"- [%d, 0, 1]" % i for i in range(255)),
        b"\xff\xfe",
        b"",
    ],
)
def test_hostile_palettes_are_refused(tmp_path, content):
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(ValueError, match="p.yaml"):
        palette_files.load_palette(tmp_path / "p.yaml")


def test_damaged_palettes(tmp_path):
    found = outcomes_of(palette_files.load_palette, tmp_path / "p.yaml", PALETTES)
    assert 0 < found.count("read") < COUNT
