"""The picture of a confusion matrix: colours where they belong, text where there is room."""

import numpy as np
import pytest

from training.watch import confusion_picture

COUNTS = np.array([[3, 1, 0], [0, 8, 0], [0, 0, 0]])
NAMES = ("wall", "window", "door")
MARGIN, TOP = 110, 110 + 16


def cell(picture, row, column, size):
    return picture[
        TOP + row * size : TOP + (row + 1) * size, MARGIN + column * size :][:, :size]  # fmt: skip


def test_cells_show_the_share_of_their_row():
    picture = confusion_picture.draw(COUNTS, NAMES)
    size = confusion_picture.cell_size(3)

    def corner(row, column):
        return tuple(cell(picture, row, column, size)[2, 2])

    # White to (8, 48, 107): 255 - 0.75 * 247 = 69.75, 255 - 0.75 * 207 = 99.75, ...
    assert corner(0, 0) == (70, 100, 144)
    assert corner(0, 1) == (193, 203, 218)
    assert corner(1, 1) == (8, 48, 107)
    assert corner(0, 2) == corner(1, 0) == (255, 255, 255)
    assert {corner(2, column) for column in range(3)} == {confusion_picture.EMPTY}


def test_numbers_stand_in_cells_with_entries():
    picture = confusion_picture.draw(COUNTS, NAMES)
    size = confusion_picture.cell_size(3)
    written = [
        [len(np.unique(cell(picture, r, c, size)[2:-2, 2:-2].reshape(-1, 3), axis=0)) > 1
         for c in range(3)]
        for r in range(3)
    ]  # fmt: skip
    np.testing.assert_array_equal(written, COUNTS > 0)


@pytest.mark.parametrize(
    ("count", "numbers", "names"), [(2, 1, 1), (30, 1, 1), (35, 0, 1), (80, 0, 0)]
)
def test_text_stands_where_there_is_room(count, numbers, names):
    titles = [f"class {index}" for index in range(count)]
    plain = confusion_picture.draw(np.eye(count, dtype=int), titles)
    size = confusion_picture.cell_size(count)
    assert max(plain.shape) < 900
    left = MARGIN if names else confusion_picture.GAP
    top = left + 16
    first = plain[top + 1 : top + size - 1, left + 1 : left + size - 1].reshape(-1, 3)
    assert (len(np.unique(first, axis=0)) > 1) is bool(numbers)
    others = confusion_picture.draw(np.eye(count, dtype=int), ["other"] * count)
    assert (not np.array_equal(plain, others)) is bool(names)
