"""Photographs of any size in; repaired photographs or label maps of their sizes out."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig
from PIL import Image, ImageOps
from tqdm import tqdm

from data import outputs
from data.labels import conversion, label_check, label_files
from scripts.command import overrides
from scripts.sampling import photograph_files
from training.runs import whole_files
from training.watch import contact_sheet

SHEET_ROWS = 16
SHEET_SIDE = 256  # of pictures on a sheet
LABELS, PHOTOS = "labels", "photos"  # folders of data=paired_folders


def sample(run, config: DictConfig, out: Path) -> str:
    """Writes what the network makes of every photograph, and sheet.png; returns a sentence.

    Images are `<name>.png` with the colour profile of the photograph, with `layouts` also
    `<name>_layout.png`. Label maps are `labels/<name>.bmp`, with the colours of the classes as
    their palette.
    """
    kind = run.task.kind
    kind.check(seeds=config.seeds, layouts=config.layouts)
    found = photograph_files.found(run, config, out)
    refuse_losses(run, found, out, config.layouts)
    shown = found[:SHEET_ROWS]
    if not kind.makes_images:
        shown = label_check.sample(found, min(SHEET_ROWS, len(found)))
    rows = {photograph.name: {} for photograph in shown}
    for photograph, item, made in made_of(run, found, config):
        write(run, out, photograph, made)
        if photograph.name in rows:
            columns = kind.columns(run, item, made)
            rows[photograph.name] |= {t: scaled_down(image) for t, image in columns.items()}
    contact_sheet.write_sheet(out / "sheet.png", sheet(rows))
    return sentence(run, config, out, len(found))


def made_of(run, found: list, config: DictConfig) -> Iterator[tuple]:
    """Yields (photograph, its arrays, what the network makes of them), those of a size together."""
    kind = run.task.kind
    resize = config.resize if "resize" in kind.settings else config.images is not None
    by_size = {}
    for photograph in found:
        size = kind.working_size(run, photograph.size, resize)
        by_size.setdefault(size, []).append(photograph)
    with tqdm(total=len(found), desc="Sampling", disable=None) as bar:
        for size, members in by_size.items():
            count = items_at_once(config.batch_size, size, run.data.image_size)
            for first in range(0, len(members), count):
                part = members[first : first + count]
                items = [photograph.read() for photograph in part]
                conditions = {key: [item[key] for item in items] for key in items[0]}
                try:
                    made = kind.sample(run, conditions, layouts=config.layouts, resize=resize)
                except tf.errors.ResourceExhaustedError:
                    raise ValueError(
                        f"The memory does not hold {count} of {size[0]}x{size[1]} pixels at once. "
                        f"Received: batch_size={config.batch_size}, {part[0].name}. Use "
                        "batch_size=1, device=cpu or, where the network paints, resize=true; what "
                        "was made before is in out."
                    ) from None
                for number, photograph in enumerate(part):
                    yield photograph, items[number], {key: x[number] for key, x in made.items()}
                    bar.update()


def items_at_once(batch_size: int, size, run_size) -> int:
    """How many photographs have no more pixels than a batch of the run's size; at least one."""
    return max(1, min(batch_size, batch_size * int(np.prod(run_size)) // int(np.prod(size))))


def result_of(run, out: Path, name: str) -> Path:
    """The file that a photograph's result is written to."""
    images = run.task.kind.makes_images
    return out / f"{name}.png" if images else out / LABELS / f"{name}.bmp"


def write(run, out: Path, photograph, made: dict) -> None:
    """Writes an image and its layout, or a label map."""
    path = result_of(run, out, photograph.name)
    if "image" in made:
        contact_sheet.write_png(path, made["image"], photograph.profile)
        if "layout" in made:
            contact_sheet.write_sheet(out / f"{photograph.name}_layout.png", made["layout"])
        return
    palette = conversion.palette_of(run.data.class_colors)
    with whole_files.written(path) as partial:
        conversion.write_label_map(partial, made["label_map"], palette)


def refuse_losses(run, found: list, out: Path, layouts: bool) -> None:
    """Raises ValueError where a result would replace another, a label map or a file read."""
    names = [photograph.name for photograph in found]
    written = [out / "sheet.png", *(result_of(run, out, name) for name in names)]
    if layouts:
        written += [out / f"{name}_layout.png" for name in names]
    for name in [] if run.task.kind.makes_images else names:
        for suffix in label_files.LABEL_SUFFIXES:
            path = out / LABELS / f"{name}{suffix}"
            if path.exists():
                raise ValueError(
                    "Expected a folder without label maps of these names, as none is overwritten. "
                    f"Received: out={out}, with {path}. Choose another out, or move the label "
                    "maps that are there elsewhere."
                )
    read = [file for photograph in found for file in photograph.files]
    outputs.refuse_losses(written, read)


def sentence(run, config: DictConfig, out: Path, count: int) -> str:
    """What was made; of label maps of a whole folder also the command that trains on them."""
    if run.task.kind.makes_images:
        return f"{count} images of step {run.step} in {out}, sheet {out}/sheet.png"
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


def scaled_down(image: np.ndarray) -> np.ndarray:
    """The image, no side longer than SHEET_SIDE."""
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
    shapes = [image.shape for columns in rows.values() for image in columns.values()]
    height, width, _ = np.max(shapes, axis=0)

    def tile(image) -> np.ndarray:
        return np.asarray(ImageOps.pad(Image.fromarray(image), (width, height), color="white"))

    titles = next(iter(rows.values()))
    columns = {
        title: np.stack([tile(columns[title]) for columns in rows.values()]) for title in titles
    }
    return contact_sheet.contact_sheet(columns, [Path(name).name for name in rows])
