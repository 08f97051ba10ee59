"""Holes from a folder of mask images, such as published sets of irregular masks."""

import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from data import files
from data.holes import makers
from data.images import photos
from data.images.decoded_cache import GIB
from data.sources import folder_source

log = logging.getLogger(__name__)

THRESHOLD = 128
MUCH = 0.6


class MaskFolder(makers.HoleMaker):
    """One of the mask images of a folder for each image: white = missing, black = known.

    Training draws a mask by the seed; evaluation gives item i the i-th mask in the order of names,
    from the first again after the last. Masks are stretched to the size of the images by nearest
    neighbour; missing is what has a grey value of 128 or more. They are read once, at the first
    hole of a size, and kept as one bit per pixel.

    Args:
        folder: its JPEG, PNG, BMP and WebP files are the masks; sub-folders are searched.
        invert: bool. True for masks in which black is missing. Default False.
        memory_limit_gib: float, most that the masks may take. Default 1.0: 131,072 of 256 px.

    Raises (when the first hole is drawn, not in the constructor):
        FileNotFoundError: there is no such folder.
        ValueError: no masks, too many, a file that cannot be read, a mask without missing or
            without known pixels.
    """

    configurable = True

    def __init__(self, folder, invert=False, *, memory_limit_gib=1.0) -> None:
        self.folder = folder
        self.invert = invert
        self.memory_limit_gib = memory_limit_gib
        self._masks = {}

    def draw(self, seed, height, width) -> tf.Tensor:
        masks = self._packed_masks(height, width)
        place = tf.random.stateless_uniform([], seed, 0, masks.shape[0], tf.int32)
        return _unpacked(masks[place], height, width)

    def fixed(self, index, height, width, *, seed=None) -> tf.Tensor:
        masks = self._packed_masks(height, width)
        return _unpacked(masks[index % masks.shape[0]], height, width)

    def _packed_masks(self, height, width) -> tf.Tensor:
        """uint8 [masks, bytes], eight pixels to a byte."""
        if (height, width) not in self._masks:
            packed = self._read_all(height, width)
            with tf.init_scope(), tf.device("CPU:0"):  # A value, not a node of the graph at hand.
                self._masks[height, width] = tf.constant(packed)
        return self._masks[height, width]

    def _read_all(self, height, width) -> np.ndarray:
        paths = self._paths()
        row_bytes = -(-height * width // 8)
        if row_bytes * len(paths) > self.memory_limit_gib * GIB:
            raise ValueError(
                f"The masks do not fit into the memory set aside for them. Received: "
                f"{len(paths)} masks of {height}x{width} below {self.folder}, "
                f"memory_limit_gib={self.memory_limit_gib}. Raise data.holes.memory_limit_gib or "
                f"remove masks"
            )
        packed = np.empty((len(paths), row_bytes), np.uint8)
        missing = 0.0
        with ThreadPoolExecutor() as pool:
            read = functools.partial(
                read_mask, invert=self.invert, size=(height, width), setting="data.holes.invert"
            )
            found = pool.map(read, paths)
            bar = tqdm(found, "Reading masks", len(paths), disable=None)
            for row, mask in zip(packed, bar, strict=True):
                row[:] = np.packbits(mask)
                missing += mask.mean() / len(paths)
        log.info("%d masks, %.1f %% of their area missing", len(paths), 100 * missing)
        if missing > MUCH:
            log.warning(
                "%.0f %% of the area of the masks below %s is missing: here %s means missing. If "
                "it means known, set data.holes.invert=%s",
                100 * missing, self.folder, "black" if self.invert else "white",
                str(not self.invert).lower(),
            )  # fmt: skip
        return packed

    def _paths(self) -> list[str]:
        if not Path(self.folder).is_dir():
            raise FileNotFoundError(
                f"The folder of the masks does not exist. Received: data.holes.folder -> "
                f"{Path(self.folder).absolute()}"
            )
        found = folder_source.paths_by_stem(self.folder, folder_source.PHOTO_SUFFIXES)
        paths = sorted(path for paths in found.values() for path in paths)
        if not paths:
            raise ValueError(
                f"There are no masks in this folder. Received: data.holes.folder -> "
                f"{Path(self.folder).absolute()}. Expected: image files with one of the suffixes "
                f"{list(folder_source.PHOTO_SUFFIXES)}"
            )
        return paths


def read_mask(path, *, invert=False, size=None, setting="invert") -> np.ndarray:
    """The hole in a mask image: bool [H, W], True = missing.

    Args:
        path: of an image in grey, colour or one bit, turned upright (EXIF); its transparent parts
            are known.
        invert: bool. True for masks in which black is missing. Default False.
        size: (H, W) that the mask is stretched to. Default: as it is.
        setting: what `invert` is called in errors.

    Raises:
        ValueError: it cannot be read, or has no missing or no known pixel.
    """
    data = files.read_bytes(path, "mask")
    known = (255, 255, 255) if invert else (0, 0, 0)
    grey = Image.fromarray(photos.PhotoReader(known, bits_used=16).decode(data, os.fspath(path)))
    grey = grey.convert("L")
    if size is not None:
        grey = grey.resize(size[::-1], Image.Resampling.NEAREST)
    values = np.asarray(grey)
    missing = (values >= THRESHOLD) != invert
    if missing.all() or not missing.any():
        kind = "known" if missing.all() else "missing"
        raise ValueError(
            f"{path}: the mask has no {kind} pixel at {values.shape[0]}x{values.shape[1]}. "
            f"Received: grey values {values.min()}..{values.max()}, of which those from "
            f"{THRESHOLD} on are {'known' if invert else 'missing'} "
            f"({setting}={str(invert).lower()}). Remove or replace it; masks of 0 and 1 must be "
            f"saved as 0 and 255"
        )
    return missing


def _unpacked(packed, height, width) -> tf.Tensor:
    shifts = tf.range(7, -1, -1, dtype=tf.int32)
    bits = tf.bitwise.right_shift(tf.cast(packed, tf.int32)[:, tf.newaxis], shifts) & 1
    pixels = tf.reshape(tf.cast(bits, tf.uint8), [-1])[: height * width]
    return tf.reshape(pixels, [height, width, 1])
