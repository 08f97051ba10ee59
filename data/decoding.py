"""From files to decoded, resized uint8 examples: each file once, in parallel, errors in words."""

import json
import logging

import tensorflow as tf
from tqdm import tqdm

from data import decoded_cache, label_check, label_maps, photos

log = logging.getLogger(__name__)


class Decoder:
    """Decodes the records of one split to {"image": uint8 [h, w, 3], "label_map": uint8 [h, w]}.

    Args:
        records: tuple of Record with label maps.
        labels: LabelEncoding.
        resize: transforms.Resize.
        size: (h, w), the loaded size.
    """

    def __init__(self, records, labels, resize, size):
        self.records = records
        self.labels = labels
        self.resize = resize
        self.size = size
        self.layout = {"image": [*size, 3], "label_map": list(size)}
        with tf.device("CPU:0"):  # Strings exist in host memory only.
            self._photos = tf.constant([record.photo for record in records])
            self._label_maps = tf.constant([record.label_map for record in records])

    @property
    def bytes_of_all(self):
        return 4 * self.size[0] * self.size[1] * len(self.records)

    def decode(self, index):
        """The op: index of a record (int64 scalar) -> example."""
        photo, label_map = tf.gather(self._photos, index), tf.gather(self._label_maps, index)
        image = photos.decode_photo(photo)
        ids = label_maps.decode_label_map(label_map, self.labels)
        same_size = tf.reduce_all(tf.shape(image)[:2] == tf.shape(ids))
        message = ": photograph and label map differ in size"
        with tf.control_dependencies([tf.debugging.Assert(same_size, [label_map, message])]):
            image = self.resize.photo(image, self.size)
        return {"image": image, "label_map": self.resize.label_map(ids, self.size)}

    def examples(self, indices, title):
        """Yields the examples at these indices as NumPy, in order, with a progress bar.

        Raises:
            ValueError: a pair cannot be decoded; names the file and what is wrong with it.
        """
        indices = list(indices)
        if not indices:
            return
        dataset = tf.data.Dataset.from_tensor_slices(tf.constant(indices, tf.int64))
        decode = tf.autograph.experimental.do_not_convert(self.decode)
        dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        done = 0
        try:
            for example in tqdm(dataset.as_numpy_iterator(), title, len(indices), disable=None):
                yield example
                done += 1
        except tf.errors.OpError as error:
            raise ValueError(self._why(indices[min(done, len(indices) - 1)], error)) from error

    def file_keys(self):
        """One key per record: another file, content or setting gives another key."""
        settings = json.dumps(
            [self.size, self.resize.settings(), self.labels.settings()], sort_keys=True
        )
        return [decoded_cache.content_key(record, settings) for record in self.records]

    def _why(self, index, error):
        """Reads the pair again the plain way, whose errors say what is wrong with which file."""
        record = self.records[index]
        try:
            label_check.check_pair(record, self.labels)
        except ValueError as plain:
            return str(plain)
        return f"Decoding {record.photo} and {record.label_map} failed: {error.message}"


def open_store(decoder, cache, root, split):
    """Decodes what is not yet kept and returns a store with `read(index)`.

    Raises:
        ValueError: a pair cannot be decoded.
        OSError: files of the cache cannot be written.
    """
    count = len(decoder.records)
    kind = cache.choose(decoder.bytes_of_all, root)
    log.info("Split '%s': %d pairs, decoded images kept in: %s", split, count, kind)
    title = f"Decoding {split}"
    if kind == "memory":
        examples = decoder.examples(range(count), title)
        return decoded_cache.MemoryStore(decoder.layout, count, examples)
    if kind == "file":
        folder = cache.resolved_folder(root) / "decoded"
        paths = [folder / key[:2] / f"{key}.uint8" for key in decoder.file_keys()]
        return decoded_cache.FileStore(
            decoder.layout, paths, lambda missing: decoder.examples(missing, title)
        )
    return decoded_cache.NoStore(decoder.decode)
