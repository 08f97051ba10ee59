"""Decoded and resized uint8 examples, kept in memory or in files, read by index in any order."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from data import files

log = logging.getLogger(__name__)

KINDS = ("auto", "memory", "file", "none")
FORMAT_VERSION = 4  # 3: a checksum of bytes and name behind them, 4: photographs upright
CHECKSUM_BYTES = 8
GIB = 2**30


class CacheSettings:
    """Where decoded examples are kept between epochs.

    Args:
        kind: "memory"; "file" (uint8 files that later runs reuse); "none" (decode every time);
            "auto" (default) takes memory when a split fits, else files when the disk has twice
            the room, else none.
        folder: where files go, the results of data checks too. Default `<root>/.cache`, or
            `datasets/.cache` of this checkout when that cannot be written.
        memory_limit_gib: float, largest split that "auto" keeps in memory. Default: a quarter of
            the memory that is free.

    Raises:
        ValueError: an unknown kind.
    """

    configurable = True

    def __init__(self, kind="auto", folder=None, *, memory_limit_gib=None) -> None:
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}. Received: data.cache.kind={kind!r}")
        self.kind = kind
        self.folder = folder
        self.memory_limit_gib = memory_limit_gib

    def resolved_folder(self, root) -> Path:
        if self.folder is not None:
            return Path(self.folder).expanduser()
        beside = Path(root).expanduser() / ".cache"
        return beside if _can_write(beside) else files.DATASETS / ".cache"

    def choose(self, needed_bytes, root) -> str:
        """The kind to use for a split of this size; never "auto"."""
        if self.kind != "auto":
            return self.kind
        limit = self.memory_limit_gib
        limit_bytes = free_memory_bytes() / 4 if limit is None else limit * GIB
        if needed_bytes <= limit_bytes:
            return "memory"
        folder = self.resolved_folder(root)
        if _can_write(folder) and _free_disk_bytes(folder) > 2 * needed_bytes:
            return "file"
        return "none"


class MemoryStore:
    """All examples of a split in one tensor per key, filled by one pass.

    Args:
        layout: {key: TensorSpec} of the arrays of one example.
        count: int, examples.
        examples: iterable over all examples, in order, as dicts of arrays; None for bad items,
            which are not read.
    """

    def __init__(self, layout, count, examples) -> None:
        arrays = {
            key: np.empty((count, *spec.shape), spec.dtype.as_numpy_dtype)
            for key, spec in layout.items()
        }
        for index, example in enumerate(examples):
            for key, array in arrays.items() if example is not None else ():
                array[index] = example[key]
        # Host memory, also where a GPU would be the default place of a tensor.
        with tf.device("CPU:0"):
            self._tensors = {key: tf.constant(arrays.pop(key)) for key in layout}

    def read(self, index) -> dict[str, tf.Tensor]:
        return {key: tf.gather(tensor, index) for key, tensor in self._tensors.items()}

    def mend(self, index) -> bool:
        """False: what is in memory does not break."""
        return False


class FileStore:
    """One file of raw bytes per example, named by what it was made from, and a checksum.

    The name is a hash of file names, sizes, times and settings: changed photographs or settings
    make another file, and two runs that write the same file write the same bytes, each under a
    temporary name first. Files of another size are made anew at the start, those of another
    checksum by `mend`.

    Args:
        layout: {key: TensorSpec} of the arrays of one example.
        paths: list of Path, one per example.
        decode_missing: called with a list of indices, yields their examples in that order, None
            for bad items.

    Raises:
        OSError: a file cannot be written.
    """

    def __init__(self, layout, paths, decode_missing) -> None:
        self._layout = layout
        self._sizes = [bytes_of({key: spec}) for key, spec in layout.items()]
        self._files = list(paths)
        self._decode = decode_missing
        self._mended: set[int] = set()
        size = sum(self._sizes) + CHECKSUM_BYTES
        self._write([i for i, path in enumerate(paths) if _file_size(path) != size])
        with tf.device("CPU:0"):
            self._paths = tf.constant([str(path) for path in paths])
            self._names = tf.constant([path.name for path in paths])

    def _write(self, indices) -> None:
        for index, example in zip(indices, self._decode(indices), strict=True):
            if example is None:
                continue
            data = b"".join(np.ascontiguousarray(example[key]).tobytes() for key in self._layout)
            name = self._files[index].name
            checksum = _checksum(tf.io.decode_raw(data, tf.uint8), name).numpy().tobytes()
            try:
                files.write_atomically(self._files[index], data + checksum)
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"The cache of decoded images cannot be written ({error.strerror}): make "
                    f"room, set data.cache.folder to another disk, or set data.cache.kind=none. "
                    f"Received: {self._files[index]}",
                ) from error

    def read(self, index) -> dict[str, tf.Tensor]:
        """The op; an error of it names a damaged file."""
        path = tf.gather(self._paths, index)
        data = tf.io.decode_raw(tf.io.read_file(path), tf.uint8)
        data = tf.ensure_shape(data, [sum(self._sizes) + CHECKSUM_BYTES])
        *parts, checksum = tf.split(data, [*self._sizes, CHECKSUM_BYTES])
        expected = _checksum(data[:-CHECKSUM_BYTES], tf.gather(self._names, index))
        whole = tf.reduce_all(expected == checksum)
        message = ": a decoded image is not as it was written. Remove the file, it is made anew"
        with tf.control_dependencies([tf.debugging.Assert(whole, [path, message])]):
            parts = [tf.identity(part) for part in parts]
        return {
            key: _from_bytes(part, spec)
            for part, (key, spec) in zip(parts, self._layout.items(), strict=True)
        }

    def mend(self, index) -> bool:
        """Makes a damaged file anew, once; whether there was one.

        Raises:
            ValueError: it was made anew before, or the item cannot be decoded any more.
            OSError: it cannot be written.
        """
        try:
            with tf.device("CPU:0"):
                self.read(tf.constant(index, tf.int64))
            return False
        except (tf.errors.OpError, ValueError):  # the second: of another size
            pass
        path = self._files[index]
        if index in self._mended:
            raise ValueError(
                f"A decoded image must stay as it was written. Received: {path}, damaged again. "
                f"Check that disk, or set data.cache.folder or data.cache.kind=memory"
            )
        self._mended.add(index)
        self._write([index])
        log.warning("A decoded image was damaged or gone and is made anew: %s", path)
        return True


Store = MemoryStore | FileStore


def bytes_of(layout) -> int:
    """Bytes of one example."""
    return sum(spec.shape.num_elements() * spec.dtype.size for spec in layout.values())


def _checksum(data, name) -> tf.Tensor:
    """uint8 [8] of bytes [n] and the name of their file: FarmHash64 of each."""
    parts = tf.fingerprint(data[tf.newaxis])[0], tf.fingerprint(tf.reshape(name, [1]))[0]
    return tf.bitwise.bitwise_xor(*parts)


def _from_bytes(part, spec) -> tf.Tensor:
    if spec.dtype != tf.uint8:
        part = tf.bitcast(tf.reshape(part, [-1, spec.dtype.size]), spec.dtype)
    return tf.reshape(part, spec.shape)


def free_memory_bytes() -> int:
    """Memory that can be taken without swapping; 4 GiB where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 4 * GIB


def _file_size(path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _existing(folder) -> Path:
    """The folder, or its nearest parent that is there."""
    folder = Path(folder).absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def _can_write(folder) -> bool:
    folder = _existing(folder)
    return folder.is_dir() and os.access(folder, os.W_OK)


def _free_disk_bytes(folder) -> int:
    return shutil.disk_usage(_existing(folder)).free
