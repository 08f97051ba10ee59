"""The values stored in a label map file, exactly: indices and grey levels, never colours.

`Image.convert("L")` turns a palette image into luminance and `tf.io.decode_png` into the grey of
its palette colours; neither is the class id that the file holds.
"""

import collections
import os
from collections.abc import Mapping, Sequence

import numpy as np

from data import files
from data.images import opening
from data.labels import bmp_indices

LABEL_SUFFIXES = (".bmp", ".png", ".tif", ".tiff", ".gif")
CONVERT_COMMAND = "python scripts/prepare_dataset.py convert source=FOLDER out=FOLDER"
MAX_COLOURS_NAMED = 6
MAX_VALUE = 65535
LOSSY, LOSSY_TIFF = ("JPEG", "MPO", "AVIF"), ("jpeg", "tiff_jpeg", "webp")
EXIF_ORIENTATION = 0x0112


class ColourMapError(ValueError):
    """A label map holds colours and no palette says which class each of them means."""


class ColourPalette:
    """Which file value each colour of an RGB label map stands for.

    Args:
        colours: either a list of [red, green, blue] in 0..255 (the position is the value), or a
            mapping {"#rrggbb": value}, where several colours may mean the same value.

    Raises:
        ValueError: a colour is malformed, given twice, or its value is not in 0..255.
    """

    def __init__(self, colours) -> None:
        if not isinstance(colours, Mapping | Sequence) or not colours:
            raise ValueError(
                f"`palette` is a list of colours, or a mapping of them to values. Received: "
                f"palette={colours!r}"
            )
        items = (
            colours.items()
            if isinstance(colours, Mapping)
            else ((c, v) for v, c in enumerate(colours))
        )
        pairs = [(colour_code(colour), value) for colour, value in items]
        codes = [code for code, _ in pairs]
        times = collections.Counter(codes)
        for code, value in pairs:
            if times[code] > 1 or type(value) is not int or not 0 <= value <= 255:
                raise ValueError(
                    f"Every colour of `palette` appears once and means a whole number in 0..255. "
                    f"Received: {_name(code)} -> {value} ({times[code]} times)."
                )
        order = np.argsort(codes)
        self._codes = np.asarray(codes, np.int64)[order]
        self._values = np.asarray([value for _, value in pairs], np.uint8)[order]

    def values(self, rgb: np.ndarray, name: str) -> np.ndarray:
        """Maps uint8 [H, W, 3] to uint8 [H, W]; a colour that is not listed is a ValueError."""
        rgb = rgb.astype(np.int64)
        codes = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        unknown = self._codes[places] != codes
        if unknown.any():
            raise ValueError(
                f"{name}: {int(unknown.sum())} pixels have colours that data.encoding.palette does "
                f"not list. Received: {_most_frequent(codes[unknown])}. Add these colours to the "
                f"palette. Many near-identical colours mean that the map was saved as JPEG or "
                f"resized with interpolation; it has to be made again from its source."
            )
        return self._values[places]


def read_values(path, palette: ColourPalette | None = None) -> np.ndarray:
    """Returns the values stored in a label map, [H, W]: uint8, or uint16 where one is above 255.

    BMP of 1, 4 and 8 bits, plain or run-length encoded, and PNG of mode P give the palette index;
    grey PNGs of any bit depth give the stored level; PNGs and BMPs of RGB are mapped by `palette`.
    What is compressed with loss, animated or stored rotated (EXIF) is refused.

    Raises:
        FileNotFoundError: there is no such file.
        ColourMapError: the file holds colours and `palette` is None.
        ValueError: the file is damaged, no image, or holds values that are not in 0..65535.
    """
    return decode_values(files.read_bytes(path, "label map"), os.fspath(path), palette)


