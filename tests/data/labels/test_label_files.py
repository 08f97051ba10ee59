"""Every label map format gives the values that stand in the file, exactly."""

import io
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.images import opening
from data.labels import bmp_indices, label_files, label_maps
from tests.helpers import image_files

SHAPE = (7, 13)  # Odd, so that every padding rule matters.


def some_indices(count, shape=SHAPE):
    return np.random.default_rng(1).integers(0, count, shape).astype(np.uint8)


def png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def grey_png_of_bits(values, bits):
    """A grey PNG of 1, 2, 4 or 16 bits, chunk by chunk."""
    rows = b""
    for row in values:
        digits = "".join(format(int(v), f"0{bits}b") for v in row)
        digits += "0" * (-len(digits) % 8)
        rows += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    return png_of(header, rows)


def png_of(header, rows):
    data = opening.PNG_SIGNATURE
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        chunk = name + body
        data += struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data


@pytest.mark.parametrize("palette", [image_files.grey_palette, image_files.colour_palette])
@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_of_every_depth_gives_its_indices(bits, top_down, palette):
    indices = some_indices(2**bits)
    data = image_files.bmp_bytes(indices, bits, palette(2**bits), top_down=top_down)
    np.testing.assert_array_equal(label_files.decode_values(data, "x"), indices)


@pytest.mark.parametrize("colours", [2, 12])
def test_bmp_with_short_black_and_white_palette_keeps_its_indices(colours):
    """Pillow takes two colours in an 8-bit file for packed bits."""
    indices = some_indices(colours)
    palette = [(0, 0, 0), (255, 255, 255)] + image_files.grey_palette(colours)[2:]
    data = image_files.bmp_bytes(indices, 8, palette)
    np.testing.assert_array_equal(label_files.decode_values(data, "x"), indices)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_os2_bmp(bits):
    indices = some_indices(2**bits)
    data = image_files.bmp_bytes(indices, bits, os2=True)
    np.testing.assert_array_equal(label_files.decode_values(data, "x"), indices)


def test_rle8_bmp_agrees_with_the_indices_and_with_pillow():
    indices = np.repeat(some_indices(12, (7, 5)), 3, axis=1)
    pixels = image_files.rle8_pixels(indices)
    data = image_files.bmp_bytes(indices, pixels=pixels, compression=1)
    np.testing.assert_array_equal(label_files.decode_values(data, "x"), indices)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), indices)


def test_rle8_moves_and_missing_end_mark():
    # Two pixels of 7, then by a move to the start of the next row, 2 pixels of 5; no end mark.
    pixels = bytes([1, 7, 1, 7, 0, 2, 0, 0, 0, 0, 2, 5])
    data = image_files.bmp_bytes(np.zeros((2, 2), np.uint8), pixels=pixels, compression=1)
    np.testing.assert_array_equal(bmp_indices.read_indices(data), [[5, 5], [7, 7]])


@pytest.mark.parametrize(
    ("pixels", "written"),
    [(b"\0\1", 0), (b"\3\5\0\1", 3), (b"\6\5\0\0\0\1", 6), (b"\1\7\0\2\2\1\3\5\0\1", 4),
     (b"\5\7\0\0\6\5\0\1", 11), (b"\6\7\0\2\0\1\0\0\0\1", 6)],
    ids=["at once", "in a row", "after a row", "after a move", "line ended early", "moved only"],
)  # fmt: skip
def test_rle8_maps_without_a_value_at_every_pixel_are_refused(pixels, written):
    data = image_files.bmp_bytes(np.zeros((2, 6), np.uint8), pixels=pixels, compression=1)
    with pytest.raises(ValueError, match=f"^x: .*incomplete: {written} of 12 pixels have a value"):
        label_files.decode_values(data, "x")


def test_sizes_that_the_bytes_cannot_hold_are_refused_before_they_cost_memory():
    shape, pixels = np.broadcast_to(np.uint8(0), (16383, 16384)), b"\1\1" * 50
    rle = image_files.bmp_bytes(shape[:1], pixels=pixels, compression=1)
    rle = rle[:22] + struct.pack("<i", shape.shape[0]) + rle[26:]
    rgb = grey_png_of_bits(np.zeros((2, 2), np.uint8), 8)
    bomb = rgb[:16] + struct.pack(">II", 65535, 65535) + rgb[24:29]
    bomb += struct.pack(">I", zlib.crc32(bomb[12:29])) + rgb[33:]
    tracemalloc.start()
    for data, message in ((rle, "100 bytes of runs for 268419072 pixels"), (bomb, "exceeds limit")):
        with pytest.raises(ValueError, match=f"^x: .*{message}"):
            label_files.decode_values(data, "x")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_rle4_bmp():
    # A run of 5 alternating 1, 2; then 3 literals 3, 4, 5 (two bytes, no padding needed).
    pixels = bytes([5, 0x12, 0, 3, 0x34, 0x50, 0, 0, 8, 0x99, 0, 1])
    data = image_files.bmp_bytes(np.zeros((2, 8), np.uint8), 4, pixels=pixels, compression=2)
    expected = [[9] * 8, [1, 2, 1, 2, 1, 3, 4, 5]]
    np.testing.assert_array_equal(bmp_indices.read_indices(data), expected)


