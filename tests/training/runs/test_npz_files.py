"""Arrays of .npz files: those of np.savez come out, and small files cannot ask for much."""

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from training.runs import npz_files

DRAW = np.random.default_rng(0)
ARRAYS = {
    "a/00000": DRAW.normal(size=[3, 4]).astype(np.float32),
    "fortran": np.asfortranarray(DRAW.normal(size=[3, 4])),
    "number": np.array(7),
    "none": np.zeros([0, 5], np.uint8),
}


def member(shape, data=b"", descr="<f4"):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".ljust(100) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def test_what_was_written_is_read(tmp_path):
    np.savez(tmp_path / "x.npz", **ARRAYS)
    found = npz_files.read_arrays(tmp_path / "x.npz")
    assert list(found) == list(ARRAYS)
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        np.testing.assert_array_equal(found[name], values)
    assert list(npz_files.read_arrays(tmp_path / "x.npz", ["number"])) == ["number"]


@pytest.mark.parametrize(
    ("content", "compression", "message"),
    [
        (member((10**8, 10**7)), 0, "has 0 bytes, not those of float32"),
        (member((-1, 4)), 0, "no numbers"),
        (member((2,), bytes(16), "|O"), 0, "no numbers"),
        (member((2**28,), bytes(2**20)), zipfile.ZIP_DEFLATED, "larger than the file"),
        (member((25,), DRAW.bytes(100)), zipfile.ZIP_DEFLATED, "is compressed"),
        (member("(" * 5000), 0, "ValueError"),
        (b"\x93NUMPY\x09\x00", 0, "KeyError"),
        (b"", 0, "ValueError"),
    ],
)
def test_a_small_file_cannot_ask_for_much(tmp_path, content, compression, message):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"x.npz, which is not one: .*{message}"):
        npz_files.read_arrays(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_other_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", tmp_path / "nowhere.npz"):
        with pytest.raises(FileNotFoundError, match=path.name):
            npz_files.read_arrays(path)
    np.savez(tmp_path / "x.npz", **ARRAYS)
    with pytest.raises(ValueError, match="x.npz.*KeyError"):
        npz_files.read_arrays(tmp_path / "x.npz", ["b"])


def test_damaged_files_are_refused_or_read_as_numbers(tmp_path):
    buffer, path = io.BytesIO(), tmp_path / "x.npz"
    np.savez(buffer, **ARRAYS)
    outcomes = set()
    for seed in range(2000):
        draw, content = np.random.default_rng(seed), bytearray(buffer.getvalue())
        for place in draw.integers(0, len(content), draw.integers(1, 4)):
            content[place] = draw.integers(256)
        path.write_bytes(content[: draw.integers(len(content)) if seed % 3 == 0 else None])
        try:
            outcomes.add(all(v.dtype.kind in "fiub" for v in npz_files.read_arrays(path).values()))
        except ValueError as error:
            assert str(path) in str(error), seed
            outcomes.add("refused")
    assert outcomes == {True, "refused"}
