"""Holes in, repaired photographs out: what scripts/sample.py does with an inpainting generator."""

from pathlib import Path

import numpy as np

from scripts.sampling import generation, photos_with_holes
from training.runs import run_config

SHEET_ROWS = 16
MULTIPLE = 8  # of the sides that the networks take
GREY = 128  # what a hole looks like on the sheet: 0 in [-1, 1]
# Settings of configs/sample.yaml that only these runs have.
SETTINGS = ("images", "masks", "invert", "hole", "resize", "seed", "count")


def sample(run, config, out: Path) -> int:
    """Writes every photograph with its hole painted, and sheet.png; returns how many.

    Pixels outside of the hole are those of the file, unchanged. Photographs of one size, filled up
    to multiples of 8, share batches.

    Raises:
        ValueError, FileNotFoundError: settings that this run or these files do not allow.
    """
    from tqdm import tqdm

    from training.watch import contact_sheet

    check_settings(config)
    if config.images is None:
        photographs = photos_with_holes.of_validation(run, config)
    else:
        photographs = photos_with_holes.of_files(config, out)
    refuse_losses(photographs, out, config.layouts)
    rows = {photograph.name: {} for photograph in photographs[:SHEET_ROWS]}
    with tqdm(total=len(photographs), desc="Painting", disable=None) as bar:
        for photograph, columns in painted(run, photographs, config):
            path = out / f"{photograph.name}.png"
            contact_sheet.write_png(path, columns["pasted"], photograph.profile)
            if config.layouts:
                contact_sheet.write_png(out / f"{photograph.name}_layout.png", columns["layout"])
            if photograph.name in rows:
                rows[photograph.name] |= {
                    title: generation.scaled_down(image) for title, image in columns.items()
                }
            bar.update()
    contact_sheet.write_png(out / "sheet.png", generation.sheet(rows))
    return len(photographs)


def check_settings(config) -> None:
    """Raises ValueError for settings that are out of range or do not go together."""
    from data import order

    order.checked_seed(config.seed)
    given = [f"{key}={config[key]}" for key in ("masks", "hole") if config[key] is not None]
    if config.seeds is not None:
        raise ValueError(
            "Expected no list of seeds: the generator of this run takes no noise. Received: "
            f"seeds={config.seeds}. Leave it out; seed= draws other holes with hole=."
        )
    if config.images is None and (given or config.invert):
        raise ValueError(
            "Expected images= beside masks=, hole= and invert=; without it the run's validation "
            f"photographs have the run's holes. Received: {' '.join(given) or 'invert=true'}."
        )
    if config.images is not None and len(given) != 1:
        raise ValueError(
            "Expected what to paint of images=: either masks=FILE or FOLDER, or hole=, one of "
            f"{', '.join(photos_with_holes.KINDS)}. Received: {' '.join(given) or 'neither'}."
        )
    if config.hole is not None and config.hole not in photos_with_holes.KINDS:
        raise ValueError(
            f"Expected hole= as one of {', '.join(photos_with_holes.KINDS)}; your own masks are "
            f"masks=FOLDER. Received: hole={config.hole}."
            f"{run_config.close_match(str(config.hole), photos_with_holes.KINDS)}"
        )
    if not isinstance(config.invert, bool) or (config.invert and config.masks is None):
        raise ValueError(
            f"Expected invert=true or false, beside masks=. Received: invert={config.invert}."
        )
    if config.seed and config.hole is None:
        raise ValueError(
            f"Expected seed= beside hole=, whose holes it draws. Received: seed={config.seed}."
        )


def refuse_losses(photographs, out: Path, layouts: bool) -> None:
    """Raises ValueError where a picture would replace a file that is read, or another picture."""
    names = [photograph.name for photograph in photographs]
    written = ["sheet", *names, *(f"{name}_layout" for name in names if layouts)]
    twice = sorted({name for name in written if written.count(name) > 1})
    if twice:
        raise ValueError(
            "Expected images whose results have names of their own, beside the sheet and the "
            f"layouts. Received: two pictures for {twice[0]}.png. Rename the image."
        )
    paths = {(out / f"{name}.png").resolve() for name in written}
    lost = [file for item in photographs for file in item.files if file.resolve() in paths]
    if lost:
        raise ValueError(
            f"Expected a folder for the results where they replace no image and no mask. Received: "
            f"out={out}, with {lost[0]}. Choose another out."
        )


