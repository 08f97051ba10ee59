"""PyTorch files: what is in them comes out, and what they ask to run does not run."""

import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from metrics.features import torch_files
from tests.helpers import mutations
from tests.helpers import torch_file_writer as writer

DRAW = np.random.default_rng(0)
ARRAYS = {
    "features.0.weight": DRAW.normal(size=[4, 3, 2, 2]).astype(np.float32),
    "features.0.bias": DRAW.normal(size=[4]),
    "features.1.num_batches_tracked": np.array(7),
    "half": DRAW.normal(size=[2, 3]).astype(np.float16),
    "none": np.zeros([0, 3], np.float32),
    "bytes": np.arange(5, dtype=np.uint8),
}
both = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


@both
def test_what_was_written_is_read(tmp_path, legacy):
    path = writer.write(tmp_path / "w.pth", ARRAYS, legacy, members={"byteorder": "little"})
    found = torch_files.read_state_dict(path)
    assert list(found) == list(ARRAYS)
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        np.testing.assert_array_equal(found[name], values)
    chosen = torch_files.read_state_dict(str(path), "features.0.")
    assert list(chosen) == ["features.0.weight", "features.0.bias"]
    np.testing.assert_array_equal(chosen["features.0.bias"], ARRAYS["features.0.bias"])


@both
def test_parts_of_one_storage_transposed_too(tmp_path, legacy):
    values = np.arange(24, dtype=np.float32)
    stored = writer.storage("0", "float32", 24, legacy)
    contents = writer.pickled(
        {
            "part": writer.tensor(stored, 4, [2, 3], [3, 1]),
            "transposed": writer.tensor(stored, 0, [4, 6], [1, 4], "_rebuild_tensor"),
        }
    )
    path = writer.write(tmp_path / "w.pth", {"all": values}, legacy, contents)
    found = torch_files.read_state_dict(path)
    np.testing.assert_array_equal(found["part"], [[4, 5, 6], [7, 8, 9]])
    np.testing.assert_array_equal(found["transposed"], values.reshape(6, 4).T)


def test_parameters_are_the_tensors_in_them(tmp_path):
    """As PyTorch 0.1 wrote them (an object with a state) and as PyTorch does today."""
    one = writer.tensor(writer.storage("0", "float32", 3), 0, [3], [1])
    old = writer.named("torch.nn.parameter", "Parameter") + b")\x81(" + one + b"\x88N\x88\x89tb"
    new = writer.named("torch._utils", "_rebuild_parameter") + b"(" + one + b"\x88)tR"
    contents = writer.pickled({"old": old, "new": new})
    values = np.array([1.0, 2.0, 3.0], np.float32)
    path = writer.write(tmp_path / "w.pth", {"values": values}, contents=contents)
    found = torch_files.read_state_dict(path)
    for name in ("old", "new"):
        np.testing.assert_array_equal(found[name], values)


@both
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "namedtuple"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch", "BFloat16Storage"),
    ],
)
def test_any_other_name_is_refused_and_nothing_is_run(tmp_path, legacy, module, name):
    mark = tmp_path / "was_here"
    call = writer.named(module, name) + b"(" + writer.text(f"touch {mark}") + b"tR"
    path = writer.write(tmp_path / "w.pth", {}, legacy, writer.pickled({"weight": call}))
    with pytest.raises(ValueError, match=f"it names {module}.{name}, which no state dict needs"):
        torch_files.read_state_dict(path)
    assert not mark.exists()


def test_a_first_pickle_is_refused_as_well(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"\x80\x02" + writer.named("os", "system") + b"(" + writer.text("x") + b"tR.")
    with pytest.raises(ValueError, match="it names os.system"):
        torch_files.read_state_dict(path)


@pytest.mark.parametrize(
    ("module", "name"), [("torch.nn.parameter", "Parameter"), ("collections", "OrderedDict")]
)
def test_a_file_cannot_change_how_the_next_one_is_read(tmp_path, module, name):
    """A pickle may also ask for attributes of what it is given to be set."""
    state = b"(N}" + writer.text("__setstate__") + writer.text("broken") + b"st"
    spoil = b"\x80\x02" + writer.named(module, name) + state + b"b."
    path = writer.write(tmp_path / "spoil.pth", {}, contents=spoil)
    with pytest.raises(ValueError, match="spoil.pth', which is not one: "):
        torch_files.read_state_dict(path)
    test_parameters_are_the_tensors_in_them(tmp_path)


@both
@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, [5], [1]), (2, [3], [1]), (-1, [2], [1]), (3, [2], [-1]), (0, [100], [0]), (0, [2], [4]),
     (0, [-1], [1]), (0, [2, 2], [1])],
)  # fmt: skip
def test_tensors_outside_their_storage_are_refused(tmp_path, legacy, offset, size, stride):
    stored = writer.storage("0", "float32", 4, legacy)
    contents = writer.pickled({"weight": writer.tensor(stored, offset, size, stride)})
    values = {"values": np.zeros(4, np.float32)}
    path = writer.write(tmp_path / "w.pth", values, legacy, contents)
    with pytest.raises(ValueError, match="is not inside Storage|zip\\(\\)"):
        torch_files.read_state_dict(path)


