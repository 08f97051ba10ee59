"""Items of a prepared tfds data set by index, in the order of its files, read without decoding."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from data.sources import folder_source


@dataclass(frozen=True)
class PackedRecord(folder_source.Record):
    """A record whose photograph and label map lie inside a file with many others."""

    packed: Any = field(default=None, compare=False, repr=False)
    index: int = field(default=0, compare=False, repr=False)

    def read(self) -> tuple[bytes, bytes | None]:
        try:
            found = self.packed.parse(self.packed.reader.read(self.index))
        except (OSError, RuntimeError, tf.errors.OpError) as error:
            raise ValueError(
                f"{self.photo}: a damaged record, no example as it was prepared. Delete the data "
                "set's folder and prepare it again"
            ) from error
        if found.get("label", 0) < 0:
            raise ValueError(
                f"{self.photo}: an example without a class (-1), as some test splits have. Use "
                f"another split in data.source.splits.{self.packed.split}"
            )
        label_map = None if self.label_map is None else found["label_map"].numpy()
        return found["photo"].numpy(), label_map

    def stamp(self) -> list:
        shard, place = self.packed.reader.locate(self.index)
        return [self.packed.stamp_of(shard), place, self.label_map is not None]


class PackedRecords(Sequence):
    """The records of one split; they are made when asked for, so millions cost nothing.

    Called with an index (int64 scalar) it is the op behind the pipeline: the encoded bytes and
    names of that item as `decoding.FileContents` returns them, and "label" if there is a label key.

    Args:
        split: str, name of the split, the first part of the names of the items.
        reader: TfRecordReader or ArrayRecordReader.
        features: tfds FeaturesDict of the data set.
        keys: {"photo": feature name, "label_map": feature name or None, "label": ... or None}.
    """

    def __init__(self, split, reader, features, keys) -> None:
        self.split = split
        self.reader = reader
        self._keys = {key: name for key, name in keys.items() if name is not None}
        # What is not named is not parsed; images stay as they are stored.
        self._features = tfds.features.FeaturesDict(
            {name: features[name] for name in self._keys.values()}
        )
        images = [name for key, name in self._keys.items() if key != "label"]
        self._decoders = {name: tfds.decode.SkipDecoding() for name in images}
        self._stamps = {}

    @property
    def has_label(self) -> bool:
        return "label" in self._keys

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} items. Received: index={index}")
        index %= len(self)
        shard, place = self.reader.locate(index)
        name = f"{self.reader.paths[shard]}#{place}"
        label_map = f"{name}:{self._keys['label_map']}" if "label_map" in self._keys else None
        return PackedRecord(f"{self.split}/{index:06d}", name, label_map, packed=self, index=index)

    def __call__(self, index) -> dict[str, tf.Tensor]:
        item = self.parse(self.reader(index))
        if self.has_label:
            with tf.control_dependencies(
                [tf.debugging.Assert(item["label"] >= 0, [index, ": an example without a class"])]
            ):
                item["label"] = tf.identity(item["label"])
        position = tf.strings.as_string(index)
        for key in ("photo", "label_map"):
            if key in item:
                item[f"{key}_name"] = tf.strings.join([f"{self.split}/", position, f" ({key})"])
        return item

    def parse(self, data) -> dict[str, tf.Tensor]:
        """The encoded bytes and the label in a serialised example, as tensors."""
        found = self._features.deserialize_example(data, decoders=self._decoders)
        item = {key: found[name] for key, name in self._keys.items()}
        if self.has_label:
            item["label"] = tf.cast(item["label"], tf.int32)
        return item

    def stamp_of(self, shard) -> list:
        if shard not in self._stamps:
            self._stamps[shard] = folder_source.file_stamp(self.reader.paths[shard])
        return self._stamps[shard]


class Shards:
    """Which file and place each index of a split means; base of the two readers.

    Args:
        instructions: list of tfds FileInstruction, the files of the split in order.
    """

    def __init__(self, instructions) -> None:
        self.instructions = [part for part in instructions if part.take]
        self.paths = [str(part.filename) for part in self.instructions]
        self._ends = np.cumsum([part.take for part in self.instructions], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, index) -> tuple[int, int]:
        """(position in `paths`, example inside that file)."""
        shard = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[shard - 1]) if shard else 0
        return shard, self.instructions[shard].skip + int(index) - before


class TfRecordReader(Shards):
    """Random access to TFRecord files: one walk over the lengths they hold gives all places.

    A record is its length (8 bytes), a checksum (4), the data, and a checksum (4).

    Raises:
        ValueError: a file is cut off or holds another number of examples than was prepared.
        FileNotFoundError: a file is missing.
    """

    def __init__(self, instructions) -> None:
        super().__init__(instructions)
        used = [
            _record_places(part)[part.skip : part.skip + part.take] for part in self.instructions
        ]
        shards = np.repeat(np.arange(len(used)), [len(places) for places in used])
        self._places = np.concatenate(used)
        with tf.device("CPU:0"):
            self._tensors = [tf.constant(x) for x in (self.paths, shards, self._places)]
        self._compiled = tf.function(self.__call__)

    def read(self, index) -> bytes:
        """The serialised example at an index, as bytes, by the op: checksums verified."""
        return self._compiled(tf.constant(index, tf.int64)).numpy()

    def __call__(self, index) -> tf.Tensor:
        """The op: index -> serialised example, checksums verified.

        Without Python in it: threads of tf.data that wait for the interpreter can keep a process
        from ending.
        """
        paths, shards, places = self._tensors
        start, length = tf.unstack(tf.gather(places, index))
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=[tf.gather(paths, tf.gather(shards, index))],
            compression_type="",
            buffer_size=length + 16,
            byte_offsets=[start],
        )
        records = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
        return records.take(1).get_single_element()


class ArrayRecordReader(Shards):
    """Random access to ArrayRecord files, which are made for it, by their Python reader."""

    def __init__(self, instructions) -> None:
        super().__init__(instructions)
        from array_record.python import array_record_data_source

        self._source = array_record_data_source.ArrayRecordDataSource(self.instructions)

    def read(self, index) -> bytes:
        """The serialised example at an index, as bytes."""
        return self._source[int(index)]

    def __call__(self, index) -> tf.Tensor:
        """The op: index -> serialised example."""
        data = tf.numpy_function(self.read, [index], tf.string, stateful=False)
        return tf.ensure_shape(data, [])


def _record_places(instruction) -> np.ndarray:
    """int64 [examples, 2]: start of every record of a TFRecord file, and length of its data."""
    path, places, position = instruction.filename, [], 0
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        while position + 12 <= size:
            file.seek(position)
            (length,) = struct.unpack("<Q", file.read(8))
            places.append((position, length))
            position += length + 16
    if position != size or len(places) != instruction.examples_in_shard:
        raise ValueError(
            f"{path}: cut off, or not as it was prepared. Received: {len(places)} examples in "
            f"{size} bytes, expected {instruction.examples_in_shard}. Delete the data set's folder "
            f"and prepare it again"
        )
    return np.array(places, np.int64).reshape(-1, 2)
