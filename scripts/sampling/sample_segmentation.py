"""Photographs in, label maps out: what scripts/sample.py does with a segmentation network."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.command import overrides
from scripts.sampling import generation, photos_with_holes

SHEET_ROWS = VALIDATION_ITEMS = 16
LABELS, PHOTOS = "labels", "photos"  # folders of data=paired_folders
# Settings of configs/sample.yaml that only these runs have.
SETTINGS = ("images", "count")


@dataclass(frozen=True)
class Photograph:
    """One photograph to label; a file is opened at each `read`."""

    name: str  # of the label map, below its folder and without suffix
    size: tuple[int, int]  # height, width
    read: Callable  # () -> uint8 [H, W, 3]
    file: Path | None = None  # that is read
    true: Any = None  # uint8 [H, W], its label map, where the data have one


def sample(run, config, out: Path) -> int:
    """Writes a label map for every photograph into out/labels, and out/sheet.png; returns how many.

    A map has the size of its photograph, the class ids of the run, and their colours as its
    palette.

    Raises:
        ValueError, FileNotFoundError: settings that this run or these files do not allow.
    """
    from tqdm import tqdm

    from data.labels import conversion, label_check
    from training.watch import contact_sheet

    check_settings(config)
    photographs = of_validation(run, config) if config.images is None else of_files(config, out)
    refuse_losses(photographs, out)
    shown = label_check.sample(photographs, min(SHEET_ROWS, len(photographs)))
    rows = {photograph.name: {} for photograph in shown}
    palette = conversion.palette_of(run.data.class_colors)
    with tqdm(total=len(photographs), desc="Labelling", disable=None) as bar:
        for photograph, image, ids in labelled(run, photographs, config.batch_size):
            path = out / LABELS / f"{photograph.name}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            conversion.write_label_map(partial, ids, palette)
            partial.replace(path)
            if photograph.name in rows:
                columns = columns_of(run, photograph, image, ids)
                rows[photograph.name] |= {
                    title: generation.scaled_down(picture) for title, picture in columns.items()
                }
            bar.update()
    contact_sheet.write_png(out / "sheet.png", generation.sheet(rows))
    return len(photographs)


def sentence(run, config, out: Path, count: int) -> str:
    """What was made, and the command that trains on it."""
    made = f"{count} label maps of step {run.step} in {out / LABELS}, sheet {out}/sheet.png"
    images = Path(str(config.images))
    if config.images is None or images.is_file() or config.count is not None:
        return made  # no data set: photographs without a map would be refused
    settings = ["experiment=spade_facades_small", "data=paired_folders"]
    settings.append(f"data.root={overrides.quoted(out)}")
    if not (out / PHOTOS).is_dir() or not images.samefile(out / PHOTOS):
        settings.append(f"data.source.photos={overrides.quoted(images.resolve())}")
    if all((images / split).is_dir() for split in ("train", "validation")):
        settings.append("data/splits=folders")
    settings.append(f"data.encoding.num_classes={run.data.num_classes}")
    return f"{made}\nTo train on them: python train.py {shlex.join(settings)}"


def check_settings(config) -> None:
    """Raises ValueError for settings of generators."""
    if config.seeds is not None or config.layouts:
        raise ValueError(
            "Expected neither seeds= nor layouts=: the network of this run takes no noise and has "
            f"no attentive normalisation. Received: seeds={config.seeds}, "
            f"layouts={config.layouts}. Leave them out."
        )


def of_validation(run, config) -> list[Photograph]:
    """Photographs of the run's validation split as evaluation sees them, with their label maps."""
    from training.watch import contact_sheet

    names, batch = run.data.examples("validation", config.count or VALIDATION_ITEMS)
    images, maps = contact_sheet.to_uint8(batch["image"]), batch["label_map"].numpy()
    return [
        Photograph(name, image.shape[:2], lambda image=image: image, true=ids)
        for name, image, ids in zip(names, images, maps, strict=True)
    ]


