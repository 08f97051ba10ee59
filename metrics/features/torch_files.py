"""Reads the weights of PyTorch files without PyTorch, and without executing their pickles.

A .pth file is a Python pickle that describes tensors, and their numbers: since PyTorch 1.6 as
members of a ZIP archive, before that one after another behind the pickle. A pickle may name any
function of any module to be called. Here it may name only what a state dict is made of, each
replaced by a function of this file; at any other name reading stops.
"""

import collections
import math
import pickle
import struct
import zipfile
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
BROKEN = (
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, KeyError, ValueError,
    TypeError, AttributeError, IndexError, OverflowError, RuntimeError,
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
        FileNotFoundError: no such file. ValueError: another kind of file, or a pickle that names
            something else than the parts of a state dict; it is named, and nothing of it was run.

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


class _Unpickler(pickle.Unpickler):
    """Unpickles names and tensors; everything that a pickle can call is made here, for it alone."""

    def find_class(self, module, name) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
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
        if kind != "storage" or not isinstance(dtype, np.dtype) or view not in ([], [None]):
            raise pickle.UnpicklingError(f"it has an unknown storage {identity!r}")
        return Storage(dtype, str(key), int(count))


class _Parameter:
    """What PyTorch 0.1 saved parameters as: the state begins with the tensor."""

    def __setstate__(self, state) -> None:
        self.tensor = state[0]


def _unpickled(file) -> Any:
    return _Unpickler(file, encoding="utf-8").load()


def _read_zip(file, prefix) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        (pickled,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        order = f"{folder}byteorder"
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
        raise ValueError(f"it is of version {version}, {system}")
    contents = _unpickled(file)
    everything, described = _tensors(contents, ""), _tensors(contents, prefix)
    storages = {tensor.storage.key: tensor.storage for tensor in everything.values()}
    places = {}
    for key in _unpickled(file):
        (count,) = struct.unpack("<q", file.read(8))
        if count != storages[key].count:
            raise ValueError(f"storage {key} has {count} numbers, not {storages[key].count}")
        places[key] = file.tell()
        file.seek(count * storages[key].dtype.itemsize, 1)

    def numbers(storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.count * storage.dtype.itemsize)

    return {name: _array(tensor, numbers) for name, tensor in described.items()}


def _tensors(contents, prefix) -> dict[str, Tensor]:
    if not isinstance(contents, dict):
        raise ValueError(f"it holds a {type(contents).__name__}")
    tensors = {}
    for name, value in contents.items():
        value = getattr(value, "tensor", value)
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{name!r} is a {type(value).__name__}, no tensor")
        if name.startswith(prefix):
            tensors[name] = value
    return tensors


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
