"""The input pipeline against reading the same files through Python, in turns."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import hydra
import numpy as np
import tensorflow as tf
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from tqdm import tqdm

from scripts.command import tables

PYTHON = "tf.py_function, Pillow, a loop over classes; "
IN_STEP, CACHED = "data.encoding.mask_in_step=true", "data.cache.kind=memory"
PIPELINES = {
    "pipeline, cold: files decoded each time": [],
    "pipeline, cold, one-hot in the step": [IN_STEP],
    "pipeline, cached in memory": [CACHED],
    "pipeline, cached, one-hot in the step": [CACHED, IN_STEP],
}
LEGEND = "in the step: scaling and one-hot are left to the train step and not timed here."
WARM_UP_TURNS = 2
LEAD_IN = 0.25  # share of a turn that is not timed: batches kept ready from before are used up


def run(config: DictConfig) -> None:
    """Times the ways to read, in turns, and prints the table; the first is the one to compare with.

    Args:
        config: image_size, pairs, batch_size, rounds, seconds, root (None = a temporary folder).

    Raises:
        ValueError: the root holds other files, or there are fewer pairs than a batch has.
    """
    with contextlib.ExitStack() as stack:
        root = config.root or stack.enter_context(tempfile.TemporaryDirectory())
        iterators = {way: iter(dataset) for way, dataset in datasets(config, root).items()}
        for iterator in iterators.values():  # until tf.data has tuned its parallelism
            batches_per_second(iterator, WARM_UP_TURNS * config.seconds)
        speeds = {way: [] for way in iterators}
        for _ in tqdm(range(config.rounds), "Rounds", disable=None):
            for way, iterator in iterators.items():
                batches_per_second(iterator, LEAD_IN * config.seconds)
                speed = batches_per_second(iterator, config.seconds)
                speeds[way].append(speed * config.batch_size)
    reference = next(iter(speeds.values()))
    rows = [[way, tables.spread(s), tables.ratio(s, reference)] for way, s in speeds.items()]
    print(
        f"{config.pairs} pairs of 8-bit BMP and JPEG, {config.image_size} px, 12 classes, batches\n"
        f"of {config.batch_size}. {config.rounds} turns of {config.seconds} s: median (min - max)\n"
    )
    print(tables.table([["way", "images/s", "speed"], *rows]) + "\n\n" + LEGEND)


def batches_per_second(iterator: Iterator, seconds: float) -> float:
    """Takes batches for a time."""
    count, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds or not count:
        next(iterator)
        count += 1
    return count / passed


def datasets(config: DictConfig, root) -> dict[str, tf.data.Dataset]:
    """{way: endless dataset}, all of the same files and without augmentation."""
    cold = pipeline(config, root)
    ways = {f"{PYTHON}parallel": tf.data.AUTOTUNE, f"{PYTHON}one by one": None}
    found = {way: through_python(cold, config.batch_size, calls) for way, calls in ways.items()}
    for way, overrides in PIPELINES.items():
        data = pipeline(config, root, *overrides)
        found[way] = data.training_dataset(global_batch_size=config.batch_size)
    return found


def pipeline(config: DictConfig, root, *overrides: str) -> Any:
    """The pipeline of configs/data/synthetic_facades.yaml at the size asked for."""
    settings = [
        "data=synthetic_facades",
        f"data.image_size=[{config.image_size},{config.image_size}]",
        f"data.source.image_size={config.image_size}",
        f"data.source.train_count={config.pairs}",
        "data.source.validation_count=1",
        "data.augmentations=null",
        "data.cache.kind=none",
    ]
    composed = hydra.compose("train", [*settings, *overrides])
    OmegaConf.update(composed, "data.root", str(root))
    return hydra.utils.instantiate(composed.data, _convert_="all")


def through_python(data, batch_size: int, num_parallel_calls: int | None) -> tf.data.Dataset:
    """What tutorials do: Pillow in a tf.py_function, and a comparison for every class."""

    def load(photo, label_map) -> tuple:
        pixels = np.asarray(Image.open(photo.numpy()), np.float32) / 127.5 - 1
        ids = np.asarray(Image.open(label_map.numpy()))
        mask = np.zeros((*ids.shape, data.num_classes), np.float32)
        for class_id in range(data.num_classes):
            mask[..., class_id] = ids == class_id
        return pixels, ids, mask

    def example(photo, label_map) -> dict[str, tf.Tensor]:
        tensors = tf.py_function(load, [photo, label_map], (tf.float32, tf.uint8, tf.float32))
        size = data.image_size
        shapes = {"image": [*size, 3], "label_map": size, "mask": [*size, data.num_classes]}
        named = zip(shapes.items(), tensors, strict=True)
        return {key: tf.ensure_shape(tensor, shape) for (key, shape), tensor in named}

    records = data.source.records("train")
    paths = ([str(r.photo) for r in records], [str(r.label_map) for r in records])
    dataset = tf.data.Dataset.from_tensor_slices(paths).repeat()
    dataset = dataset.map(example, num_parallel_calls=num_parallel_calls)
    # Two batches: with a deeper queue it would still be filling while the next way is timed.
    return dataset.batch(batch_size, drop_remainder=True).prefetch(2)
