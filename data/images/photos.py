"""Photographs: decoding inside tf.data, and reading one file in plain Python to check it."""

import os
import re

import numpy as np
import tensorflow as tf
from PIL import ImageOps

from data import files
from data.images import opening

EXIF_ORIENTATION = 0x0112
JPEG_SIGNATURE = b"\xff\xd8\xff"


def decode_contents(contents, name) -> tf.Tensor:
    """Bytes of an image file -> RGB, uint8 [H, W, 3].

    JPEG and PNG are decoded by TensorFlow, in parallel and with errors that name no file, see
    `decode`; BMP, WebP and the rest by Pillow, with `name` in the errors. Both refuse more than
    179 million pixels before they take memory for them.
    """
    is_png = tf.strings.substr(contents, 0, 8) == opening.PNG_SIGNATURE
    image = tf.case(
        [
            (tf.io.is_jpeg(contents), lambda: _decode_jpeg(contents)),
            (is_png, lambda: tf.io.decode_png(contents, channels=3)),
        ],
        default=lambda: tf.numpy_function(_decode_named, [contents, name], tf.uint8),
        exclusive=True,
    )
    image.set_shape([None, None, 3])
    return image


def decode(data: bytes, name) -> np.ndarray:
    """The same by the same decoders, so with the same verdict, where errors name the file.

    Raises:
        ValueError: damaged, too large, or no image.
    """
    return _decode(data, name, _decode_jpeg)


def read_photo(path, *, upright=False) -> np.ndarray:
    """Returns an image file as RGB, uint8 [H, W, 3].

    Args:
        path: of a format in `opening.FORMATS`.
        upright: bool. True: turned as its EXIF orientation says, and nothing is lost: grey images
            of more than 8 bits are refused. Default False: as training sees it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or no image, or has more than 8 bits.
    """
    data = files.read_bytes(path, "photograph")
    if not upright:
        return decode(data, os.fspath(path))
    with opening.opened(data, os.fspath(path)) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"expected 8 bits a channel, received mode={image.mode}")
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def colour_profile(path) -> bytes | None:
    """Returns the ICC profile of an image file whose colours are RGB, or None."""
    data = files.read_bytes(path, "photograph")
    with opening.opened(data, os.fspath(path), pixels=False) as image:
        rgb = image.mode in ("RGB", "RGBA", "P")
        return image.info.get("icc_profile") if rgb else None


def inspect_photo(path) -> tuple[int, int]:
    """Reads a photograph to its last byte; returns (height, width) as stored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, no image, or stored rotated (EXIF); its label map is not.
    """
    size, upright = inspect_contents(files.read_bytes(path, "photograph"), os.fspath(path))
    if not upright:
        raise ValueError(rotated_complaint(path))
    return size


def inspect_contents(data, name) -> tuple[tuple[int, int], bool]:
    """Reads the bytes of a photograph to the last one, by the decoders of training.

    Returns:
        ((height, width) as stored, whether it is stored upright).

    Raises:
        ValueError: damaged, too large, or no image.
    """
    # A JPEG is read whole but only an eighth of its pixels are computed.
    image = _decode(data, name, lambda data: _decode_jpeg(data, ratio=8))
    size = image.shape[:2]
    if data.startswith(JPEG_SIGNATURE):
        size = tf.io.extract_jpeg_shape(data).numpy()[:2]
    try:
        with opening.opened(data, name, pixels=False) as opened:
            orientation = opened.getexif().get(EXIF_ORIENTATION, 1)
    except ValueError:
        orientation = 1  # The pixels are whole; what stands beside them does not matter.
    return (int(size[0]), int(size[1])), orientation in (0, 1)


def rotated_complaint(name) -> str:
    return (
        f"{name}: stored rotated or mirrored (EXIF orientation), which the label map cannot "
        f"follow. Save the photograph upright"
    )


def _decode(data, name, decode_jpeg) -> np.ndarray:
    is_jpeg = data.startswith(JPEG_SIGNATURE)
    if is_jpeg or data.startswith(opening.PNG_SIGNATURE):
        try:
            image = decode_jpeg(data) if is_jpeg else tf.io.decode_png(data, channels=3)
            return image.numpy()
        except tf.errors.OpError as error:
            reason = re.sub(r"^\{\{.*?\}\} ?| ?\[Op:\w+\].*", "", error.message, flags=re.DOTALL)
            raise ValueError(f"{name}: {reason}. Replace or remove the file") from None
    with opening.opened(data, name) as image:
        return np.array(image.convert("RGB"))


def _decode_jpeg(contents, ratio=1) -> tf.Tensor:
    # Accurate, so that the pixels are those that every other program shows.
    return tf.io.decode_jpeg(contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_named(data, name) -> np.ndarray:
    return decode(data, os.fsdecode(name))