def decode_values(data: bytes, name: str, palette: ColourPalette | None = None) -> np.ndarray:
    """As `read_values`, from the bytes of a file; `name` appears in the errors."""
    if bmp_indices.is_bmp(data):
        try:
            if bmp_indices.read_header(data).is_indexed:
                return bmp_indices.read_indices(data)
        except ValueError as error:
            raise ValueError(f"{name}: {error}. Replace or remove the file") from None
    remedy = "Label maps are BMP or PNG files. Replace or remove the file"
    with opening.opened(data, name, remedy) as image:
        _refuse_doubtful(image, data, name)
        return _values_of_image(image, data, name, palette)


def _refuse_doubtful(image, data, name) -> None:
    """Raises ValueError for a file that may hold other values than were drawn, or elsewhere."""
    lossy = image.format in LOSSY or (image.format == "WEBP" and b"VP8L" not in data[:64])
    if lossy or image.info.get("compression") in LOSSY_TIFF:
        raise ValueError(
            f"{name}: compressed with loss ({image.format}), which changes class ids at every "
            "border, whatever the suffix says. Make the label maps again from their source, as PNG "
            "or BMP"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"{name}: {image.n_frames} pictures in one label map. Save the one meant")
    if image.format != "PNG" or b"eXIf" in data:  # Pillow decodes a PNG whole to look for it.
        if image.getexif().get(EXIF_ORIENTATION, 1) not in (0, 1):
            raise ValueError(
                f"{name}: a label map stored rotated or mirrored (EXIF orientation). Save it "
                "upright, as its photograph is seen"
            )


def _values_of_image(image, data, name, palette) -> np.ndarray:
    if image.mode == "P":
        return np.asarray(image, np.uint8)
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("L", "LA"):
        levels = np.asarray(image)
        levels = levels[..., 0] if image.mode == "LA" else levels
        bits = data[24] if image.format == "PNG" else 8
        # Pillow stretches grey levels of 2 and 4 bits to 0..255; the file holds 0..3 and 0..15.
        return np.ascontiguousarray(levels // {2: 85, 4: 17}.get(bits, 1))
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        if levels.max() > MAX_VALUE or levels.min() < 0:
            raise ValueError(
                f"{name}: holds values {int(levels.min())}..{int(levels.max())}, where label maps "
                f"hold 0..{MAX_VALUE}. Give the map of classes instead"
            )
        return levels.astype(np.uint8 if levels.max() <= 255 else np.uint16)
    rgb = np.asarray(image.convert("RGB"))
    if palette is None:
        codes = rgb.astype(np.int64) @ np.array([65536, 256, 1])
        raise ColourMapError(
            f"{name}: holds colours (mode {image.mode}), but a label map holds class ids (8-bit "
            f"index or grey). Received: colours={_most_frequent(codes)}. Either convert the maps "
            f"once with `{CONVERT_COMMAND} palette=FILE`, or say what each colour means with "
            f"'data.encoding.palette=[[red,green,blue],...]' (the position is the id)."
        )
    return palette.values(rgb, name)


def colour_code(colour) -> int:
    """0xRRGGBB of "#rrggbb" or [red, green, blue]; ValueError if it is neither."""
    if isinstance(colour, str):
        digits = colour.lstrip("#")
        if len(digits) == 6 and all(c in "0123456789abcdefABCDEF" for c in digits):
            return int(digits, 16)
    elif isinstance(colour, Sequence) and len(colour) == 3:
        if all(isinstance(part, int) and 0 <= part <= 255 for part in colour):
            return (colour[0] << 16) | (colour[1] << 8) | colour[2]
    raise ValueError(
        f"A colour of `palette` is '#rrggbb' or [red, green, blue] in 0..255. Received: {colour!r}"
    )


def _name(code) -> str:
    return f"#{int(code):06x}"


def _most_frequent(codes) -> str:
    found, counts = np.unique(codes, return_counts=True)
    first = np.argsort(-counts, kind="stable")[:MAX_COLOURS_NAMED]
    listed = ", ".join(f"{_name(found[i])} ({int(counts[i])} pixels)" for i in first)
    return listed + (f" and {len(found) - len(first)} more" if len(found) > len(first) else "")
