"""The input pipeline against reading the same files through Python, in turns."""

import contextlib
import tempfile
import time

import hydra
import numpy as np
from omegaconf import OmegaConf

WARM_UP_TURNS = 2
LEAD_IN = 0.25  # share of a turn that is not timed: batches kept ready from before are used up


def measure(config) -> dict[str, list[float]]:
    """{way: images/s of each turn}; the first way is the one to compare with.

    Args:
        config: image_size, pairs, batch_size, rounds, seconds, root (None = a temporary folder).

    Raises:
        ValueError: the root holds other files, or there are fewer pairs than a batch has.
    """
    from tqdm import tqdm

    with contextlib.ExitStack() as stack:
        root = config.root or stack.enter_context(tempfile.TemporaryDirectory())
        iterators = {way: iter(dataset) for way, dataset in datasets(config, root).items()}
        speeds = {way: [] for way in iterators}
        for iterator in iterators.values():  # until tf.data has tuned its parallelism
            batches_per_second(iterator, WARM_UP_TURNS * config.seconds)
        for _ in tqdm(range(config.rounds), "Rounds", disable=None):
            for way, iterator in iterators.items():
                batches_per_second(iterator, LEAD_IN * config.seconds)
                speed = batches_per_second(iterator, config.seconds)
                speeds[way].append(speed * config.batch_size)
        return speeds


def batches_per_second(iterator, seconds: float) -> float:
    """Takes batches for a time."""
    count, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds or not count:
        next(iterator)
        count += 1
    return count / passed


def datasets(config, root) -> dict:
    """{way: endless dataset}, all of the same files and without augmentation."""
    import tensorflow as tf

    cold = pipeline(config, root)
    in_step = "data.encoding.mask_in_step=true"
    ways = {
        "tf.py_function, Pillow, a loop over classes; parallel": through_python(
            cold, config.batch_size, tf.data.AUTOTUNE
        ),
        "tf.py_function, Pillow, a loop over classes; one by one": through_python(
            cold, config.batch_size, None
        ),
    }
    pipelines = {
        "pipeline, cold: files decoded each time": cold,
        "pipeline, cold, one-hot in the step": pipeline(config, root, in_step),
        "pipeline, cached in memory": pipeline(config, root, "data.cache.kind=memory"),
        "pipeline, cached, one-hot in the step": pipeline(
            config, root, "data.cache.kind=memory", in_step
        ),
    }
    return ways | {
        name: item.training_dataset(global_batch_size=config.batch_size)
        for name, item in pipelines.items()
    }


def pipeline(config, root, *overrides):
    """The pipeline of configs/data/synthetic_facades.yaml at the size asked for."""
    composed = hydra.compose(
        "train",
        [
            "data=synthetic_facades",
            f"data.image_size=[{config.image_size},{config.image_size}]",
            f"data.source.image_size={config.image_size}",
            f"data.source.train_count={config.pairs}",
            "data.source.validation_count=1",
            "data.augmentations=null",
            "data.cache.kind=none",
            *overrides,
        ],
    )
    OmegaConf.update(composed, "data.root", str(root))
    return hydra.utils.instantiate(composed.data, _convert_="all")


def through_python(data, batch_size: int, num_parallel_calls):
    """What tutorials do: Pillow in a tf.py_function, and a comparison for every class."""
    import tensorflow as tf
    from PIL import Image

    def load(photo, label_map):
        pixels = np.asarray(Image.open(photo.numpy()), np.float32) / 127.5 - 1
        ids = np.asarray(Image.open(label_map.numpy()))
        mask = np.zeros((*ids.shape, data.num_classes), np.float32)
        for class_id in range(data.num_classes):
            mask[..., class_id] = ids == class_id
        return pixels, ids, mask

    def example(photo, label_map):
        dtypes = (tf.float32, tf.uint8, tf.float32)
        tensors = tf.py_function(load, [photo, label_map], dtypes)
        size = data.image_size
        shapes = ([*size, 3], size, [*size, data.num_classes])
        keys = ("image", "label_map", "mask")
        return {k: tf.ensure_shape(t, s) for k, t, s in zip(keys, tensors, shapes, strict=True)}

    records = data.source.records("train")
    paths = ([str(r.photo) for r in records], [str(r.label_map) for r in records])
    dataset = tf.data.Dataset.from_tensor_slices(paths).repeat()
    dataset = dataset.map(example, num_parallel_calls=num_parallel_calls)
    # Two batches: with a deeper queue it would still be filling while the next way is timed.
    return dataset.batch(batch_size, drop_remainder=True).prefetch(2)
