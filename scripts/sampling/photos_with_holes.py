"""Photographs and their holes as a user names them: found, paired, checked, then read one by one.

hole = True (white in a mask) = missing, to be painted.
"""

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hydra
from omegaconf import OmegaConf

from training.runs import run_config

MAX_NAMED = 5
VALIDATION_ITEMS = 16
HOLES = run_config.CONFIGS / "holes"
KINDS = tuple(sorted(path.stem for path in HOLES.glob("*.yaml") if path.stem != "mask_folder"))
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photograph:
    """One photograph with its hole; files are opened at each `read`."""

    name: str  # of the result, below its folder and without suffix
    size: tuple[int, int]  # height, width
    read: Callable  # () -> (uint8 [H, W, 3], bool [H, W] with True = missing)
    files: tuple[Path, ...] = ()  # that are read
    profile: bytes | None = None  # ICC, without which the same numbers show other colours


def of_validation(run, config) -> list[Photograph]:
    """Photographs of the run's validation split with the holes that training shows them with."""
    from training.watch import contact_sheet

    names, batch = run.data.examples("validation", config.count or VALIDATION_ITEMS)
    images, holes = contact_sheet.to_uint8(batch["image"]), batch["hole"].numpy()[..., 0] == 1
    return [
        Photograph(name, image.shape[:2], lambda pair=(image, hole): pair)
        for name, image, hole in zip(names, images, holes, strict=True)
    ]


def of_files(config, out: Path) -> list[Photograph]:
    """Those of images=, each with its mask or a hole drawn for it; every file has been read once.

    Args:
        config: of the command.
        out: folder of the results; where it lies below images=, it is not searched.

    Raises:
        FileNotFoundError, ValueError: files are missing, unpaired, damaged, of two sizes, or
            without anything to paint.
    """
    root = Path(str(config.images))
    masks = None if config.masks is None else Path(str(config.masks))
    if masks is not None and root.is_dir() and masks.is_dir() and root.samefile(masks):
        raise ValueError(
            "Expected masks in a folder of their own, with the names of the images. Received: "
            f"images={root} and masks={masks}, the same folder."
        )
    paths = files_by_name(root, "images", [path for path in (masks, out) if path is not None])
    if masks is None:
        hole_of = drawn(config.hole, config.seed)
    else:
        of_image = paired(paths, masks, root)
        hole_of = from_masks(of_image, config.invert)
    chosen = list(paths.items())[: config.count]
    files = {name: (path, of_image[name]) if masks else (path,) for name, path in chosen}
    photographs, holes = checked(files, hole_of)
    if masks is not None:
        warn_of_white(holes, config.invert)
    return photographs


def files_by_name(root: Path, setting: str, skipped=()) -> dict[str, Path]:
    """{path below root without suffix: path} of its image files, sorted; or the file itself.

    Folders below root that are `skipped` are left out.
    """
    from data.sources import folder_source

    if root.is_file():
        return {root.stem: root}
    found = folder_source.paths_by_stem(root, folder_source.PHOTO_SUFFIXES)
    inner = [path.resolve() for path in skipped if root.resolve() in path.resolve().parents]
    kept = {}
    for stem, paths in found.items():
        paths = [Path(p) for p in paths]
        paths = [p for p in paths if not any(f in p.resolve().parents for f in inner)]
        if len(paths) > 1:
            raise ValueError(
                f"Expected files of different names in {setting}=, as each gives its name to a "
                f"result or belongs to an image of its name. Received: {paths[0]} and {paths[1]}. "
                "Move one of them elsewhere."
            )
        if paths:
            kept[stem] = paths[0]
    if not kept:
        state = "a folder without any" if root.is_dir() else "not there"
        suffixes = ", ".join(folder_source.PHOTO_SUFFIXES)
        raise FileNotFoundError(
            f"Expected {setting}=FILE or FOLDER of images, {suffixes}. "
            f"Received: {setting}={root}, {state}."
        )
    return dict(sorted(kept.items()))


