"""From files to decoded, resized uint8 examples: each file once, in parallel, errors in words."""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.images import decoded_cache, photos
from data.labels import label_check, label_maps

log = logging.getLogger(__name__)


class FileContents:
    """The op behind records that are files: index (int64 scalar) -> their bytes and names.

    Returns {"photo", "photo_name"} and, with `label_maps`, {"label_map", "label_map_name"}: string
    scalars. Contents of other kinds may add "label", an int32 scalar; `has_label` says so.
    """

    has_label = False

    def __init__(self, records, label_maps=True) -> None:
        paths = {"photo": [os.fsencode(record.photo) for record in records]}
        if label_maps:
            paths["label_map"] = [os.fsencode(record.label_map) for record in records]
        with tf.device("CPU:0"):  # Strings exist in host memory only.
            self._paths = {key: tf.constant(values) for key, values in paths.items()}

    def __call__(self, index) -> dict[str, tf.Tensor]:
        found = {}
        for key, paths in self._paths.items():
            found[f"{key}_name"] = tf.gather(paths, index)
            found[key] = tf.io.read_file(found[f"{key}_name"])
        return found


class Decoder:
    """Decodes the items of one split to {"image": uint8 [h, w, 3]} and what else there is.

    With label maps there is "label_map", uint8 [h, w]; where the contents hold the class of the
    image, "label", int32 scalar.

    Args:
        records: sequence of Record.
        bad: BadItems of the split.
        encoding: LabelEncoding or NoLabelMaps.
        resize: transforms.Resize.
        size: (h, w), the loaded size.
        contents: op index -> bytes and names, as FileContents. Default: FileContents(records).
        reader: photos.PhotoReader. Default: its defaults.

    Raises:
        ValueError: the records have no label maps and `encoding` asks for them.
    """

    def __init__(self, records, bad, encoding, resize, size, contents=None, reader=None) -> None:
        self.records = records
        self.bad = bad
        self.encoding = encoding
        self.resize = resize
        self.size = size
        self.reader = reader or photos.PhotoReader()
        label_check.item_for(records[0], encoding)
        self.contents = contents or FileContents(records, encoding.has_maps)
        self.layout = {"image": tf.TensorSpec([*size, 3], tf.uint8)}
        if encoding.has_maps:
            self.layout["label_map"] = tf.TensorSpec(size, tf.uint8)
        if self.contents.has_label:
            self.layout["label"] = tf.TensorSpec([], tf.int32)

    def read(self, index) -> dict[str, tf.Tensor]:
        """The op: index of a record (int64 scalar) -> example."""
        found = self.contents(index)
        image, fits = self.reader.decode_contents(found["photo"], found["photo_name"])
        example = {}
        if self.encoding.has_maps:
            name = found["label_map_name"]
            ids = label_maps.decode_contents(found["label_map"], name, self.encoding)
            same_size = tf.reduce_all(tf.shape(image)[:2] == tf.shape(ids))
            message = ": photograph and label map differ in size, or in what is upright"
            checked = tf.debugging.Assert(same_size & fits, [name, message])
            with tf.control_dependencies([checked]):
                image = tf.identity(image)
            example["label_map"] = self.resize.label_map(ids, self.size)
        if self.contents.has_label:
            example["label"] = found["label"]
        return {"image": self.resize.photo(image, self.size), **example}

    def examples(self, indices, title=None) -> Iterator[dict[str, np.ndarray] | None]:
        """Yields the examples at these indices as NumPy, in order; with a title, under a bar.

        Bad items that may be passed over give None.

        Raises:
            ValueError: an item cannot be decoded; names the file and what is wrong with it.
        """
        left = list(indices)
        read = tf.autograph.experimental.do_not_convert(self.read)
        with tqdm(desc=title, total=len(left), disable=None if left and title else True) as bar:
            while left:
                dataset = tf.data.Dataset.from_tensor_slices(tf.constant(left, tf.int64))
                dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
                done = 0
                try:
                    for example in dataset.as_numpy_iterator():
                        done += 1
                        bar.update()
                        yield example
                except tf.errors.OpError as error:
                    index = left[min(done, len(left) - 1)]
                    self.bad.add(index, self._why(index, error))
                    done += 1
                    yield None
                left = left[done:]

    def mend(self, index) -> bool:
        """Decodes an item once more; whether it is bad, and passed over from now on.

        Raises:
            ValueError: it is bad, and must not be passed over.
        """
        return None in self.examples([index])

    def file_keys(self) -> list[str]:
        """One key per record: another file, content or setting gives another key."""
        settings = [
            self.size, self.resize.settings(), self.encoding.settings(), self.reader.settings()
        ]  # fmt: skip
        text = json.dumps(settings, sort_keys=True)
        items = (label_check.item_for(record, self.encoding) for record in self.records)
        parts = ([decoded_cache.FORMAT_VERSION, text, i.name, *i.stamp()] for i in items)
        return [
            hashlib.sha256(json.dumps(p, sort_keys=True).encode()).hexdigest()[:40] for p in parts
        ]

    def _why(self, index, error) -> str:
        """Reads the item again in plain Python, for an error that names the file and the defect."""
        record = label_check.item_for(self.records[index], self.encoding)
        try:
            label_check.check_pair(record, self.encoding, self.reader)
        except tf.errors.OpError:  # of a packed record, which this does not name
            pass
        except ValueError as plain:
            named = record.photo in str(plain) or (record.label_map or record.photo) in str(plain)
            return str(plain) if named else f"{record.photo}: {plain}"
        names = " and ".join(name for name in (record.photo, record.label_map) if name)
        return f"Decoding {names} failed: {error.message}"


