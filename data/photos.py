"""Photographs: decoding inside tf.data, and reading one file the plain way to judge it."""

import io
import os

import numpy as np
import PIL
import tensorflow as tf
from PIL import Image

EXIF_ORIENTATION = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode_photo(path):
    """The op behind the pipeline: file path -> RGB, uint8 [H, W, 3].

    JPEG and PNG are decoded by TensorFlow, in parallel; BMP, WebP and the rest by Pillow.
    """
    contents = tf.io.read_file(path)
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
        default=lambda: tf.numpy_function(_decode_with_pillow, [contents, path], tf.uint8),
        exclusive=True,
    )
    image.set_shape([None, None, 3])
    return image


def read_photo(path):
    """Returns an image file as RGB, uint8 [H, W, 3].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or no image.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no photograph at this path. Received: path={path}")
    with open(path, "rb") as file:
        return _decode_with_pillow(file.read(), path.encode())


def inspect_photo(path):
    """Reads a photograph to its last byte; returns (height, width) as stored.

    Raises:
        ValueError: damaged, no image, or stored rotated (EXIF), which its label map is not.
    """
    try:
        with Image.open(path) as image:
            size = (image.height, image.width)
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
            # A JPEG is read whole but only an eighth of its pixels are computed.
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(_complaint(path, error)) from None
    if orientation not in (0, 1):
        raise ValueError(
            f"{path}: stored rotated or mirrored (EXIF orientation {orientation}), which the "
            f"label map cannot follow. Save the photograph upright"
        )
    return size


def _decode_with_pillow(data, name):
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(_complaint(name.decode(), error)) from None


def _complaint(path, error):
    reason = "not an image file" if isinstance(error, PIL.UnidentifiedImageError) else error
    return f"{path}: {reason}. Replace or remove the file"
