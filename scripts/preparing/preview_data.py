"""The command `prepare_dataset.py preview`: a sheet of what training sees, for any data config."""

from pathlib import Path

import hydra
import numpy as np
from omegaconf import DictConfig

from training.loop import tensorflow_import
from training.runs import run_config

AREA_HOLES = 256


@hydra.main(version_base="1.3", config_path=str(run_config.CONFIGS), config_name="preview")
def main(config: DictConfig) -> None:
    tensorflow_import.load_tensorflow()
    run_config.check_targets(config)
    run_config.check_keys(config, "preview")
    preview(config)


def preview(config) -> None:
    """Writes the sheet and says what is on it.

    Raises:
        ValueError: a number or a name that cannot be, and what the data config complains about.
    """
    from training.watch import contact_sheet

    check_settings(config)
    data = hydra.utils.instantiate(config.data, _convert_="all")
    data.check()
    available = data.num_examples("train")
    count = min(config.count, available)
    batches = data.training_dataset(config.first_batch, global_batch_size=count)
    batch = {key: value.numpy() for key, value in data.preprocess(next(iter(batches))).items()}
    sheet = contact_sheet.contact_sheet(columns(batch, data), row_titles(batch, data))
    out = Path(config.out)
    contact_sheet.write_png(out, sheet)
    print(f"{out}: {count} of {available} training items, as training sees them.")
    if data.holes is not None:
        print(describe_areas(hole_areas(data)))


def check_settings(config) -> None:
    for name, lowest in (("count", 1), ("first_batch", 0)):
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(
                f"{name} must be a whole number from {lowest} on. Received: {name}={value!r}"
            )
    if Path(str(config.out)).suffix.lower() != ".png":
        raise ValueError(f"The sheet is a PNG file. Received: out={config.out}")


def columns(batch: dict, data) -> dict[str, np.ndarray]:
    """{title: uint8 [B, H, W, 3]} of a finished batch of a pipeline: all that it gives."""
    from training.watch import contact_sheet

    found = {"photo": contact_sheet.to_uint8(batch["image"])}
    if data.encoding.has_maps:
        found["label map"] = np.asarray(data.encoding.colors_of(batch["label_map"]))
    if data.holes is not None:
        found["masked"] = contact_sheet.to_uint8(batch["masked_image"])
        found["hole"] = np.repeat(np.uint8(255 * batch["hole"]), 3, axis=-1)
    return found


def row_titles(batch: dict, data) -> list[str]:
    """The class of each image, where images have classes."""
    names = data.image_class_names
    return [names[label] for label in batch["label"]] if names else []


def hole_areas(data, count: int = AREA_HOLES) -> np.ndarray:
    """Shares of the image that are missing in the holes of so many training examples."""
    import tensorflow as tf

    from data import order

    @tf.autograph.experimental.do_not_convert
    def area(index):
        seed = order.hole_seed(data.seed, tf.constant(0, tf.int64), index)
        return tf.reduce_mean(tf.cast(data.holes(seed, *data.image_size), tf.float32))

    return np.array(list(tf.data.Dataset.range(count).map(area).as_numpy_iterator()))


def describe_areas(areas: np.ndarray) -> str:
    return (
        f"Mean hole area: {100 * areas.mean():.1f} % of the image, {100 * areas.min():.1f} to "
        f"{100 * areas.max():.1f} % ({areas.size} holes). White = missing, to be painted."
    )
