"""What all ways to sample share: from inputs to 8-bit pictures, batch by batch."""

from pathlib import Path

import numpy as np

SHEET_SIDE = 256  # of pictures on a sheet of several sizes


def generate(run, inputs, seeds, batch_size: int, *, layouts=False, title="") -> dict:
    """Pictures of the run's generator.

    Args:
        run: TrainedRun.
        inputs: function of a slice of the items -> what the generator reads of them.
        seeds: a noise seed for each item.
        batch_size: items at a time; the pictures do not depend on it.
        layouts: bool, also the layouts.
        title: for the progress bar.

    Returns:
        {"image": uint8 [N,H,W,3]}, with `layouts` also "layout", laid over the image.

    Raises:
        ValueError: layouts of a generator without attentive normalisation.
    """
    from training.watch import contact_sheet

    pictures = {"image": []} | ({"layout": []} if layouts else {})
    for _, made in batches(run, inputs, seeds, batch_size, title=title):
        pictures["image"].append(contact_sheet.to_uint8(made["image"]))
        if not layouts:
            continue
        overlay = layout_overlay(run, made)
        pictures["layout"].append(contact_sheet.to_uint8(overlay))
    return {name: np.concatenate(parts) for name, parts in pictures.items()}


def layout_overlay(run, made):
    """What the generator made, half covered by its layout: float32 [B,H,W,3] in [-1, 1].

    Raises:
        ValueError: a generator without attentive normalisation.
    """
    from training.watch import monitoring

    if "layout" not in made:
        raise ValueError(
            "Expected a run whose generator has attentive normalisation. Received: layouts=true "
            f"for {type(run.task.generator).__name__} without it. Leave layouts out, or train with "
            "attention=attentive_norm (inpainting: generator=inpainting)."
        )
    return monitoring.overlay(made["image"], made["layout"])


def compiled_for(run, inputs):
    """`run.generate` for inputs of these shapes, the number of items aside.

    Networks that are called at several sizes need each size static; `run.generate` itself would
    leave it open from the second size on.

    Args:
        inputs: dict of float32 arrays or tensors [B, ...].
    """
    import tensorflow as tf

    spec = {key: tf.TensorSpec([None, *x.shape[1:]], x.dtype) for key, x in inputs.items()}
    # Not called as a tf.function, which would warn of so many traces.
    seeds = tf.TensorSpec([None], tf.int32)
    return tf.function(run.task.generate).get_concrete_function(spec, seeds)


def items_at_once(batch_size: int, size, run_size) -> int:
    """How many photographs have no more pixels than a batch of the run's size; at least one."""
    return max(1, min(batch_size, batch_size * int(np.prod(run_size)) // int(np.prod(size))))


def batches(run, inputs, seeds, batch_size: int, *, title=""):
    """Yields (slice of the items, what the run's task makes of them); arguments as `generate`."""
    import tensorflow as tf
    from tqdm import tqdm

    for first in tqdm(range(0, len(seeds), batch_size), title, disable=None):
        part = slice(first, first + batch_size)
        yield part, run.generate(inputs(part), tf.constant(seeds[part], tf.int32))


def scaled_down(image: np.ndarray) -> np.ndarray:
    """The image, no side longer than SHEET_SIDE."""
    from PIL import Image

    if max(image.shape[:2]) <= SHEET_SIDE:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((SHEET_SIDE, SHEET_SIDE))
    return np.asarray(picture)


def sheet(rows: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    """A sheet of pictures of several sizes, all scaled into tiles of the largest height and width.

    Args:
        rows: name of an item -> title of a column -> uint8 [H, W, 3].
    """
    from PIL import Image, ImageOps

    from training.watch import contact_sheet

    shapes = [image.shape for columns in rows.values() for image in columns.values()]
    height, width, _ = np.max(shapes, axis=0)

    def tile(image):
        return np.asarray(ImageOps.pad(Image.fromarray(image), (width, height), color="white"))

    titles = next(iter(rows.values()))
    columns = {
        title: np.stack([tile(columns[title]) for columns in rows.values()]) for title in titles
    }
    return contact_sheet.contact_sheet(columns, [Path(name).name for name in rows])
