"""Data sets that tfds itself writes, needing no download, and a pipeline over them."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data import pipeline, transforms
from data.images import decoded_cache
from data.sources import tfds_source

SIZE = (6, 4)
CLASSES = ["cat", "dog", "eel"]
TRAIN, TEST = 20, 7


class TesseraTiny(tfds.core.GeneratorBasedBuilder):
    """Images and classes, with features of other kinds around them; needs no download."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tiny_features())

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(TRAIN), "test": self._generate_examples(TEST)}

    def _generate_examples(self, count):
        for index in range(count):
            yield index, tiny_example(index)


class TesseraManual(TesseraTiny):
    """The same, from files that the user has to fetch."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Register at example.org\n and fetch tiny.tar."

    def _split_generators(self, dl_manager):
        count = int((dl_manager.manual_dir / "count.txt").read_text())
        return {"train": self._generate_examples(count)}


def tiny_features():
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "key": tfds.features.Text(),
            "number": np.int64,
            "depth": tfds.features.Image(shape=(None, None, 1), dtype=np.float32),
        }
    )


def tiny_example(index):
    rng = np.random.default_rng(index)
    return {
        "image": rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8),
        "label": index % 3,
        "key": f"item {index}",
        "number": index,
        "depth": np.zeros((*SIZE, 1), np.float32),
    }


def write_masks(folder, values=(1, 2, 3)):
    """Photographs and label maps of 1, 2, 3, as JPEG and PNG, under the name `tiny_masks`."""

    def examples(count):
        for index in range(count):
            mask = np.random.default_rng(index).choice(values, (*SIZE, 1)).astype(np.uint8)
            photo = io.BytesIO()
            Image.fromarray(np.repeat(mask * 20, 3, axis=2)).save(photo, "JPEG", quality=100)
            photo.seek(0)
            yield index, {"image": photo, "segmentation_mask": mask, "label": index % 2}

    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_masks", version="1.0.0", features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(examples(12)), "test": list(examples(4))},
        data_dir=folder, disable_shuffling=True,
    )  # fmt: skip


def prepare(folder):
    """Prepared by tfds: `tessera_tiny` in three TFRecord files, and `tiny_masks`."""
    config = tfds.download.DownloadConfig(num_shards=3)
    TesseraTiny(data_dir=folder).download_and_prepare(download_config=config)
    write_masks(folder)
    return folder


def tiny(folder, **changes):
    splits = {"train": "train[:60%]", "validation": "train[60%:]"}
    return tfds_source.TfdsSource(
        "tessera_tiny", **{"data_dir": folder, "splits": splits} | changes
    )


def make(folder, cache=None, kind="memory", source=None, encoding=None, **changes):
    settings = {
        "encoding": encoding,
        "augmentations": {"flip": transforms.RandomFlip()},
        "cache": decoded_cache.CacheSettings(kind, cache),
        "seed": 3,
    }
    return pipeline.ImagePipeline(source or tiny(folder), list(SIZE), **{**settings, **changes})


def masks(folder, **changes):
    return tfds_source.TfdsSource(
        "tiny_masks", data_dir=folder, label_map_key="segmentation_mask", **changes
    )
