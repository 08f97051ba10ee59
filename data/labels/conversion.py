"""Label maps of many formats made into 8-bit BMP maps, with their photographs, as one folder."""

import json
import os
import shutil
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from data import files, outputs
from data.batch import IGNORE_ID
from data.images import opening, photos
from data.labels import label_maps
from data.sources import folder_source, splits

MARKER = "prepare_dataset.json"
COPIED_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")
VALIDATION_FOLDERS = ("validation", "val", "valid")
ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Conversion:
    """What was converted: pairs per split, pixels per class id, whether pixels are ignored."""

    counts: dict[str, int]
    pixels: np.ndarray
    ignored: int


def stored_colours(path) -> list[tuple] | None:
    """[(r, g, b)], the palette inside an indexed file; None where the file has none."""
    with opening.opened(files.read_bytes(path, "label map"), os.fspath(path)) as image:
        if image.mode != "P":
            return None
        colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return [tuple(colour) for colour in colours.tolist()]


def choose_splits(
    root, photos, validation_share, group_pattern, group_modulo, seed
) -> splits.FolderSplits | splits.HashedSplits:
    """Splits by the folders there are; without any, or with a share given, by hashed groups."""
    names = set()
    for stars, folder in folder_source.matching(root, photos):
        inner = [stars] if stars else [entry.name for entry in folder.iterdir() if entry.is_dir()]
        names |= {name.partition("/")[0] for name in inner}
    if validation_share is None and "train" in names:
        present = [name for name in VALIDATION_FOLDERS if name in names]
        return splits.FolderSplits(validation=(present or VALIDATION_FOLDERS)[0])
    share = 0.1 if validation_share is None else validation_share
    return splits.HashedSplits(
        {"validation": share}, group_pattern, group_modulo=group_modulo, seed=seed
    )


def check_output(out: Path, source: Path, *, overwrite: bool) -> None:
    """Raises ValueError where writing to `out` would destroy something."""
    out, source = out.resolve(), source.resolve()
    if out == source or out in source.parents:
        raise ValueError(
            f"The result cannot replace its own source. Received: source={source}, out={out}"
        )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MARKER).is_file():
        raise ValueError(
            f"The folder holds files that this command has not written. Received: out={out}. "
            "Choose another folder, or remove it yourself."
        )
    if not overwrite:
        raise ValueError(
            f"There is a converted data set already. Received: out={out}. Choose another folder, "
            "or replace it with overwrite=true"
        )


def convert(
    source, out, encoding, *, size=None, colours=None, overwrite=False, reader=None, inputs=()
) -> Conversion:
    """Writes photos/<split>/ and labels/<split>/ below `out`, all of it or nothing.

    Args:
        source: PairedFolders of the originals.
        out: folder to be made.
        encoding: LabelEncoding of the originals.
        size: (height, width) to resize to: maps nearest, photographs antialiased. Default: as is.
        colours: [(r, g, b)] by id for the palette of the BMP files. Default: PASCAL VOC's.
        overwrite: replace the result of an earlier conversion.
        reader: photos.PhotoReader of the originals. Default: its defaults. What is not an upright
            8-bit photograph in RGB or grey is written as one.
        inputs: other files that must not be in the place of the result.

    Raises:
        ValueError: `out` is taken; a file cannot be read; values without a class; unequal sizes.
    """
    out = Path(out).absolute()
    check_output(out, Path(source.root), overwrite=overwrite)
    palette, reader = palette_of(colours), reader or photos.PhotoReader()
    pairs = [
        (record, Path(split, source.splits_by.inner_path(record.name)))
        for split in source.splits
        for record in source.records(split)
    ]
    read = [path for record, _ in pairs for path in (record.photo, record.label_map)]
    outputs.refuse_losses((), [*read, *inputs], replaced=out)
    with files.folder_beside(out) as work:
        for folder in {place.parent for _, place in pairs}:
            for kind in ("photos", "labels"):
                (work / kind / folder).mkdir(parents=True, exist_ok=True)
        with futures.ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
            made = pool.map(
                lambda p: _convert_pair(p[0], p[1], work, encoding, size, palette, reader), pairs
            )
            results = tqdm(made, "Converting", len(pairs), disable=None)
            per_pair, facts = zip(*results, strict=True)
        pixels = np.sum(per_pair, axis=0)
        paths = [record.photo for record, _ in pairs]
        facts_of = dict(zip(paths, facts, strict=True))
        if dark := reader.complaint_of({path: fact.white for path, fact in facts_of.items()}):
            raise ValueError(dark)
        photos.warn_of_pictures({path: fact.pictures for path, fact in facts_of.items()})
        if encoding.is_open:
            label_maps.question_sparse(pixels[:IGNORE_ID])
        settings = {"source": str(Path(source.root).absolute()), "size": size and list(size)}
        (work / MARKER).write_text(json.dumps(settings) + "\n")
        replaced = work.with_name(work.name + ".replaced")
        if out.exists():
            os.rename(out, replaced)
        os.rename(work, out)
        shutil.rmtree(replaced, ignore_errors=True)
    counts = {split: source.count(split) for split in source.splits}
    return Conversion(counts, pixels[:IGNORE_ID], int(pixels[IGNORE_ID]))