@pytest.mark.parametrize("colours", [2, 4, 16, 256])
def test_palette_png_gives_the_index_not_the_colour(colours):
    indices = some_indices(colours)
    image = Image.fromarray(indices)  # mode L; putpalette makes it P without touching the indices
    image.putpalette(np.array(image_files.colour_palette(colours), np.uint8).tobytes())
    data = png(image, bits={2: 1, 4: 2, 16: 4, 256: 8}[colours])
    assert data[25] == 3  # colour type: palette
    np.testing.assert_array_equal(label_files.decode_values(data, "x"), indices)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_gives_the_stored_level(bits):
    values = some_indices(min(256, 2**bits))
    data = grey_png_of_bits(values, bits)
    np.testing.assert_array_equal(label_files.decode_values(data, "x"), values)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("missing", [1, 5, 1000])
def test_a_png_whose_pixels_end_early_is_refused(missing, interlaced):
    values = some_indices(12)
    passes = opening.ADAM7 if interlaced else opening.WHOLE
    parts = [values[y::down, x::across] for x, y, across, down in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", *values.shape[::-1], 8, 0, 0, 0, interlaced)
    assert (label_files.decode_values(png_of(header, rows), "x") == values).all()
    with pytest.raises(ValueError, match="^x: .*incomplete: .* bytes of its pixels are missing"):
        label_files.decode_values(png_of(header, rows[:-missing]), "x")


def test_grey_png_with_alpha():
    values = some_indices(12)
    image = Image.merge("LA", [Image.fromarray(values), Image.fromarray(values * 0 + 255)])
    np.testing.assert_array_equal(label_files.decode_values(png(image), "x"), values)


def test_values_beyond_16_bits_are_refused():
    values = np.array([[0, 70000]], np.int32)
    with pytest.raises(ValueError, match=r"^x: holds values 0..70000, where .* hold 0..65535"):
        label_files.decode_values(tiff(Image.fromarray(values)), "x")
    levels = label_files.decode_values(grey_png_of_bits(np.full((2, 2), 1000), 16), "x")
    assert levels.dtype == np.uint16 and (levels == 1000).all()


def tiff(image) -> bytes:
    content = io.BytesIO()
    image.save(content, "TIFF")
    return content.getvalue()


def saved(kind, **options):
    data, image = io.BytesIO(), Image.fromarray(some_indices(3))
    (image.convert("RGB") if kind == "WEBP" else image).save(data, kind, **options)
    return data.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
DOUBTFUL = {
    "JPEG": (saved("JPEG", quality=100), "compressed with loss .JPEG."),
    "lossy WebP": (saved("WEBP", quality=100), "compressed with loss .WEBP."),
    "JPEG in TIFF": (saved("TIFF", compression="jpeg"), "compressed with loss .TIFF."),
    "two pages": (
        saved("TIFF", save_all=True, append_images=[Image.fromarray(some_indices(3))]),
        "2 pictures in one",
    ),
    "rotated": (saved("PNG", exif=EXIF), "stored rotated"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_maps_that_may_hold_other_values_than_were_drawn_are_refused(kind):
    data, message = DOUBTFUL[kind]
    with pytest.raises(ValueError, match=f"^x.png: .*{message}"):
        label_files.decode_values(data, "x.png")


def test_lossless_tiff_is_read():
    values = label_files.decode_values(saved("TIFF", compression="tiff_lzw"), "x")
    np.testing.assert_array_equal(values, some_indices(3))


RGB = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 0, 0]]], np.uint8)
COLOUR_FILES = {
    "24-bit BMP": image_files.rgb_bmp_bytes(RGB),
    "32-bit BMP": image_files.rgb_bmp_bytes(RGB, 32),
    "RGB PNG": png(Image.fromarray(RGB)),
    "RGBA PNG": png(Image.fromarray(RGB).convert("RGBA")),
}


@pytest.mark.parametrize("kind", COLOUR_FILES)
def test_colour_map_is_refused_with_the_commands_that_help(tmp_path, kind):
    path = tmp_path / "map.png"
    path.write_bytes(COLOUR_FILES[kind])
    with pytest.raises(label_files.ColourMapError) as error:
        label_files.read_values(path)
    message = str(error.value)
    assert str(path) in message and "#ff0000 (2 pixels)" in message
    assert "scripts/prepare_dataset.py convert" in message and "data.encoding.palette=" in message


@pytest.mark.parametrize("kind", COLOUR_FILES)
@pytest.mark.parametrize(
    "colours",
    [{"#0000FF": 7, "#ff0000": 3, "00ff00": 5}, None],
    ids=["mapping", "list"],
)
def test_colour_map_with_palette_is_mapped_exactly(kind, colours):
    expected = [[3, 5], [7, 3]]
    if colours is None:
        colours = [[9, 9, 9]] * 0 + [[1, 1, i] for i in range(8)]
        colours[3], colours[5], colours[7] = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    palette = label_files.ColourPalette(colours)
    values = label_files.decode_values(COLOUR_FILES[kind], "x", palette)
    np.testing.assert_array_equal(values, expected)


