"""Image files for the data tests: BMPs written byte by byte, and small paired folders."""

import struct

import numpy as np
from PIL import Image


def touch(root, *names):
    """Makes empty files of these names; returns the root."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def grey_palette(count):
    return [(i, i, i) for i in range(count)]


def colour_palette(count):
    """Colours whose luminance orders differently from their indices."""
    return [((i * 97 + 40) % 256, (255 - i * 53) % 256, (i * 29) % 256) for i in range(count)]


def bmp_bytes(indices, bits=8, palette=None, *, top_down=False, pixels=None, compression=0,
              os2=False, trailing=b""):  # fmt: skip
    """An indexed BMP of [H, W] indices; `pixels` replaces the packed pixel bytes."""
    height, width = indices.shape
    palette = colour_palette(2**bits) if palette is None else palette
    rows = indices if top_down else indices[::-1]
    pixels = b"".join(_packed_row(row, bits) for row in rows) if pixels is None else pixels
    if os2:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
        table = b"".join(bytes((b, g, r)) for r, g, b in palette)
    else:
        signed_height = -height if top_down else height
        header = struct.pack(
            "<IiiHHIIiiII",
            40, width, signed_height, 1, bits, compression, len(pixels), 2835, 2835,
            len(palette), 0,
        )  # fmt: skip
        table = b"".join(bytes((b, g, r, 0)) for r, g, b in palette)
    offset = 14 + len(header) + len(table)
    size = offset + len(pixels)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, offset) + header + table + pixels + trailing


def _packed_row(row, bits):
    digits = "".join(format(int(value), f"0{bits}b") for value in row)
    digits += "0" * (-len(digits) % 32)
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


def rle8_pixels(indices):
    """Runs, a literal block of odd length, a move (delta), and end marks; bottom row first."""
    data = bytearray()
    for y, row in enumerate(indices[::-1]):
        x = 0
        if len(row) >= 5 and y == 0:
            data += bytes([0, 5]) + bytes(row[:5].tolist()) + b"\0"  # 5 literals and padding
            x = 5
        while x < len(row):
            run = 1
            while x + run < len(row) and row[x + run] == row[x] and run < 255:
                run += 1
            data += bytes([run, int(row[x])])
            x += run
        data += bytes([0, 0])
    return bytes(data + bytes([0, 1]))


def rgb_bmp_bytes(rgb, bits=24):
    height, width = rgb.shape[:2]
    rows = b""
    for row in rgb[::-1]:
        line = b"".join(bytes((b, g, r)) + b"\0" * (bits // 8 - 3) for r, g, b in row.tolist())
        rows += line + b"\0" * (-len(line) % 4)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + header + rows


def write_pair(root, stem, ids, *, photo=None, suffix=".png", label_suffix=".bmp"):
    """A photograph whose red channel repeats the ids, losslessly, and its label map."""
    ids = np.asarray(ids, np.uint8)
    if photo is None:
        photo = np.stack([ids * 10, np.full_like(ids, 100), np.full_like(ids, 200)], axis=-1)
    for folder, end in (("photos", suffix), ("labels", label_suffix)):
        path = root / folder / f"{stem}{end}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if folder == "photos":
            Image.fromarray(photo).save(path)
        else:
            path.write_bytes(bmp_bytes(ids)) if end == ".bmp" else Image.fromarray(ids).save(path)


def write_folder(root, counts, size=(8, 8), classes=4, styles=()):
    """{split: count} pairs of random ids, below <split>/ or <split>/<style>/."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for index in range(count):
            style = f"{styles[index % len(styles)]}/" if styles else ""
            write_pair(root, f"{split}/{style}{index:03d}", rng.integers(0, classes, size))
    return root
