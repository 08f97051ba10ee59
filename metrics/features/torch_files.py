"""Reads the weights of PyTorch files without PyTorch, and without executing their pickles.

A .pth file is a Python pickle that describes tensors, and their numbers: since PyTorch 1.6 as
members of a ZIP archive, before that one after another behind the pickle. A pickle may name any
function of any module to be called. Here it may name only what a state dict is made of, each
replaced by a function of this file; at any other name reading stops. Nor may a small file ask for
much: pickles are short and of few opcodes, and members of archives are as long as they look.
"""

import collections
import io
import math
import os
import pickle
import pickletools
import reprlib
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
MAX_PICKLE = 2**20
MAX_VALUES = 2**24
"""Numbers in the storages of what is read: those of VGG16 that LPIPS needs are 14.7 million."""
OPCODES = set(
    "PROTO GLOBAL MARK STOP REDUCE BUILD NEWOBJ BINPERSID NONE NEWTRUE NEWFALSE BININT BININT1 "
    "BININT2 LONG1 BINUNICODE BINSTRING SHORT_BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET "
    "BINFLOAT".split()
)
"""What `torch.save` writes: protocol 2 of pickle."""
BROKEN = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError,
    ValueError, TypeError, AttributeError, OverflowError, RuntimeError, MemoryError, OSError,
)  # fmt: skip


class Storage(NamedTuple):
    """Where the numbers of tensors are."""

    dtype: np.dtype
    key: str
    count: int  # type: ignore[assignment]  # tuples have a method of this name


class Tensor(NamedTuple):
    """A part of a storage, in units of its numbers."""

    storage: Storage
    offset: int
    size: tuple
    stride: tuple


def read_state_dict(path, prefix="") -> dict[str, np.ndarray]:
    """The tensors of a PyTorch state dict.

    Args:
        path: file that `torch.save` wrote, in its format of today or the one before 1.6.
        prefix: read tensors only whose names begin so. Default "": all.

    Returns: dict of name to array, in the order of the file.

    Raises:
        FileNotFoundError: no such file. ValueError: another kind of file, one of more numbers than
            `MAX_VALUES`, or a pickle that names something else than the parts of a state dict; it
            is named, and nothing of it was run.

    Source: pytorch/pytorch torch/serialization.py (both formats), torch/_utils.py
        (`_rebuild_tensor_v2`).
    """
    path = Path(str(path))
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a PyTorch file of weights. Received: {str(path)!r}, where there is no file. "
            "Nothing is downloaded: fetch it yourself and give its path."
        )
    try:
        with path.open("rb") as file:
            read = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            file.seek(0)
            return read(file, prefix)
    except BROKEN as error:
        raise ValueError(
            "Expected a PyTorch file with a state dict: names and tensors. Received: "
            f"{str(path)!r}, which is not one: {type(error).__name__}: {error}"
        ) from error


_PYTHON_UNPICKLER: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _Unpickler(_PYTHON_UNPICKLER):
    """Unpickles names and tensors; everything that a pickle can call is made here, for it alone.

    The class in Python: that in C takes memory for the largest number of its memo at once.
    """

    dispatch = dict(_PYTHON_UNPICKLER.dispatch)

    def find_class(self, module, name) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return lambda items=(): collections.OrderedDict(_checked_items(items))
        if module == "torch" and name in TYPES:
            return np.dtype(TYPES[name])
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return lambda storage, offset, size, stride, *_: Tensor(storage, offset, size, stride)
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if (module, name) == ("torch.nn.parameter", "Parameter"):
            return type("Parameter", (_Parameter,), {})
        raise pickle.UnpicklingError(
            f"it names {module}.{name}, which no state dict needs. Do not use a file you do not "
            "trust"
        )

    def persistent_load(self, identity) -> Storage:
        kind, dtype, key, _, count, *view = identity
        view = [part for part in view if part is not None]
        known = isinstance(key, (str, int)) and isinstance(count, int) and count >= 0
        if kind != "storage" or not isinstance(dtype, np.dtype) or view or not known:
            raise pickle.UnpicklingError(f"it has an unknown storage {reprlib.repr(identity)}")
        return Storage(dtype, str(key), count)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1].update(_checked_items([(key, value)]))

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self.stack[-1].update(_checked_items(zip(items[::2], items[1::2], strict=True)))

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def _checked_items(items) -> list[tuple[str, Any]]:
    """Pairs for a dict. Tuples of tuples of the same, as keys, take for ever to be hashed."""
    items = [(name, value) for name, value in items]
    if not all(isinstance(name, str) for name, _ in items):
        raise pickle.UnpicklingError("a name in it is no text")
    return items