def test_unknown_colour_is_named():
    palette = label_files.ColourPalette({"#ff0000": 0, "#00ff00": 1})
    with pytest.raises(ValueError, match=r"x: 1 pixels have colours.*#0000ff \(1 pixels\)"):
        label_files.decode_values(COLOUR_FILES["RGB PNG"], "x", palette)


@pytest.mark.parametrize("colours", [{"#ff000": 1}, [[1, 2]], [[1, 2, 300]], {"#gg0000": 1}])
def test_malformed_palette_colour(colours):
    with pytest.raises(ValueError, match="A colour of `palette` is"):
        label_files.ColourPalette(colours)


@pytest.mark.parametrize(
    "colours",
    [{"#ff0000": 1, "FF0000": 2}, *({"#ff0000": v} for v in (256, -1, 1.5, None, "a", math.inf))],
)
def test_palette_colours_are_unique_and_mean_bytes(colours):
    with pytest.raises(ValueError, match="appears once and means a whole number in 0..255"):
        label_files.ColourPalette(colours)


@pytest.mark.parametrize("colours", [[], {}, 5])
def test_a_palette_that_is_none(colours):
    with pytest.raises(ValueError, match="`palette` is a list of colours, .* Received: palette="):
        label_files.ColourPalette(colours)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="no label map at this path.*nowhere.bmp"):
        label_files.read_values("nowhere.bmp")


RLE = image_files.bmp_bytes(some_indices(4), pixels=b"\3\1\0\0\2", compression=1)
DAMAGED = {
    "no image": (b"hello", "not an image file"),
    "empty": (b"", "not an image file"),
    "BMP cut in the header": (b"BM" + b"\0" * 10, "cut off inside its header"),
    "BMP of an unknown header": (b"BM" + struct.pack("<IHHII", 0, 0, 0, 54, 16) + b"\0" * 60,
                                 "unknown or cut-off BMP header of 16 bytes"),
    "BMP without size": (image_files.bmp_bytes(np.zeros((1, 0), np.uint8), pixels=b""),
                         "impossible BMP size"),
    "8-bit BMP cut": (image_files.bmp_bytes(some_indices(4))[:-9], "truncated: 103 of 112 bytes"),
    "1-bit BMP cut": (image_files.bmp_bytes(some_indices(2), 1)[:-1], "truncated"),
    "24-bit BMP cut": (image_files.rgb_bmp_bytes(RGB)[:-3], "truncated"),
    "RLE8 cut": (RLE, "3 of 91 pixels have a value, the runs stop in row 2 of 7"),
    "RLE8 literal cut": (image_files.bmp_bytes(some_indices(4), pixels=b"\0\5\1", compression=1),
                         "0 of 91 pixels"),
    "RLE8 move cut": (image_files.bmp_bytes(some_indices(4), pixels=b"\0\2\1", compression=1),
                      "0 of 91 pixels"),
    "RLE8 too wide": (image_files.bmp_bytes(some_indices(4), pixels=b"\xff\1", compression=1),
                      "damaged: a run of 255 pixels"),
    "PNG cut": (png(Image.fromarray(some_indices(200, (60, 60))))[:-900], "x: "),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_named_with_the_reason(kind):
    data, reason = DAMAGED[kind]
    with pytest.raises(ValueError, match=f"^x: .*{reason}|^{reason}") as error:
        label_files.decode_values(data, "x")
    assert "Replace or remove the file" in str(error.value)


def test_read_indices_refuses_colours():
    with pytest.raises(ValueError, match="24-bit BMP holds colours"):
        bmp_indices.read_indices(image_files.rgb_bmp_bytes(RGB))


FAST = {
    "8-bit": (image_files.bmp_bytes(some_indices(12)), True),
    "8-bit top-down": (image_files.bmp_bytes(some_indices(12), top_down=True), True),
    "8-bit with trailing bytes": (image_files.bmp_bytes(some_indices(12), trailing=b"abc"), False),
    "8-bit cut": (image_files.bmp_bytes(some_indices(12))[:-1], False),
    "4-bit": (image_files.bmp_bytes(some_indices(12), 4), False),
    "RLE8": (RLE, False),
    "OS/2": (image_files.bmp_bytes(some_indices(12), os2=True), False),
    "24-bit": (image_files.rgb_bmp_bytes(RGB), False),
    "PNG": (png(Image.fromarray(some_indices(12))), False),
    "empty": (b"", False),
}


@pytest.mark.parametrize("kind", FAST)
def test_fast_path_is_taken_for_plain_8_bit_bmps_only(kind):
    data, fast = FAST[kind]
    assert bool(label_maps.is_plain_8_bit_bmp(tf.constant(data))) is fast
    if fast:
        decoded = tf.io.decode_bmp(data, channels=0)[:, :, 0]
        np.testing.assert_array_equal(decoded, label_files.decode_values(data, "x"))


def test_trailing_bytes_are_ignored():
    indices = some_indices(12)
    data = image_files.bmp_bytes(indices, trailing=b"abc")
    np.testing.assert_array_equal(label_files.decode_values(data, "x"), indices)