def paired(images: dict[str, Path], masks: Path, root: Path) -> dict[str, Path]:
    """{name of image: path of its mask}; a single mask is that of all images.

    Raises:
        ValueError: images without a mask, or masks without an image.
    """
    from data.sources import folder_source

    if masks.is_file():
        return dict.fromkeys(images, masks)
    found = files_by_name(masks, "masks")
    without_mask = sorted(set(images) - set(found))
    # Where one image of many is chosen, the masks of the others are of no interest.
    without_image = sorted(set(found) - set(images)) if root.is_dir() else []
    if without_mask or without_image:
        raise ValueError(
            "Expected a mask for every image and an image for every mask, of the same path "
            f"without suffix. Received: {len(without_mask)} images without a mask "
            f"{folder_source.first_few(without_mask)}, {len(without_image)} masks without an image "
            f"{folder_source.first_few(without_image)}, images={root}, masks={masks}. Add or "
            "remove files, or name one mask for all: masks=FILE."
        )
    return {name: found[name] for name in images}


def from_masks(of_image: dict[str, Path], invert: bool):
    """A function of name and size of an image: the hole that its mask shows."""
    from data.holes import hole_folder

    def hole_of(name, size):
        hole = hole_folder.read_mask(of_image[name], invert=invert)
        if hole.shape != size:
            raise ValueError(
                f"{of_image[name]}: the mask is {hole.shape[0]}x{hole.shape[1]} (height x width) "
                f"and the image {name} {size[0]}x{size[1]}. Save both at one size"
            )
        return hole

    return hole_of


def drawn(kind: str, seed: int):
    """A function of name and size of an image: a hole of that kind, the same for ever."""
    import tensorflow as tf

    maker = hydra.utils.instantiate(OmegaConf.load(HOLES / f"{kind}.yaml"), _convert_="all")

    def hole_of(name, size):
        # By name: other files beside this one do not change its hole.
        place = tf.constant([seed, zlib.crc32(name.encode())], tf.int64)
        return maker(place, *size).numpy()[..., 0] == 1

    return hole_of


def checked(files: dict[str, tuple[Path, ...]], hole_of) -> tuple[list[Photograph], list[float]]:
    """The photographs and the shares of them that are missing.

    Each is read once, so that no file is a surprise after hours of work.

    Args:
        files: {name: (image, mask if there is one)}.
        hole_of: function of name and size.

    Raises:
        ValueError: what is wrong with which files.
    """
    from tqdm import tqdm

    from data.images import photos

    photographs, areas, wrong = [], [], []
    for name, paths in tqdm(files.items(), "Checking", disable=None):

        def read(name=name, path=paths[0]):
            image = photos.read_photo(path, upright=True)
            return image, hole_of(name, image.shape[:2])

        try:
            image, hole = read()
            profile = photos.colour_profile(paths[0])
        except (ValueError, OSError) as error:
            named = any(str(path) in str(error) for path in paths)
            wrong.append(str(error) if named else f"{paths[0]}: {error}")
            continue
        photographs.append(Photograph(name, image.shape[:2], read, paths, profile))
        areas.append(hole.mean())
    refuse_wrong(wrong)
    return photographs, areas


def refuse_wrong(complaints) -> None:
    """Raises ValueError with the first of the complaints about files, if there are any."""
    wrong = list(dict.fromkeys(complaints))  # a mask of all images is wrong once
    if wrong:
        more = [f"and {len(wrong) - MAX_NAMED} more"] if len(wrong) > MAX_NAMED else []
        raise ValueError("\n".join(wrong[:MAX_NAMED] + more))


def warn_of_white(areas, invert: bool) -> None:
    """Warns where most masks miss most of the image: they may mean the reverse."""
    from data.holes import hole_folder

    white = sum(area > hole_folder.MUCH for area in areas)
    if 2 * white > len(areas):
        log.warning(
            "%d of %d masks miss more than %.0f %% of the image: here %s means missing. If it "
            "means known, set invert=%s",
            white, len(areas), 100 * hole_folder.MUCH, "black" if invert else "white",
            str(not invert).lower(),
        )  # fmt: skip
