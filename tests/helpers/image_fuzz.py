"""Damaged images through every reader; as a process of its own, with limits.

`python -m tests.helpers.image_fuzz FOLDER FIRST COUNT` writes the number at hand to FOLDER/at and
ends with the outcomes as JSON. A file that takes too long or too much memory ends it.
"""

import collections
import json
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.holes import mask_folder
from data.images import photos
from data.labels import conversion, label_files, label_maps
from tests.helpers import mutations

SECONDS, MORE_BYTES = 60, 3 * 2**30
ENCODING = label_maps.LabelEncoding(254, ignore_index=255)


class Readers:
    """Judges a file: `outcome(data)` is what came out, or an AssertionError of what must not be.

    Args:
        folder: where the file is put for those that read files.
    """

    def __init__(self, folder) -> None:
        self.path = str(Path(folder, "image.bin"))
        text = tf.TensorSpec([], tf.string)
        reader = self._reader = photos.PhotoReader((255, 255, 255))
        self._photo = tf.function(
            lambda data, name: reader.decode_contents(data, name)[0], input_signature=[text, text]
        )
        self._map = tf.function(
            lambda data, name: label_maps.decode_contents(data, name, ENCODING),
            input_signature=[text, text],
        )
        self._paths = {
            "profile": lambda: photos.colour_profile(self.path),
            "mask": lambda: mask_folder.read_mask(self.path, size=(5, 5)),
            "colours": lambda: conversion.stored_colours(self.path),
        }

    def outcome(self, data) -> str:
        Path(self.path).write_bytes(data)
        checked = self._plain(lambda: self._reader.inspect(data, self.path).size)
        decoded = self._plain(lambda: self._reader.decode(data, self.path))
        trained = self._op(self._photo, data)
        read = [value is not None for value in (checked, decoded, trained)]
        assert len(set(read)) == 1, f"check, decoding and training disagree: {read}"
        if checked is not None:
            assert decoded.shape[:2] == checked, (decoded.shape, checked)
            np.testing.assert_array_equal(decoded, trained)
        values = self._plain(self._values(data))
        ids = self._op(self._map, data)
        assert (values is None) == (ids is None), "check and training of a label map disagree"
        if values is not None:
            np.testing.assert_array_equal(ENCODING.ids_of(values), ids)
        found = {name: self._plain(read) is not None for name, read in self._paths.items()}
        states = {"photo": checked is not None, "map": values is not None, **found}
        return " ".join(name for name, state in states.items() if state) or "refused"

    def _values(self, data):
        def read():
            values = label_files.decode_values(data, self.path)
            if (ENCODING.ids_of(values) == label_maps.FOREIGN_ID).any():
                raise ValueError(f"{self.path}: a foreign id")
            return values

        return read

    def _plain(self, read):
        try:
            return read()
        except ValueError as error:
            assert self.path in str(error), f"an error without the name: {error}"
            return None

    def _op(self, read, data):
        try:
            return read(tf.constant(data), tf.constant(self.path)).numpy()
        except tf.errors.OpError:
            return None


def damaged(number):
    """The damaged file of a number."""
    draw = np.random.default_rng(number)
    files = list(FILES.values())
    return mutations.mutated(files[number % len(files)], draw, files)


FILES = mutations.whole_files()


def main(folder, first, count) -> None:
    readers, outcomes, wrong = Readers(folder), collections.Counter(), {}
    for data in FILES.values():
        readers.outcome(data)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    at = os.open(Path(folder, "at"), os.O_CREAT | os.O_WRONLY)
    for number in range(first, first + count):
        os.pwrite(at, f"{number:10d}".encode(), 0)
        signal.alarm(SECONDS)
        try:
            outcomes[readers.outcome(damaged(number))] += 1
        except Exception as error:  # noqa: BLE001  # To be listed with its number.
            wrong[number] = f"{type(error).__name__}: {error}"[:300]
    signal.alarm(0)
    print(json.dumps({"wrong": wrong, "outcomes": outcomes}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
