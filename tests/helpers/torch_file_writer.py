"""Writes state dicts as PyTorch does, in both of its formats, from pickle opcodes by hand."""

import pickle
import struct
import zipfile

import numpy as np

TYPES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
         "int64": "LongStorage", "uint8": "ByteStorage"}  # fmt: skip


def text(value):
    value = value.encode()
    return b"X" + struct.pack("<I", len(value)) + value


def number(value):
    return b"J" + struct.pack("<i", value)


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key, dtype, count, legacy=False):
    """The persistent id of a storage; the old format has one entry more, the view."""
    kind = named("torch", TYPES.get(dtype, dtype))
    view = b"N" if legacy else b""
    return b"(" + text("storage") + kind + text(key) + text("cpu") + number(count) + view + b"tQ"


def tensor(stored, offset, size, stride, function="_rebuild_tensor_v2"):
    empty = named("collections", "OrderedDict") + b")R"
    rest = number(offset) + numbers(size) + numbers(stride) + b"\x89" + empty
    return named("torch._utils", function) + b"(" + stored + rest + b"tR"


def pickled(entries):
    """An OrderedDict of {name: opcodes that make the value}."""
    items = b"".join(text(name) + value for name, value in entries.items())
    return b"\x80\x02" + named("collections", "OrderedDict") + b")R(" + items + b"u."


def contiguous(arrays, legacy):
    entries = {}
    for index, (name, values) in enumerate(arrays.items()):
        strides = [step // values.itemsize for step in values.strides]
        stored = storage(str(index), values.dtype.name, values.size, legacy)
        entries[name] = tensor(stored, 0, values.shape, strides)
    return pickled(entries)


def write(path, arrays, legacy=False, contents=None, members=()):
    """A file of contiguous arrays, or of other `contents`, with storages "0", "1", ... of them."""
    arrays = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    contents = contiguous(arrays, legacy) if contents is None else contents
    if legacy:
        with path.open("wb") as file:
            system = {"protocol_version": 1001, "little_endian": True}
            for value in (0x1950A86A20F9469CFC6C, 1001, system):
                pickle.dump(value, file, protocol=2)
            file.write(contents)
            pickle.dump([str(index) for index in range(len(arrays))], file, protocol=2)
            for values in arrays.values():
                file.write(struct.pack("<q", values.size) + values.tobytes())
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", contents)
        for index, values in enumerate(arrays.values()):
            archive.writestr(f"weights/data/{index}", values.tobytes())
        for name, value in dict(members).items():
            archive.writestr(f"weights/{name}", value)
    return path
