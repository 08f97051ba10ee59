"""Palette indices of BMP files of 1, 4 and 8 bits, plain and run-length encoded, read exactly.

Pillow decides between its modes "1", "L" and "P" by looking at the palette, and hands out packed
bytes when a file of 4 bits (or of 8 bits and two colours) has a grey palette. A label map is its
indices, whatever the palette says, so they are read here straight from the file format.
"""

import struct
from dataclasses import dataclass

import numpy as np

UNCOMPRESSED, RLE8, RLE4 = 0, 1, 2
MAX_PIXELS = 1 << 28
MAX_PIXELS_PER_BYTE = 128  # Of runs: 255 in two bytes.


@dataclass(frozen=True)
class BmpHeader:
    """The fields of a BMP header that say where the pixels are and how they are packed."""

    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    pixel_offset: int

    @property
    def is_indexed(self) -> bool:
        return self.bits in (1, 2, 4, 8) and self.compression in (UNCOMPRESSED, RLE8, RLE4)

    @property
    def row_bytes(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4


def is_bmp(data: bytes) -> bool:
    return data[:2] == b"BM"


def read_header(data: bytes) -> BmpHeader:
    """Reads the header of a BMP file (Windows 3 to V5, OS/2 1 and 2).

    Raises:
        ValueError: the bytes end before the header does, or describe no image.
    """
    if not is_bmp(data) or len(data) < 26:
        raise ValueError(f"not a BMP file, or cut off inside its header ({len(data)} bytes)")
    pixel_offset, header_bytes = struct.unpack_from("<II", data, 10)
    if header_bytes == 12:  # OS/2 version 1: 16-bit sizes, no compression, always bottom-up.
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = UNCOMPRESSED
    elif header_bytes >= 40 and len(data) >= 54:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise ValueError(f"unknown or cut-off BMP header of {header_bytes} bytes")
    if width < 1 or height == 0 or width * abs(height) > MAX_PIXELS:
        raise ValueError(f"impossible BMP size {width}x{abs(height)}")
    return BmpHeader(width, abs(height), height < 0, bits, compression, pixel_offset)


def read_indices(data: bytes) -> np.ndarray:
    """Returns the palette indices of an indexed BMP file as uint8 [H, W], top row first.

    Raises:
        ValueError: the file is not indexed, or ends before its last pixel.
    """
    header = read_header(data)
    if not header.is_indexed:
        raise ValueError(f"{header.bits}-bit BMP holds colours, not indices")
    pixels = data[header.pixel_offset :]
    if header.compression == UNCOMPRESSED:
        rows = _unpack_rows(pixels, header)
    else:
        rows = _decode_runs(pixels, header)
    return np.ascontiguousarray(rows if header.top_down else rows[::-1])


def _unpack_rows(pixels, header) -> np.ndarray:
    needed = header.row_bytes * header.height
    if len(pixels) < needed:
        raise ValueError(f"truncated: {len(pixels)} of {needed} bytes of pixels are there")
    packed = np.frombuffer(pixels, np.uint8, needed).reshape(header.height, header.row_bytes)
    if header.bits == 8:
        return packed[:, : header.width]
    per_byte = 8 // header.bits  # The leftmost pixel sits in the highest bits.
    shifts = np.arange(per_byte - 1, -1, -1, dtype=np.uint8) * header.bits
    indices = (packed[:, :, None] >> shifts) & ((1 << header.bits) - 1)
    return indices.reshape(header.height, -1)[:, : header.width].astype(np.uint8)


def _decode_runs(pixels, header) -> np.ndarray:
    """RLE8 and RLE4: (count, value) runs; a zero count escapes to end, move or literal pixels.

    Lines may end early, moves may skip pixels and the end mark may come at any time; what is left
    out then has no value. A label map has one at every pixel, so all must have been written.
    """
    total = header.height * header.width
    if total > MAX_PIXELS_PER_BYTE * len(pixels):
        raise ValueError(f"truncated: {len(pixels)} bytes of runs for {total} pixels")
    rows = np.zeros((header.height, header.width), np.uint8)
    four_bit = header.compression == RLE4
    x = y = position = written = 0
    while position + 1 < len(pixels):
        count, value = pixels[position], pixels[position + 1]
        position += 2
        if count:
            _put(rows, x, y, _expand(bytes([value]) * count, count, four_bit))
            x, written = x + count, written + count
        elif value == 0:  # End of line.
            x, y = 0, y + 1
        elif value == 1:  # End of image, which some writers leave out.
            break
        elif value == 2:  # Move right and on.
            if position + 1 >= len(pixels):
                break
            x, y, position = x + pixels[position], y + pixels[position + 1], position + 2
        else:  # `value` literal pixels, padded to a 16-bit boundary.
            length = (value + 1) // 2 if four_bit else value
            literal = pixels[position : position + length]
            if len(literal) < length:
                break
            _put(rows, x, y, _expand(literal, value, four_bit))
            x, written = x + value, written + value
            position += length + length % 2
    if written < total:  # Runs never overlap: they go to the right and on only.
        raise ValueError(
            f"truncated or incomplete: {written} of {total} pixels have a value, the runs stop in "
            f"row {y + 1} of {header.height}"
        )
    return rows


def _expand(data, count, four_bit) -> np.ndarray:
    """The first `count` pixels of `data`; in RLE4 a run alternates between its two nibbles."""
    values = np.frombuffer(data, np.uint8)
    if four_bit:
        values = np.stack([values >> 4, values & 15], axis=1).reshape(-1)
    return values[:count]


def _put(rows, x, y, values) -> None:
    if y >= rows.shape[0] or x + len(values) > rows.shape[1]:
        raise ValueError(f"damaged: a run of {len(values)} pixels leaves the image at row {y + 1}")
    rows[y, x : x + len(values)] = values
