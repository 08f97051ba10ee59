"""Photographs as a user names them, with holes where the kind takes them: found and checked.

hole = True (white in a mask) = missing, to be painted.
"""

import logging
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hydra
import numpy as np
import tensorflow as tf
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from data import order
from data.holes import mask_folder
from data.images import photos
from data.sources import folder_source
from scripts.sampling import files
from training.runs import run_config
from training.watch import contact_sheet

MAX_NAMED = 5
VALIDATION_ITEMS = 16
HOLES = run_config.CONFIGS / "holes"
HOLE_NAMES = tuple(sorted(p.stem for p in HOLES.glob("*.yaml") if p.stem != "mask_folder"))
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photograph:
    """One photograph; files are opened at each `read`."""

    name: str  # of the result, below its folder and without suffix
    size: tuple[int, int]  # height, width
    read: Callable  # () -> {"image": uint8 [H, W, 3], "hole": bool, "label_map": uint8 [H, W]}
    files: tuple[Path, ...] = ()  # that are read
    profile: bytes | None = None  # ICC, without which the same numbers show other colours


def found(run, config: DictConfig, out: Path) -> list[Photograph]:
    """Photographs of images=, or of the run's validation split as evaluation sees them.

    Raises:
        FileNotFoundError, ValueError: settings that do not go together; files are missing,
            unpaired, damaged, of two sizes, or without anything to paint.
    """
    with_holes = "masks" in run.task.kind.settings
    if with_holes:
        check_settings(config)
    if config.images is None:
        return of_validation(run, config)
    find = with_holes_of if with_holes else of_files
    return find(run.data.reader, config, out)


def of_validation(run, config: DictConfig) -> list[Photograph]:
    """Photographs of the validation split, with their holes or label maps."""
    names, batch = run.data.examples("validation", config.count or VALIDATION_ITEMS)
    items = {"image": contact_sheet.to_uint8(batch["image"])}
    if "masks" in run.task.kind.settings:
        items["hole"] = batch["hole"].numpy()[..., 0] == 1
    else:
        items["label_map"] = batch["label_map"].numpy()
    size = items["image"].shape[1:3]
    singles = [
        dict(zip(items, arrays, strict=True)) for arrays in zip(*items.values(), strict=True)
    ]
    return [
        Photograph(name, size, lambda item=item: item)
        for name, item in zip(names, singles, strict=True)
    ]


def of_files(reader: photos.PhotoReader, config: DictConfig, out: Path) -> list[Photograph]:
    """Those of images=, in the pixels that training on them will see."""

    def inspect(name, paths, facts) -> Photograph:
        if not facts.fits_a_map:  # Training would refuse it beside the map that is made of it.
            raise ValueError(photos.rotated_complaint(paths[0]))
        return Photograph(name, facts.size, lambda: {"image": reader.read(paths[0])}, paths)

    chosen = list(named(config, [out, out / "labels"]).items())[: config.count]
    return checked({name: (path,) for name, path in chosen}, inspect, reader)


def with_holes_of(reader: photos.PhotoReader, config: DictConfig, out: Path) -> list[Photograph]:
    """Those of images=, each with its mask or a hole drawn for it.

    Args:
        reader: of the run's data.
        config: of the command.
        out: folder of the results; where it lies below images=, it is not searched.
    """
    root = Path(str(config.images))
    masks = None if config.masks is None else Path(str(config.masks))
    if masks is not None and root.is_dir() and masks.is_dir() and root.samefile(masks):
        raise ValueError(
            "Expected masks in a folder of their own, with the names of the images. Received: "
            f"images={root} and masks={masks}, the same folder."
        )
    everything = named(config, [path for path in (masks, out) if path is not None])
    of_image = {} if masks is None else files.paired(everything, masks, root)
    chosen = list(everything.items())[: config.count]
    read_hole = masked(of_image, config.invert) if masks else drawn(config.hole, config.seed)
    areas = []

    def inspect(name, paths, facts) -> Photograph:
        def read() -> dict[str, np.ndarray]:
            image = reader.read(paths[0])
            return {"image": image, "hole": read_hole(name, image.shape[:2])}

        item, profile = read(), photos.colour_profile(paths[0])
        areas.append(item["hole"].mean())
        return Photograph(name, item["image"].shape[:2], read, paths, profile)

    pairs: dict = {n: (path, of_image[n]) if masks else (path,) for n, path in chosen}
    photographs = checked(pairs, inspect, reader)
    if masks is not None:
        warn_of_white(areas, config.invert)
    return photographs