def test_storages_that_are_not_as_announced_are_refused(tmp_path):
    for legacy, message in ((False, "data/0 has not the 20 bytes"), (True, "0 has 4 numbers, not")):
        stored = writer.storage("0", "float32", 5, legacy)
        contents = writer.pickled({"weight": writer.tensor(stored, 0, [5], [1])})
        values = {"values": np.zeros(4, np.float32)}
        path = writer.write(tmp_path / "w.pth", values, legacy, contents)
        with pytest.raises(ValueError, match=message):
            torch_files.read_state_dict(path)
    path = writer.write(tmp_path / "w.pth", ARRAYS, members={"byteorder": "big"})
    with pytest.raises(ValueError, match="not little-endian"):
        torch_files.read_state_dict(path)
    stored = b"(" + writer.text("module") + b"NNNNtQ"
    contents = writer.pickled({"weight": writer.tensor(stored, 0, [5], [1])})
    path = writer.write(tmp_path / "w.pth", {}, contents=contents)
    with pytest.raises(ValueError, match="unknown storage"):
        torch_files.read_state_dict(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="where there is no file. Nothing is downloaded"):
        torch_files.read_state_dict(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="Received: 'None'"):
        torch_files.read_state_dict(None)
    path = tmp_path / "w.pth"
    for content in (b"", b"text", pickle.dumps(5), b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a state dict: names and tensors. Received: .*w.pth'"):
            torch_files.read_state_dict(path)
    whole = writer.write(path, ARRAYS, legacy=True).read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(
        ValueError, match="w.pth', which is not one: ValueError: storage 5 ends behind"
    ):
        torch_files.read_state_dict(path)
    path.write_bytes(whole.replace(b"M\xe9\x03.", b"M\xe8\x03.", 1))
    with pytest.raises(ValueError, match="it is of version 1000"):
        torch_files.read_state_dict(path)
    for contents, message in (
        (b"\x80\x02].", "it holds a list"),
        (writer.pickled({"epoch": writer.number(3)}), "'epoch' is a int, no tensor"),
    ):
        path = writer.write(path, {}, contents=contents)
        with pytest.raises(ValueError, match=message):
            torch_files.read_state_dict(path)


def nested(levels):
    """A tuple of two equal tuples of two equal tuples: few bytes, 2^levels to look at."""
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * levels


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"\x80\x02}(" + nested(90) + b"tK\x01s.", "a name in it is no text"),
        (b"\x80\x02}(" + nested(90) + b"K\x01u.", "a name in it is no text"),
        (b"\x80\x02}X\x01\0\0\0a(" + nested(90) + b"NNNNtQs.", "unknown storage"),
        (b"\x80\x02}X\x01\0\0\0ar\xff\xff\xff\x7fs.", "IndexError"),
        (b"\x80\x04\x96" + (10**15).to_bytes(8, "little") + b".", "ValueError: expected"),
        (b"\x80\x04\x96\1\0\0\0\0\0\0\0a.", "BYTEARRAY8 .*, which no state dict needs"),
        (b"\x80\x02}" + b"0" * 5 + b".", "POP None, which no state dict needs"),
        (b"\x80\x02" + b")" * 2**20 + b".", "pickle exhausted"),
    ],
    ids=["key", "keys", "storage", "memo", "huge bytes", "bytes", "opcode", "length"],
)
def test_a_small_pickle_cannot_ask_for_much(tmp_path, contents, message):
    path = writer.write(tmp_path / "w.pth", {}, contents=contents)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"w.pth', which is not one: .*{message}"):
        torch_files.read_state_dict(path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_compressed_members_and_too_many_numbers_are_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights/data.pkl", writer.pickled({}))
        archive.writestr("weights/data/0", bytes(2**22))
    with pytest.raises(ValueError, match="bomb.pth'.* members are compressed"):
        torch_files.read_state_dict(path)
    stored = writer.storage("0", "float32", 2**14)
    contents = writer.pickled(
        {str(index): writer.tensor(stored, 0, [1], [1]) for index in range(1025)}
    )
    path = writer.write(path, {"all": np.zeros(2**14, np.float32)}, contents=contents)
    with pytest.raises(ValueError, match="asks for 16,793,600 numbers, more than 16,777,216"):
        torch_files.read_state_dict(path)


def test_damaged_files_are_refused_or_read_as_numbers(tmp_path):
    """2,000, of both formats."""
    path, small = tmp_path / "w.pth", {"a": np.arange(6.0).reshape(2, 3), "b": np.array([7])}
    whole = [writer.write(path, small, legacy).read_bytes() for legacy in (False, True)]
    outcomes = set()
    for number in range(2000):
        data = mutations.mutated(whole[number % 2], np.random.default_rng(number), whole)
        path.write_bytes(data)
        try:
            found = torch_files.read_state_dict(path)
            outcomes.add(all(values.dtype.kind in "fiub" for values in found.values()))
        except ValueError as error:
            assert "w.pth', which is not one" in str(error), number
            outcomes.add("refused")
    assert outcomes == {True, "refused"}