def of_files(config, out: Path) -> list[Photograph]:
    """Those of images=; every file has been read once, so that none is a surprise later.

    Raises:
        FileNotFoundError, ValueError: what is wrong with which files.
    """
    import tensorflow as tf
    from tqdm import tqdm

    from data.images import photos

    decode = tf.function(photos.decode_photo)  # the pixels that training will see
    root = Path(str(config.images))
    paths = photos_with_holes.files_by_name(root, "images", [out, out / LABELS])
    photographs, wrong = [], []
    for name, path in tqdm(list(paths.items())[: config.count], "Checking", disable=None):
        try:
            # Rotated ones are refused: beside label maps, photographs are read as stored.
            size = photos.inspect_photo(path)
        except ValueError as error:
            wrong.append(str(error))
            continue

        def read(path=path):
            return decode(tf.constant(str(path))).numpy()

        photographs.append(Photograph(name, size, read, path))
    photos_with_holes.refuse_wrong(wrong)
    return photographs


def refuse_losses(photographs, out: Path) -> None:
    """Raises ValueError where a label map is there already, or the sheet would replace a file."""
    from data.labels import label_files

    for photograph in photographs:
        for suffix in label_files.LABEL_SUFFIXES:
            path = out / LABELS / f"{photograph.name}{suffix}"
            if path.exists():
                raise ValueError(
                    "Expected a folder without label maps of these names, as none is overwritten. "
                    f"Received: out={out}, with {path}. Choose another out, or move the label "
                    "maps that are there elsewhere."
                )
    sheet = (out / "sheet.png").resolve()
    if any(item.file and item.file.resolve() == sheet for item in photographs):
        raise ValueError(
            f"Expected a folder where the sheet replaces no photograph. Received: out={out}, with "
            f"{sheet}. Choose another out, or rename the photograph."
        )


def labelled(run, photographs, batch_size: int):
    """Yields (photograph, its pixels, uint8 [H, W] class ids of them)."""
    import tensorflow as tf

    by_size = {}
    for photograph in photographs:
        by_size.setdefault(working_size(run, photograph), []).append(photograph)
    for size, members in by_size.items():
        generate, count = None, generation.items_at_once(batch_size, size, run.data.load_size)
        for first in range(0, len(members), count):
            part = members[first : first + count]
            images = [photograph.read() for photograph in part]
            seen = [run.data.resize.whole_photo(tf.constant(image), size) for image in images]
            inputs = {"image": run.data.preprocess({"image": tf.stack(seen)})["image"]}
            generate = generate or generation.compiled_for(run, inputs)
            made = generate(inputs, tf.zeros([len(part)], tf.int32))
            for photograph, image, logits in zip(part, images, made["logits"], strict=True):
                yield photograph, image, most_probable(logits, image.shape[:2])


def working_size(run, photograph) -> tuple[int, int]:
    """The size to show a photograph at: all of it, at the scale of training."""
    if photograph.file is None:
        return photograph.size  # of the validation split, brought there already
    stride = run.task.network.output_stride
    return run.data.resize.whole_size(photograph.size, run.data.load_size, stride)


def most_probable(logits, size) -> np.ndarray:
    """Class ids, uint8 [*size], of logits [h, w, K] enlarged bilinearly to a size.

    Class by class: the logits of a large photograph at its full size would fill the memory.
    """
    import tensorflow as tf

    best, ids = tf.fill(size, -np.inf), tf.zeros(size, tf.uint8)
    for index in range(logits.shape[-1]):
        logit = tf.image.resize(logits[..., index : index + 1], size)[..., 0]
        ids = tf.where(logit > best, tf.constant(index, tf.uint8), ids)
        best = tf.maximum(logit, best)
    return ids.numpy()


def columns_of(run, photograph, image, ids) -> dict[str, np.ndarray]:
    """{title: uint8 [H, W, 3]} of a row of the sheet."""
    coloured = run.data.encoding.colors_of(ids)
    columns = {"photograph": image}
    if photograph.true is not None:
        columns["true"] = run.data.encoding.colors_of(photograph.true)
    overlay = np.uint8((np.uint16(image) + coloured) // 2)
    return columns | {"label map": coloured, "overlay": overlay}
