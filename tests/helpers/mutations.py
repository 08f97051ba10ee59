"""Small image files of all formats, and damage to them, each by a number."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.helpers import image_files

NUMBERS = (0, 1, 2, 7, 127, 255, 256, 32767, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
EXIF = Image.Exif()
EXIF[0x0112] = 6


def saved(array, kind, mode=None, **options):
    image = Image.fromarray(array)
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def whole_files(shape=(7, 13)):
    """{name: bytes} of every format that is read, some in several of its ways."""
    draw = np.random.default_rng(0)
    ids = draw.integers(0, 12, shape).astype(np.uint8)
    bits = ids % 2
    rgb = np.stack([ids * 20, 255 - ids, ids * 3], -1)
    deep = ids.astype(np.uint16) * 5000
    indexed = Image.fromarray(ids)
    indexed.putpalette(np.array(image_files.colour_palette(256), np.uint8).tobytes())
    files = {f"bmp{n}": image_files.bmp_bytes(ids & (2**n - 1), n) for n in (1, 4, 8)}
    rle = image_files.rle8_pixels(ids)
    files |= {
        "rle8": image_files.bmp_bytes(ids, pixels=rle, compression=1),
        "os2": image_files.bmp_bytes(ids, os2=True),
        "top_down": image_files.bmp_bytes(ids, top_down=True),
        "bmp24": image_files.rgb_bmp_bytes(rgb),
        "bmp32": image_files.rgb_bmp_bytes(rgb, 32),
        "png_p": saved(ids, "PNG", "P"),
        "jpeg": saved(rgb, "JPEG"),
        "jpeg_grey": saved(ids * 20, "JPEG"),
        "jpeg_progressive": saved(rgb, "JPEG", progressive=True, quality=95),
        "jpeg_cmyk": saved(rgb, "JPEG", "CMYK"),
        "jpeg_exif": saved(rgb, "JPEG", exif=EXIF, icc_profile=b"icc" * 9),
        "webp": saved(rgb, "WEBP"),
        "webp_lossless": saved(rgb, "WEBP", "RGBA", lossless=True, exif=EXIF),
        "webp_frames": saved(
            rgb, "WEBP", save_all=True, append_images=[Image.fromarray(255 - rgb)]
        ),
        "gif": saved(ids, "GIF"),
    }
    buffer = io.BytesIO()
    indexed.save(buffer, "PNG", transparency=3)
    files["png_palette"] = buffer.getvalue()
    ways = [("1", bits * 255, "1"), ("l", ids, "L"), ("la", ids, "LA"), ("deep", deep, None)]
    for name, array, mode in [*ways, ("rgb", rgb, None), ("rgba", rgb, "RGBA")]:
        files[f"png_{name}"] = saved(array, "PNG", mode)
    for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        files[how if how != "jpeg" else "tiff_jpeg"] = saved(rgb, "TIFF", compression=how)
    return files | {"group4": saved(bits * 255, "TIFF", "1", compression="group4")}


def with_checksums(data):
    """A PNG whose chunks, as far as they can be told apart, have the checksums they should."""
    data, place = bytearray(data), 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(data)


def mutated(data, draw, others):
    """One or two kinds of damage: bytes, numbers of headers, cuts, splices, pieces twice."""
    data = bytearray(data)
    for _ in range(draw.integers(1, 3)):
        kind, place = draw.integers(7), int(draw.integers(len(data) + 1))
        early = min(place, int(draw.integers(64)))
        if kind == 0:
            for index in draw.integers(0, max(1, len(data)), draw.integers(1, 9)):
                data[index : index + 1] = draw.bytes(1)
        elif kind in (1, 2):
            size, order = int(draw.choice([1, 2, 4])), str(draw.choice(["little", "big"]))
            number = int(draw.choice(NUMBERS)) % 256**size
            where = early if kind == 1 else place
            data[where : where + size] = number.to_bytes(size, order)
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            del data[place : place + int(draw.integers(1, 20))]
        elif kind == 5:
            data[place:place] = data[early : early + int(draw.integers(1, 40))]
        else:
            other = others[draw.integers(len(others))]
            data[place:] = other[int(draw.integers(len(other))) :]
    if data.startswith(b"\x89PNG") and draw.random() < 0.7:
        return with_checksums(data)
    return bytes(data)
