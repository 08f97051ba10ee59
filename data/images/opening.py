"""Image files that Pillow opens: which formats, and whatever is wrong with one in words."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import PIL
from PIL import (  # noqa: F401  # Registered thus.
    AvifImagePlugin,
    Image,
    TiffImagePlugin,
    WebPImagePlugin,
)

from data.labels import bmp_indices

FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Tried by content, whatever the suffix says. Some others make Pillow start programs (EPS)."""
RUN_LENGTH_ENCODED = (b"\1\0\0\0", b"\2\0\0\0")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
WHOLE, ADAM7 = ((0, 0, 1, 1),), (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
"""Of each pass of a PNG: first column and row, columns and rows from one to the next."""
DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError,
    EOFError, RuntimeError, MemoryError, AssertionError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow raises at bytes that are no whole image, or one of more than 179 million pixels."""


@contextlib.contextmanager
def opened(
    data: bytes, name, remedy="Replace or remove the file", *, pixels: bool = True
) -> Iterator[Image.Image]:
    """The image in the bytes of a file; what goes wrong inside the block is said with its name.

    Args:
        data: bytes of the file.
        name: path of the file, for errors.
        remedy: how the errors end.
        pixels: whether the block reads them, so that all of them must be there.

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
            if pixels and image.format == "PNG":
                _check_png(data)
            yield image
    except DAMAGE as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{name}: "):
            raise
        reason = str(error) or type(error).__name__
        if isinstance(error, PIL.UnidentifiedImageError):
            reason = f"not an image file that can be read ({len(data)} bytes)"
        raise ValueError(f"{name}: {reason}. {remedy}") from None


def _check_png(data) -> None:
    """Raises ValueError where the pixels end early, which Pillow makes zeros without a word."""
    width, height, bits, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    left = 0
    for x, y, across, down in ADAM7 if interlaced else WHOLE:
        columns, rows = len(range(x, width, across)), len(range(y, height, down))
        left += rows * (1 + (columns * bits * PNG_CHANNELS[kind] + 7) // 8) if columns else 0
    stream, position = zlib.decompressobj(), len(PNG_SIGNATURE)
    while left > 0 and position + 8 <= len(data):
        length, chunk = struct.unpack_from(">I4s", data, position)
        packed = data[position + 8 : position + 8 + length] if chunk == b"IDAT" else b""
        while packed and left > 0:
            left -= len(stream.decompress(packed, 1 << 20))
            packed = stream.unconsumed_tail
        position += 12 + length
    if left > 0:
        raise ValueError(f"truncated or incomplete: {left} bytes of its pixels are missing")
