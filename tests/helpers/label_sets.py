"""Pairs with known ids to convert, the settings to do so, and the ids that come out."""

from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from tests.helpers import tiny

RNG = np.random.default_rng(11)
IDS = RNG.integers(0, 4, (6, 24, 32)).astype(np.uint8)
COLOURS = [(9, 8, 7), (250, 0, 0), (0, 250, 0), (0, 0, 250)]


def settings(command, **overrides):
    """The config of the command as Hydra would hand it over."""
    config = OmegaConf.to_container(OmegaConf.load(tiny.ROOT / "configs/prepare_dataset.yaml"))
    config.pop("hydra")
    return {**config, "command": command, **{k: overrides[k] for k in overrides}}


def palette_image(ids):
    image = Image.fromarray(ids)
    image.putpalette(np.array(COLOURS, np.uint8).tobytes())
    return image


def rgb_image(ids):
    return Image.fromarray(np.array(COLOURS, np.uint8)[ids])


def write_source(root, make_label=palette_image, suffix=".png", folders=("",)):
    for index, ids in enumerate(IDS):
        folder = folders[index % len(folders)]
        for kind in ("photos", "labels"):
            (root / kind / folder).mkdir(parents=True, exist_ok=True)
        photo = RNG.integers(0, 256, (*ids.shape, 3)).astype(np.uint8)
        Image.fromarray(photo).save(root / "photos" / folder / f"{index}.jpg")
        make_label(ids).save(root / "labels" / folder / f"{index}{suffix}")
    return root


def converted_ids(out):
    return {p.stem: np.asarray(Image.open(p)) for p in Path(out, "labels").rglob("*.bmp")}
