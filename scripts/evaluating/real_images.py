"""The real images of an evaluation, read once: what they are, their features, their figures."""

import hashlib
import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data import files
from metrics.features import feature_store
from training.runs import npz_files
from training.watch import contact_sheet

CACHE_VERSION = 2  # another one where the same network would give other features
SEEN = ("image", "label")
CONTENT = (*SEEN, "label_map", "hole")

log = logging.getLogger(__name__)


class RealImages:
    """The items of a split. Hash, features and figures are computed in the first pass over them.

    Args:
        data: pipeline.
        split: str.
        batch_size: int.
        network: feature network, with `name`, `weights_hash` and `resize`; None = no features.
        columns: metrics of the real items alone; they get nothing generated.
        num_images: int, how many of the first items the columns count; None = all.
        content: entries of the items that "content_sha256" is of. Default: all that metrics read.
    """

    def __init__(
        self, data, split, batch_size, *, network=None, columns=(), num_images=None,
        content=CONTENT,
    ) -> None:  # fmt: skip
        self.data, self.split, self.batch_size = data, split, batch_size
        self.columns, self.num_images, self._content = columns, num_images, content
        self._network = network and KeptFeatures(network, cache_path(data, split, network))
        self._digests, self._count, self._features = {}, 0, feature_store.FeatureStore()
        self._rest = self._read()
        self._first_reading: Iterator[dict] | None = self._rest
        for column in columns:
            column.reset_state()

    def batches(self) -> Iterator[dict]:
        """Batches of the split in order, preprocessed, with "valid"."""
        reading, self._first_reading = self._first_reading, None
        return self._batches() if reading is None else reading

    def protocol(self) -> dict:
        """What the items are, whatever their files are called.

        Returns:
            {"split", "n_real", "image_size": [height, width], "resize": how files become images of
            that size ("load_size" is larger where its middle alone is seen), "content_sha256": hash
            of pixels, classes, label maps and holes as the metrics meet them, "seen_sha256": the
            same of images and classes alone}.
        """
        self._finish()
        return {
            "split": self.split,
            "n_real": self._count,
            "image_size": list(self.data.image_size),
            "resize": self.data.resize.settings() | {"load_size": list(self._seen_size)},
            "content_sha256": self._digest(self._content),
            "seen_sha256": self._digest([key for key in SEEN if key in self._content]),
        }

    @property
    def _seen_size(self) -> tuple[int, int]:
        return self.data.resize.evaluation_size(self.data.image_size)

    def seen(self) -> str:
        """How much of each picture is seen, in words."""
        wanted, found = ("x".join(map(str, s)) for s in (self.data.image_size, self._seen_size))
        return f"whole at {wanted}" if found == wanted else f"the middle {wanted} of {found}"

    def features(self) -> dict[str, np.ndarray]:
        """{"features": float32 [N, D], "logits" and "label" if there are any} of all items."""
        self._finish()
        return self._features.result()

    def _batches(self) -> Iterator[dict]:
        dataset = self.data.evaluation_dataset(self.split, self.batch_size)
        batches, done = iter(dataset), 0
        while True:
            try:
                batch = next(batches, None)
            except tf.errors.OpError:
                if not self.data.mend(self.split):  # which names the file, where that is an error
                    raise
                dataset = self.data.evaluation_dataset(self.split, self.batch_size)
                batches = iter(dataset.skip(done))
                continue
            if batch is None:
                return
            done += 1
            valid = batch.pop("valid")
            yield self.data.preprocess(batch) | {"valid": valid}

    def _read(self) -> Iterator[dict]:
        for batch in self._batches():
            valid = np.asarray(batch["valid"])
            self._note({key: np.asarray(value)[valid] for key, value in batch.items()})
            yield batch
        if self._network is not None:
            self._network.keep(self._features.result())

    def _finish(self) -> None:
        """Reads the items that no pass has reached yet."""
        count, done = (-(-items // self.batch_size)
                       for items in (self.data.num_examples(self.split), self._count))  # fmt: skip
        bar = {"desc": "Real images", "total": count, "initial": done}
        for _ in tqdm(self._rest, **bar, disable=None) if done < count else self._rest:
            pass

    def _note(self, items) -> None:
        seen = items | {"image": contact_sheet.to_uint8(items["image"])}
        for key in set(CONTENT) & set(seen):
            digest = self._digests.setdefault(key, hashlib.sha256())
            digest.update(np.ascontiguousarray(seen[key]).tobytes())
        if self._network is not None:
            labels = {key: seen[key] for key in ("label",) if key in seen}
            self._features.update_state(self._network(seen["image"]) | labels)
        wanted = None if self.num_images is None else max(0, self.num_images - self._count)
        if wanted != 0:
            for column in self.columns:
                column.update_state({key: value[:wanted] for key, value in items.items()}, {})
        self._count += len(seen["image"])

    def _digest(self, keys) -> str:
        parts = [f"{k} {self._digests[k].hexdigest()}" for k in keys if k in self._digests]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class KeptFeatures:
    """A feature network that does not look again at batches of images whose pixels it has seen.

    Args:
        network: callable of uint8 [B, H, W, 3] -> dict of arrays [B, ...].
        path: file of what it has seen, or None. A damaged one counts as none.

    Call: as the network; besides, "pixels", a hash of each image.
    """

    def __init__(self, network, path) -> None:
        self.network, self.path, self._is_new = network, path, False
        self._known = _load(path)
        self._rows = {key.tobytes(): row for row, key in enumerate(self._known.get("pixels", ()))}

    def __call__(self, images) -> dict[str, np.ndarray]:
        keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
        if all(key in self._rows for key in keys):
            rows = [self._rows[key] for key in keys]
            return {name: values[rows] for name, values in self._known.items()}
        self._is_new = True
        return self.network(images) | {"pixels": np.array([list(key) for key in keys], np.uint8)}

    def keep(self, arrays: dict[str, np.ndarray]) -> None:
        """Writes the file anew, where it lacked some of these arrays of all images."""
        if self.path is None or not self._is_new:
            return
        buffer = io.BytesIO()
        kept: dict = {name: values for name, values in arrays.items() if name != "label"}
        np.savez(buffer, **kept)
        try:
            files.write_atomically(self.path, buffer.getvalue())
        except OSError as error:
            log.info("The features of the real images are not kept: %s", error)


def cache_path(data, split, network) -> Path | None:
    """The file of the features of a split, beside the decoded images; None without a cache.

    Its name is a hash of folder, split, size and network. Whether the images are still the same is
    decided by the hashes of their pixels, in the file.
    """
    if data.cache.kind == "none":
        return None
    seen_size = data.resize.evaluation_size(data.image_size)
    size = [data.image_size, seen_size, data.resize.settings()]
    parts = [CACHE_VERSION, os.path.abspath(data.root), split, size]
    parts += [network.name, network.weights_hash, network.resize]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]
    return data.cache.resolved_folder(data.root) / f"features-{key}.npz"


def _load(path) -> dict:
    if path is None:
        return {}
    try:
        known = npz_files.read_arrays(path)
        whole = {"pixels", "features"} <= set(known) and len({*map(len, known.values())}) == 1
        return known if whole else {}
    except (OSError, TypeError, ValueError):
        return {}
