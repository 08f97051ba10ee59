"""Photographs: decoding inside tf.data, and reading one file in plain Python to check it."""

import io
import os
from pathlib import Path

import numpy as np
import PIL
import tensorflow as tf
from PIL import Image, ImageOps

from data import files

EXIF_ORIENTATION = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode_contents(contents, name) -> tf.Tensor:
    """Bytes of an image file -> RGB, uint8 [H, W, 3]; `name` appears in errors.

    JPEG and PNG are decoded by TensorFlow, in parallel; BMP, WebP and the rest by Pillow.
    """
    is_png = tf.strings.substr(contents, 0, 8) == PNG_SIGNATURE
    image = tf.case(
        [
            # Accurate, so that the pixels are those that every other program shows.
            (
                tf.io.is_jpeg(contents),
                lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
            ),
            (is_png, lambda: tf.io.decode_png(contents, channels=3)),
        ],
        default=lambda: tf.numpy_function(_decode_with_pillow, [contents, name], tf.uint8),
        exclusive=True,
    )
    image.set_shape([None, None, 3])
    return image


def read_photo(path, *, upright=False) -> np.ndarray:
    """Returns an image file as RGB, uint8 [H, W, 3].

    Args:
        path: of any format that Pillow reads.
        upright: bool. True: turned as its EXIF orientation says, and nothing is lost: grey images
            of more than 8 bits are refused. Default False: as it is stored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or no image, or has more than 8 bits.
    """
    data = files.read_bytes(path, "photograph")
    return _decode_with_pillow(data, os.fspath(path).encode(), upright)


def colour_profile(path) -> bytes | None:
    """Returns the ICC profile of an image file whose colours are RGB, or None."""
    with Image.open(path) as image:
        rgb = image.mode in ("RGB", "RGBA", "P")
        return image.info.get("icc_profile") if rgb else None


def inspect_photo(path) -> tuple[int, int]:
    """Reads a photograph to its last byte; returns (height, width) as stored.

    Raises:
        ValueError: missing, damaged, no image, or stored rotated (EXIF); its label map is not.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(_complaint(path, error)) from None
    size, upright = inspect_contents(data, path)
    if not upright:
        raise ValueError(rotated_complaint(path))
    return size


def inspect_contents(data, name) -> tuple[tuple[int, int], bool]:
    """Reads the bytes of a photograph to the last one.

    Returns:
        ((height, width) as stored, whether it is stored upright).

    Raises:
        ValueError: damaged, or no image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            size = (image.height, image.width)
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
            # A JPEG is read whole but only an eighth of its pixels are computed.
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(_complaint(name, error)) from None
    return size, orientation in (0, 1)


def rotated_complaint(name) -> str:
    return (
        f"{name}: stored rotated or mirrored (EXIF orientation), which the label map cannot "
        f"follow. Save the photograph upright"
    )


def _decode_with_pillow(data, name, upright=False) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            if upright and image.mode.startswith(("I", "F")):
                raise ValueError(f"expected 8 bits a channel, received mode={image.mode}")
            turned = ImageOps.exif_transpose(image) if upright else image
            return np.array(turned.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(_complaint(name.decode(), error)) from None


def _complaint(path, error) -> str:
    reason = "not an image file" if isinstance(error, PIL.UnidentifiedImageError) else error
    return f"{path}: {reason}. Replace or remove the file"