def named(config: DictConfig, skipped: list[Path]) -> dict[str, Path]:
    """{name: path} of images=, without those in some folders below it."""
    root = Path(str(config.images))
    return files.by_name(root, "images", folder_source.PHOTO_SUFFIXES, skipped=skipped)


def checked(
    paths_of: dict[str, tuple[Path, ...]], inspect: Callable, reader: photos.PhotoReader
) -> list[Photograph]:
    """The photographs; each is checked first, so that no file fails after hours of work.

    Args:
        paths_of: {name: files}.
        inspect: function of both and of the facts of the first file -> Photograph.
        reader: of the run's data.

    Raises:
        ValueError: what is wrong with the first of the files that are wrong.
    """
    photographs, wrong, pictures = [], [], {}
    for name, paths in tqdm(paths_of.items(), "Checking", disable=None):
        try:
            facts = reader.inspect_file(paths[0])
            pictures[paths[0]] = facts.pictures
            photographs.append(inspect(name, paths, facts))
        except (ValueError, OSError) as error:
            known = any(str(path) in str(error) for path in paths)
            wrong.append(str(error) if known else f"{paths[0]}: {error}")
    photos.warn_of_pictures(pictures)
    wrong = list(dict.fromkeys(wrong))  # a mask of all images is wrong once
    if wrong:
        more = [f"and {len(wrong) - MAX_NAMED} more"] if len(wrong) > MAX_NAMED else []
        raise ValueError("\n".join(wrong[:MAX_NAMED] + more))
    return photographs


# --- Holes ------------------------------------------------------------------------------------


def check_settings(config: DictConfig) -> None:
    """Raises ValueError for settings of holes that are out of range or do not go together."""
    order.checked_seed(config.seed)
    given = [f"{key}={config[key]}" for key in ("masks", "hole") if config[key] is not None]
    if config.images is None and (given or config.invert):
        raise ValueError(
            "Expected images= beside masks=, hole= and invert=; without it the run's validation "
            f"photographs have the run's holes. Received: {' '.join(given) or 'invert=true'}."
        )
    if config.images is not None and len(given) != 1:
        raise ValueError(
            "Expected what to paint of images=: either masks=FILE or FOLDER, or hole=, one of "
            f"{', '.join(HOLE_NAMES)}. Received: {' '.join(given) or 'neither'}."
        )
    if config.hole is not None and config.hole not in HOLE_NAMES:
        raise ValueError(
            f"Expected hole= as one of {', '.join(HOLE_NAMES)}; your own masks are masks=FOLDER. "
            f"Received: hole={config.hole}.{run_config.close_match(str(config.hole), HOLE_NAMES)}"
        )
    if not isinstance(config.invert, bool) or (config.invert and config.masks is None):
        raise ValueError(
            f"Expected invert=true or false, beside masks=. Received: invert={config.invert}."
        )
    if config.seed and config.hole is None:
        raise ValueError(
            f"Expected seed= beside hole=, whose holes it draws. Received: seed={config.seed}."
        )


def masked(of_image: dict[str, Path], invert: bool) -> Callable:
    """A function of name and size of an image: the hole that its mask shows."""

    def hole_of(name, size) -> np.ndarray:
        hole = mask_folder.read_mask(of_image[name], invert=invert)
        if hole.shape != size:
            raise ValueError(
                f"{of_image[name]}: the mask is {hole.shape[0]}x{hole.shape[1]} (height x width) "
                f"and the image {name} {size[0]}x{size[1]}. Save both at one size"
            )
        return hole

    return hole_of


def drawn(hole: str, seed: int) -> Callable:
    """A function of name and size of an image: a hole of that sort, the same for ever."""
    maker = hydra.utils.instantiate(OmegaConf.load(HOLES / f"{hole}.yaml"), _convert_="all")

    def hole_of(name, size) -> np.ndarray:
        # By name: other files beside this one do not change its hole.
        place = tf.constant([seed, zlib.crc32(os.fsencode(name))], tf.int64)
        return maker(place, *size).numpy()[..., 0] == 1

    return hole_of


def warn_of_white(areas: list[float], invert: bool) -> None:
    """Warns where most masks miss most of the image: they may mean the reverse."""
    white = sum(area > mask_folder.MUCH for area in areas)
    if 2 * white > len(areas):
        log.warning(
            "%d of %d masks miss more than %.0f %% of the image: here %s means missing. If it "
            "means known, set invert=%s",
            white, len(areas), 100 * mask_folder.MUCH, "black" if invert else "white",
            str(not invert).lower(),
        )  # fmt: skip