class _Parameter:
    """What PyTorch 0.1 saved parameters as: the state begins with the tensor."""

    def __setstate__(self, state) -> None:
        self.tensor = state[0]


def _unpickled(file) -> Any:
    """The next object in a file, which is then read up to the end of its pickle."""
    start, content = file.tell(), io.BytesIO(file.read(MAX_PICKLE))
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name not in OPCODES:
            what = f"{opcode.name} {reprlib.repr(argument)}"
            raise pickle.UnpicklingError(f"it has {what}, which no state dict needs")
    file.seek(start + content.tell())
    content.seek(0)
    return _Unpickler(content, encoding="utf-8").load()


def _read_zip(file, prefix) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        (pickled,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its members are compressed, which PyTorch never does")
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are not little-endian")
        with archive.open(pickled) as stream:
            described = _tensors(_unpickled(stream), prefix)

        def numbers(storage) -> bytes:
            member = f"{folder}data/{storage.key}"
            size = storage.count * storage.dtype.itemsize
            if archive.getinfo(member).file_size != size:
                raise ValueError(f"{member} has not the {size} bytes that were announced")
            return archive.read(member)

        return {name: _array(tensor, numbers) for name, tensor in described.items()}


def _read_legacy(file, prefix) -> dict[str, np.ndarray]:
    if _unpickled(file) != MAGIC:
        raise ValueError("it does not begin as one")
    version, system = _unpickled(file), _unpickled(file)
    if version != 1001 or not system["little_endian"]:
        raise ValueError(f"it is of version {reprlib.repr(version)}, {reprlib.repr(system)}")
    contents = _unpickled(file)
    everything, described = _tensors(contents, "", math.inf), _tensors(contents, prefix)
    end = os.fstat(file.fileno()).st_size
    storages = {tensor.storage.key: tensor.storage for tensor in everything.values()}
    places = {}
    for key in map(str, _checked_keys(_unpickled(file))):
        (count,) = struct.unpack("<q", file.read(8))
        if count != storages[key].count:
            raise ValueError(f"storage {key} has {count} numbers, not {storages[key].count}")
        places[key] = file.tell()
        if file.seek(count * storages[key].dtype.itemsize, 1) > end:
            raise ValueError(f"storage {key} ends behind the file")

    def numbers(storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.count * storage.dtype.itemsize)

    return {name: _array(tensor, numbers) for name, tensor in described.items()}


def _checked_keys(keys) -> list:
    if not isinstance(keys, list) or not all(isinstance(key, (str, int)) for key in keys):
        raise ValueError("its storages have no names")
    return keys


def _tensors(contents, prefix, limit=MAX_VALUES) -> dict[str, Tensor]:
    if not isinstance(contents, dict):
        raise ValueError(f"it holds a {type(contents).__name__}")
    tensors = {}
    for name, value in contents.items():
        value = getattr(value, "tensor", value)
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{reprlib.repr(name)} is a {type(value).__name__}, no tensor")
        if name.startswith(prefix):
            tensors[name] = _checked(value)
    count = sum(tensor.storage.count for tensor in tensors.values())
    if count > limit:
        raise ValueError(f"it asks for {count:,} numbers, more than {limit:,}")
    return tensors


def _checked(tensor) -> Tensor:
    storage, offset, size, stride = tensor
    parts = isinstance(size, tuple) and isinstance(stride, tuple) and (offset, *size, *stride)
    if not isinstance(storage, Storage) or not parts or not all(type(n) is int for n in parts):
        raise ValueError("a tensor of it is no part of a storage")
    return tensor


def _array(tensor, numbers) -> np.ndarray:
    """The numbers of a tensor, copied, if they all lie in its storage."""
    storage, offset, size, stride = tensor
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = math.prod(size)
    inside = offset >= 0 and last < storage.count and count <= storage.count
    if min((*size, *stride, 0)) < 0 or (count and not inside):
        raise ValueError(f"a tensor {size} with strides {stride} is not inside {storage}")
    values = np.frombuffer(numbers(storage), storage.dtype, storage.count)
    strides = [step * storage.dtype.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, strides).copy()