def painted(run, photographs, config):
    """Yields (photograph, {title: uint8 [H,W,3]}): the columns of the sheet at full size."""
    import tensorflow as tf

    by_size = {}
    for photograph in photographs:
        size = working_size(photograph.size, run.data.image_size, config.resize)
        by_size.setdefault(padded_size(size), []).append(photograph)
    for size, members in by_size.items():
        generate, count = (
            None,
            generation.items_at_once(config.batch_size, size, run.data.image_size),
        )
        for first in range(0, len(members), count):
            part = members[first : first + count]
            pairs = [photograph.read() for photograph in part]
            sizes = [working_size(p.size, run.data.image_size, config.resize) for p in part]
            seen = [scaled(*pair, to) for pair, to in zip(pairs, sizes, strict=True)]
            inputs = network_inputs(run, seen, size)
            generate = generate or generation.compiled_for(run, inputs)
            try:
                made = generate(inputs, tf.zeros([len(part)], tf.int32))
            except tf.errors.ResourceExhaustedError:
                raise ValueError(
                    f"The memory does not hold {count} of {size[0]}x{size[1]} pixels at once. "
                    f"Received: batch_size={config.batch_size}, {part[0].name}. Use batch_size=1, "
                    "device=cpu or resize=true; what was painted before is in out."
                ) from None
            pictures = [made["coarse"], made["refined"]]
            if config.layouts:
                pictures.append(generation.layout_overlay(run, made))
            for photograph, pair, to, *its in zip(part, pairs, sizes, *pictures, strict=True):
                yield photograph, columns_of(*pair, *(at_full_size(x, to, pair[0]) for x in its))


def working_size(size, run_size, resize: bool):
    """The size to paint at: that of the photograph, or with `resize` no larger than the run's.

    The shorter side becomes that of the run.
    """
    scale = min(1.0, min(run_size) / min(size)) if resize else 1.0
    return tuple(round(side * scale) for side in size)


def scaled(image, hole, size):
    """Photograph and hole at a smaller size, or as they are.

    A pixel is missing where any part of it was, so nothing of a hole gets into what is known.
    """
    from PIL import Image

    if hole.shape == size:
        return image, hole
    image, share = (
        np.asarray(Image.fromarray(x).resize(size[::-1], Image.Resampling.BOX))
        for x in (image, hole.astype(np.float32))
    )
    return image, share > 0


def at_full_size(picture, size, image):
    """What a network made of `image` at `size`, as uint8 of the size of the image."""
    from PIL import Image

    from training.watch import contact_sheet

    picture = contact_sheet.to_uint8(picture)[: size[0], : size[1]]
    if image.shape[:2] == size:
        return picture
    wanted = image.shape[1::-1]
    return np.asarray(Image.fromarray(picture).resize(wanted, Image.Resampling.BICUBIC))


def padded_size(size):
    """The next multiples of 8."""
    return tuple(-(-side // MULTIPLE) * MULTIPLE for side in size)


def network_inputs(run, pairs, size) -> dict:
    """The photographs and holes as training finishes them, filled up to `size` at bottom and right.

    Photograph and hole are mirrored there: what is missing stays missing in the mirror image, and
    what is known goes on without a seam, where zeros or repeated edges would be painted along.
    """

    def filled(array):
        room = [(0, whole - side) for side, whole in zip(array.shape[:2], size, strict=True)]
        return np.pad(array, [*room, (0, 0)], mode="reflect")

    images = np.stack([filled(image) for image, _ in pairs])
    holes = np.stack([filled(np.uint8(hole)[..., None]) for _, hole in pairs])
    finished = run.data.preprocess({"image": images, "hole": holes})
    return {key: finished[key] for key in ("masked_image", "hole")}


def columns_of(image, hole, coarse, refined, layout=None) -> dict[str, np.ndarray]:
    """{title: uint8 [H,W,3]}; known pixels of the pasted image are those of the file."""
    missing = hole[..., None]
    columns = {
        "original": image,
        "masked": np.where(missing, np.uint8(GREY), image),
        "coarse": coarse,
        "refined": refined,
        "pasted": np.where(missing, refined, image),
    }
    return columns if layout is None else columns | {"layout": layout}