def palette_of(colours) -> bytes:
    """256 colours for `write_label_map`: [(r, g, b)] by id, then those of PASCAL VOC."""
    table = np.array(label_maps.voc_colors(256), np.uint8)
    table[: len(colours or ())] = colours or np.zeros((0, 3))
    return table.tobytes()


def write_label_map(path, ids: np.ndarray, palette: bytes) -> None:
    """Writes class ids, uint8 [H, W], as the indices of an 8-bit BMP."""
    image = Image.fromarray(ids)
    image.putpalette(palette)
    image.save(path, format="BMP")


def _convert_pair(record, place: Path, work: Path, encoding, size, palette, reader) -> tuple:
    """Converts one pair; returns (pixels per id, photos.Facts)."""
    ids = encoding.read(record.label_map)
    content = files.read_bytes(record.photo, "photograph")
    facts = reader.inspect(content, record.photo)
    height, width = facts.size
    if facts.orientation != photos.UPRIGHT and not (
        facts.fits_a_map and (size or ids.shape == facts.size)
    ):
        raise ValueError(photos.rotated_complaint(record.photo))
    unlike = abs(height / width / (ids.shape[0] / ids.shape[1]) - 1) > ASPECT_TOLERANCE
    if unlike or (size is None and ids.shape != (height, width)):
        raise ValueError(
            f"{record.photo} has {height}x{width} pixels, {record.label_map} "
            f"{ids.shape[0]}x{ids.shape[1]}: they do not show the same. Received: "
            f"size={size and list(size)}. Remake one of them"
            + ("." if unlike else ", or bring both to one size with size=[height,width]")
        )
    photo_path, suffix = work / "photos" / place, Path(record.photo).suffix.lower()
    target = None if size is None else (size[1], size[0])
    unchanged = target in (None, (width, height))
    if suffix in COPIED_SUFFIXES and unchanged and photos.is_plain(content):
        shutil.copyfile(record.photo, f"{photo_path}{suffix}")
    else:
        photo = Image.fromarray(reader.decode(content, record.photo))
        if target is None or unchanged:
            photo.save(f"{photo_path}.png")
        else:
            photo = photo.resize(target, Image.Resampling.LANCZOS)
            photo.save(f"{photo_path}.jpg", quality=95, subsampling=0)
    label_image = Image.fromarray(ids)
    if target is not None:
        label_image = label_image.resize(target, Image.Resampling.NEAREST)
    ids = np.asarray(label_image)
    write_label_map(f"{work / 'labels' / place}.bmp", ids, palette)
    return np.bincount(ids.ravel(), minlength=256), facts
