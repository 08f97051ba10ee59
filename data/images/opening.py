"""Image files that Pillow opens: which formats, and whatever is wrong with one in words."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import PIL
from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401  # Registered thus.

from data.labels import bmp_indices

FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Tried by content, whatever the suffix says. Some others make Pillow start programs (EPS)."""
RUN_LENGTH_ENCODED = (b"\1\0\0\0", b"\2\0\0\0")
DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError,
    EOFError, RuntimeError, MemoryError, AssertionError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow raises at bytes that are no whole image, or one of more than 179 million pixels."""


@contextlib.contextmanager
def opened(data: bytes, name, remedy="Replace or remove the file") -> Iterator[Image.Image]:
    """The image in the bytes of a file; what goes wrong inside the block is said with its name.

    Args:
        data: bytes of the file.
        name: path of the file, for errors.
        remedy: how the errors end.

    Raises:
        ValueError: no image of one of `FORMATS`, damaged, or too large. Errors of the block that
            begin with the name pass as they are.
    """
    try:
        if bmp_indices.is_bmp(data) and data[30:34] in RUN_LENGTH_ENCODED:
            header = bmp_indices.read_header(data)
            if header.is_indexed and header.compression:
                bmp_indices.read_indices(data)  # Pillow makes what has no value black, slowly.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except DAMAGE as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{name}: "):
            raise
        reason = str(error) or type(error).__name__
        if isinstance(error, PIL.UnidentifiedImageError):
            reason = f"not an image file that can be read ({len(data)} bytes)"
        raise ValueError(f"{name}: {reason}. {remedy}") from None
