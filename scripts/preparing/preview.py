"""Sheets of what a data set holds: the training items of any data config, and converted pairs."""

from pathlib import Path

import hydra
import numpy as np
import tensorflow as tf
from omegaconf import DictConfig
from PIL import Image

from data import order, outputs
from data.images import photos
from data.labels import label_check, label_maps
from data.sources import paired_folders
from scripts.command import checks
from training.runs import run_config
from training.watch import contact_sheet

AREA_HOLES = 256
FILE = "preview.png"
PAIR_SIDE = 192


def preview(config: DictConfig) -> None:
    """Writes a sheet of training items as training sees them, and prints what is on it.

    Args:
        config: configs/preview.yaml, composed.

    Raises:
        ValueError: a number or a name that cannot be, and what the data config complains about.
    """
    run_config.check_targets(config)
    run_config.check_keys(config, "preview")
    checks.check_whole_numbers(config, count=1, first_batch=0)
    if Path(str(config.out)).suffix.lower() != ".png":
        raise ValueError(f"The sheet is a PNG file. Received: out={config.out}")
    outputs.refuse_losses([config.out])
    data = hydra.utils.instantiate(config.data, _convert_="all")
    data.check()
    available = data.num_examples("train")
    count = min(config.count, available)
    batches = data.training_dataset(config.first_batch, global_batch_size=count)
    batch = {key: value.numpy() for key, value in data.preprocess(next(iter(batches))).items()}
    names = data.image_class_names
    titles = [names[label] for label in batch["label"]] if names else []
    sheet = contact_sheet.contact_sheet(columns(batch, data), titles)
    contact_sheet.write_sheet(Path(config.out), sheet)
    print(f"{config.out}: {count} of {available} training items, as training sees them.")
    if data.holes is not None:
        print(describe_areas(hole_areas(data)))


def columns(batch: dict, data) -> dict[str, np.ndarray]:
    """{title: uint8 [B, H, W, 3]} of a preprocessed batch of a pipeline: all that it gives."""
    found = {"photo": contact_sheet.to_uint8(batch["image"])}
    if data.encoding.has_maps:
        found["label map"] = np.asarray(data.encoding.colors_of(batch["label_map"]))
    if data.holes is not None:
        found["masked"] = contact_sheet.to_uint8(batch["masked_image"])
        found["hole"] = np.repeat(np.uint8(255 * batch["hole"]), 3, axis=-1)
    return found


def hole_areas(data, count: int = AREA_HOLES) -> np.ndarray:
    """Shares of the image that are missing in the holes of so many training examples."""

    @tf.autograph.experimental.do_not_convert
    def area(index) -> tf.Tensor:
        seed = order.hole_seed(data.seed, tf.constant(0, tf.int64), index)
        return tf.reduce_mean(tf.cast(data.holes(seed, *data.image_size), tf.float32))

    return np.array(list(tf.data.Dataset.range(count).map(area).as_numpy_iterator()))


def describe_areas(areas: np.ndarray) -> str:
    return (
        f"Mean hole area: {100 * areas.mean():.1f} % of the image, {100 * areas.min():.1f} to "
        f"{100 * areas.max():.1f} % ({areas.size} holes). White = missing, to be painted."
    )


def preview_pairs(
    source: paired_folders.PairedFolders, encoding: label_maps.LabelEncoding, count: int,
    reader: photos.PhotoReader,
) -> None:  # fmt: skip
    """Writes preview.png: photographs, maps in class colours, and both mixed, from all splits."""
    records = [record for split in source.splits for record in source.records(split)]
    tiles = {"photograph": [], "label map": [], "both": []}
    for record in label_check.sample(records, count):
        photo = Image.fromarray(reader.read(record.photo)).resize((PAIR_SIDE, PAIR_SIDE))
        coloured = Image.fromarray(encoding.colors_of(encoding.read(record.label_map)))
        coloured = coloured.resize(photo.size, Image.Resampling.NEAREST)
        shown = photo, coloured, Image.blend(photo, coloured, 0.5)
        for column, tile in zip(tiles.values(), shown, strict=True):
            column.append(np.asarray(tile))
    sheet = contact_sheet.contact_sheet({title: np.stack(each) for title, each in tiles.items()})
    contact_sheet.write_sheet(Path(source.root) / FILE, sheet)