class SplitItems:
    """The decoded examples of a split, with stand-ins for bad items and classes of images.

    Args:
        store: where they are kept, or the decoder itself.
        decoder: Decoder.
        labels: class of each image, where the store does not hold them.
    """

    def __init__(self, store, decoder, labels=None) -> None:
        self._store = store
        self._bad = decoder.bad
        with tf.device("CPU:0"):
            self._labels = None if labels is None else tf.constant(labels, tf.int32)

    def read(self, index) -> dict[str, tf.Tensor]:
        """The op: index (int64 scalar) -> example; see `BadItems.place`."""
        index = self._bad.place(index)
        labels = {} if self._labels is None else {"label": tf.gather(self._labels, index)}
        return self._store.read(index) | labels

    def mend(self, indices) -> bool:
        """Finds what cannot be read among these items; whether reading again may go well.

        Raises:
            ValueError: an item is bad, and must not be passed over; names the file.
            OSError: the cache cannot be written.
        """
        places = {self._bad.place_of(int(index)) for index in indices}
        return any([self._store.mend(place) for place in sorted(places)])


def open_split(source, split, decoder, cache, root) -> SplitItems:
    """Decodes what is not yet kept.

    Raises:
        ValueError: an item cannot be decoded.
        OSError: files of the cache cannot be written.
    """
    count = len(decoder.records)
    kind = cache.choose(decoded_cache.bytes_of(decoder.layout) * count, root)
    items = "pairs" if decoder.encoding.has_maps else "photographs"
    log.info("Split '%s': %d %s, decoded images kept in: %s", split, count, items, kind)
    decode = functools.partial(decoder.examples, title=f"Decoding {split}")
    store: decoded_cache.Store | Decoder = decoder
    if kind == "memory":
        store = decoded_cache.MemoryStore(decoder.layout, count, decode(range(count)))
    elif kind == "file":
        folder = cache.resolved_folder(root) / "decoded"
        paths = [folder / key[:2] / f"{key}.uint8" for key in decoder.file_keys()]
        store = decoded_cache.FileStore(decoder.layout, paths, decode)
    if source.image_class_names and not decoder.contents.has_label:
        return SplitItems(store, decoder, [record.label for record in decoder.records])
    return SplitItems(store, decoder)
