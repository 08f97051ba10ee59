"""Strokes: capsules against a loop over pixels, and the geometry of what is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from data.holes import capsules, strokes


def filled(starts, ends, radii, height, width):
    arguments = [tf.constant(np.asarray(value), tf.float32) for value in (starts, ends, radii)]
    return capsules.fill(*arguments, height, width).numpy()[..., 0]


def by_distance(starts, ends, radii, height, width):
    """(uint8 [H, W] in float64, bool [H, W]: closer to an outline than rounding can tell)."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    hole, doubtful = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
    for start, end, radius in zip(starts, ends, radii, strict=True):
        if radius < 0:
            continue
        step = end - start
        squared = (step**2).sum()
        part = (rows - start[0]) * step[0] + (columns - start[1]) * step[1]
        part = np.clip(part / squared, 0, 1) if squared else 0.0
        distance = np.hypot(rows - start[0] - part * step[0], columns - start[1] - part * step[1])
        hole |= (distance <= radius).astype(np.uint8)
        doubtful |= abs(distance - radius) < 1e-3
    return hole, doubtful


def test_capsules_are_the_pixels_within_the_radius():
    rng = np.random.default_rng(0)
    compared = 0
    for case in range(60):
        height, width = (int(n) for n in rng.integers(5, 70, 2))
        count = rng.integers(1, 8)
        starts, ends = rng.uniform(-5, 70, (2, count, 2))
        radii = rng.uniform(-1, 9, count)
        if case % 3 == 0:  # whole numbers
            starts, ends, radii = np.round(starts), np.round(ends), np.round(radii)
        if case % 4 == 0:  # a dot
            ends[0] = starts[0]
        if case % 5 == 0:  # along a row
            ends[0, 0] = starts[0, 0]
        if case % 7 == 0:  # along a column
            ends[-1, 1] = starts[-1, 1]
        expected, doubtful = by_distance(starts, ends, radii, height, width)
        found = filled(starts, ends, radii, height, width)
        np.testing.assert_array_equal(found[~doubtful], expected[~doubtful])
        compared += (~doubtful & (expected == 1)).sum()
    assert compared > 10_000


def test_single_capsules():
    dot = filled([[2.0, 3.0]], [[2.0, 3.0]], [1.2], 5, 7)
    assert [tuple(place) for place in np.argwhere(dot)] == [(1, 3), (2, 2), (2, 3), (2, 4), (3, 3)]
    bar = filled([[1.0, 1.0]], [[1.0, 4.0]], [0.5], 3, 6)
    np.testing.assert_array_equal(bar, [[0] * 6, [0, 1, 1, 1, 1, 0], [0] * 6])
    assert not filled([[1.0, 1.0]], [[1.0, 4.0]], [-1.0], 3, 6).any()
    assert not filled([[-9.0, 2.0]], [[-9.0, 4.0]], [2.0], 3, 6).any()
    assert filled([[1.0, -9.0]], [[1.0, 90.0]], [4.0], 3, 6).all()


@pytest.fixture
def drawn(monkeypatch):
    """What a maker hands to `capsules.fill`, as arrays, one entry a hole."""
    seen, fill = [], capsules.fill

    def watched(starts, ends, radii, height, width):
        seen.append(tuple(np.asarray(value, np.float64) for value in (starts, ends, radii)))
        return fill(starts, ends, radii, height, width)

    monkeypatch.setattr(capsules, "fill", watched)
    return seen


def draw(maker, count, height, width):
    for index in range(count):
        maker(tf.constant([5, index]), height, width)


def test_brush_strokes_are_chains_of_the_published_lengths(drawn):
    draw(strokes.BrushStrokes(), 40, 128, 128)  # half the reference size
    counts, lengths, radii = [], [], []
    for starts, ends, radius in drawn:
        assert starts.shape == (16, 8, 2)
        np.testing.assert_array_equal(starts[1:], ends[:-1])
        assert starts.min() >= 0 and ends.min() >= 0 and max(starts.max(), ends.max()) <= 127
        used = radius > 0
        counts += used.sum(0).tolist()
        assert all((np.diff(column.astype(int)) <= 0).all() for column in used.T)
        radii += radius[used].tolist()
        inside = ((ends > 0) & (ends < 127)).all(-1)
        lengths += np.linalg.norm(ends - starts, axis=-1)[inside].tolist()
    assert set(counts) == set(range(1, 17)) and abs(np.mean(counts) - 8.5) < 1
    assert 2.5 <= min(radii) < 2.6 and 4.9 < max(radii) <= 5.0  # widths 10..20 at 256
    assert max(lengths) <= 40.001 and max(lengths) > 38


def test_free_forms_zigzag_with_the_published_steps(drawn):
    draw(strokes.FreeForm(), 60, 256, 256)
    numbers, counts, radii, lengths = [], [], [], []
    for starts, ends, radius in drawn:
        assert starts.shape == (11, 3, 2)
        used = radius > 0
        numbers.append(int(used.any(0).sum()))
        for stroke in range(3):
            if not used[0, stroke]:
                continue
            counts.append(int(used[:, stroke].sum()))
            assert len(set(radius[used[:, stroke], stroke])) == 1  # one width a stroke
            radii.append(radius[0, stroke])
            step = (ends - starts)[:, stroke]
            clear = ((ends > 0) & (ends < 255))[:, stroke].all(-1)
            clear &= np.linalg.norm(step, axis=-1) > 1
            angles = np.degrees(np.arctan2(abs(step[clear, 0]), abs(step[clear, 1])))
            assert ((angles > 47.9) & (angles < 96.1)).all()  # 72 +- 24 degrees, to either side
            turns = np.sign(step[:, 0]) * (-1) ** np.arange(11)
            steep = clear & (abs(step[:, 0]) > 1)
            assert len(set(turns[steep])) <= 1  # up and down in turns
            lengths += np.linalg.norm(step[clear], axis=-1).tolist()
    mean = np.hypot(256, 256) / 8
    assert set(numbers) == {1, 2, 3} and set(counts) == set(range(4, 12))
    assert 6 <= min(radii) < 8 and 18 < max(radii) <= 20
    assert max(lengths) <= 2 * mean + 1e-3
    np.testing.assert_allclose(np.mean(lengths), mean, rtol=0.1)


@pytest.mark.parametrize("make", [strokes.BrushStrokes, strokes.FreeForm])
def test_widths_that_cannot_be(make):
    with pytest.raises(ValueError, match="Received: min_width=50, max_width=40"):
        make(min_width=50, max_width=40)
    with pytest.raises(ValueError, match="`max_width` must be positive"):
        make(min_width=0, max_width=0)


def test_counts_that_cannot_be():
    with pytest.raises(ValueError, match="`strokes` must be a whole number from 1 on.*strokes=0"):
        strokes.BrushStrokes(0)
    with pytest.raises(ValueError, match="Received: max_segments=2.5"):
        strokes.BrushStrokes(max_segments=2.5)
    with pytest.raises(ValueError, match="`max_length` must be positive"):
        strokes.BrushStrokes(max_length=0)
    with pytest.raises(ValueError, match="whole number from 4 on. Received: max_segments=3"):
        strokes.FreeForm(max_segments=3)
