"""Photographs: the one reader for training, checks, conversion, sampling, evaluation and sheets."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from data import files
from data.images import opening

EXIF_ORIENTATION = 0x0112
TIFF_BITS = 258
JPEG_SIGNATURE = b"\xff\xd8\xff"
UPRIGHT = 1
QUARTER_TURNS = (5, 6, 7, 8)
FLIPPED = (3, 4, 7, 8), (2, 3, 6, 7)
"""Orientations of which rows, and columns, run backwards (after rows and columns are exchanged)."""
BITS = range(8, 17)
DARK_BITS = 14  # without a level of more bits, photographs have a quarter of the brightness
PLAIN_PNG = [bytes((bits, 0)) for bits in (1, 2, 4, 8)] + [b"\x08\x02"]
PLAIN_PNG += [bytes((bits, 3)) for bits in (1, 2, 4, 8)]
# What makes a PNG of 8 bits without an alpha channel more than its pixels.
PNG_EXTRAS = "tRNS|acTL|eXIf|Raw profile type exif|tiff:Orientation"
# An orientation other than upright, as EXIF of either byte order has it, or XMP.
ORIENTED = (
    r"\x12\x01\C\x00\x01\x00\x00\x00[\x02-\x08]|\x01\x12\x00\C\x00\x00\x00\x01\x00{1,3}[\x02-\x08]"
    r"|tiff:Orientation(?:=[\"']|>)[2-8]"
)
MAX_EXIF_BYTES = 1 << 18
PILLOW, JPEG, PNG = 0, 1, 2
MAX_NAMED = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """What a file says of its photograph.

    Attributes:
        size: (height, width), upright.
        orientation: EXIF, 1..8; 1 = stored upright.
        pictures: frames or pages in the file, of which the first is read.
        white: highest level where a channel has 16 bits, else None.
    """

    size: tuple[int, int]
    orientation: int = UPRIGHT
    pictures: int = 1
    white: int | None = None

    @property
    def fits_a_map(self) -> bool:
        """Whether a map of this size can only have been drawn upright."""
        turned = self.orientation in QUARTER_TURNS and self.size[0] != self.size[1]
        return turned or self.orientation == UPRIGHT


class PhotoReader:
    """Image files as RGB, uint8 [H, W, 3], upright: the same pixels wherever a file is read.

    JPEG and PNG files of 8 bits a channel, upright and opaque, are decoded by TensorFlow, in
    parallel; all others by Pillow: turned as their EXIF orientation says, laid over the
    background where they are transparent, 16 bits brought to 8. Of animations and pages the first
    picture is read. More than 179 million pixels are refused before they take memory.

    Args:
        background: [red, green, blue] in 0..255 behind transparent parts. Default None: the
            colours hidden under them, as in earlier runs.
        bits_used: of 16, where a channel has 16 bits; 12 for cameras and scanners that write 12
            in 16. Default None: 16, and the check refuses a set that uses fewer.

    Raises:
        ValueError: no such colour or number of bits.
    """

    def __init__(self, background=None, bits_used=None) -> None:
        parts = list(background or ())
        if background is not None and (
            len(parts) != 3 or not all(type(p) is int and 0 <= p <= 255 for p in parts)
        ):
            raise ValueError(
                "`background` is [red, green, blue] in 0..255, or null. Received: data.background="
                f"{background}. White is [255,255,255]"
            )
        if bits_used is not None and (type(bits_used) is not int or bits_used not in BITS):
            raise ValueError(
                f"`bits_used` is a whole number in {BITS[0]}..{BITS[-1]}, or null. Received: "
                f"data.bits_used={bits_used}. Scanners often use 12"
            )
        self.background = tuple(parts) or None
        self.bits_used = bits_used

    def settings(self) -> dict:
        """What cached pixels depend on, as JSON-clean values."""
        return {"background": self.background, "bits_used": self.bits_used}

    def decode_contents(self, contents, name) -> tuple[tf.Tensor, tf.Tensor]:
        """Bytes of an image file -> (uint8 [H, W, 3], whether a map of its size fits it: bool).

        Errors of TensorFlow's decoders name no file; `decode` does.
        """

        def by_pillow(data, name) -> tuple[np.ndarray, np.bool_]:
            image, facts = self._read(data, os.fsdecode(name))
            return image, np.bool_(facts.fits_a_map)

        decoder = _decoder(contents)
        fits = tf.constant(True)
        image, fits = tf.case(
            [
                (decoder == JPEG, lambda: (_decode_jpeg(contents), fits)),
                (decoder == PNG, lambda: (tf.io.decode_png(contents, channels=3), fits)),
            ],
            default=lambda: tuple(
                tf.numpy_function(by_pillow, [contents, name], [tf.uint8, tf.bool])
            ),
            exclusive=True,
        )
        image.set_shape([None, None, 3])
        fits.set_shape([])
        return image, fits

    def decode(self, data: bytes, name) -> np.ndarray:
        """The same by the same decoders, so with the same verdict, where errors name the file.

        Raises:
            ValueError: damaged, too large, no image, or levels without a meaning in 8 bits.
        """
        return self._read(data, name)[0]

    def read(self, path) -> np.ndarray:
        """`decode` of a file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: as `decode`.
        """
        return self.decode(files.read_bytes(path, "photograph"), os.fspath(path))

    def inspect(self, data: bytes, name) -> Facts:
        """Reads the bytes of a photograph to the last one, with the verdict of `decode`."""
        # A JPEG is read whole but only an eighth of its pixels are computed.
        facts = self._read(data, name, ratio=8)[1]
        if int(_decoder(data)) == JPEG:
            height, width = (int(side) for side in tf.io.extract_jpeg_shape(data).numpy()[:2])
            return Facts((height, width))
        return facts

    def inspect_file(self, path) -> Facts:
        """`inspect` of a file; FileNotFoundError where there is none."""
        return self.inspect(files.read_bytes(path, "photograph"), os.fspath(path))

    def complaint_of(self, whites) -> str | None:
        """What is wrong with a set whose 16-bit photographs would all be nearly black.

        Args:
            whites: {path: `Facts.white`}.
        """
        deep = {path: white for path, white in whites.items() if white is not None}
        if self.bits_used is not None or not deep or max(deep.values()) >= 2**DARK_BITS:
            return None
        brightest = max(deep, key=lambda path: deep[path])
        needed = deep[brightest].bit_length()
        return (
            f"{len(deep)} photographs of 16 bits a channel are nearly black. Received: levels up "
            f"to {deep[brightest]} of 65535, in {brightest}. Set data.bits_used="
            f"{max(BITS[0], needed + needed % 2)} if so many bits hold all levels, "
            "data.bits_used=16 if they are meant to be dark"
        )

    def _read(self, data, name, ratio=1) -> tuple[np.ndarray, Facts]:
        decoder = int(_decoder(data))
        if decoder == PILLOW:
            return self._read_with_pillow(data, name)
        with _named(name):
            image = _decode_jpeg(data, ratio) if decoder == JPEG else _decode_png(data)
            return image.numpy(), Facts(tuple(image.shape[:2]))

    def _read_with_pillow(self, data, name) -> tuple[np.ndarray, Facts]:
        with opening.opened(data, name) as image, _named(name):
            stored = _orientation(image)
            pictures = 1
            with contextlib.suppress(*opening.DAMAGE):  # of a later picture, which is not read
                pictures = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
            image.load()  # which turns a TIFF upright
            left = _orientation(image)
            white, levels = None, _levels(image, data, name)
            if levels is not None:
                white = int(levels[..., :3].max())
                image = self._eight_bits(levels, white, name)
            rgb = _turned(np.asarray(self._opaque(image)), left)
            return np.ascontiguousarray(rgb), Facts(rgb.shape[:2], stored, pictures, white)

    def _eight_bits(self, levels, white, name) -> Image.Image:
        """RGBA of levels uint16 [H, W, 1 or 4]; the fourth channel always has 16 bits."""
        bits = self.bits_used or 16
        if white >= 2**bits:
            raise ValueError(
                f"{name}: a level of {white}, more than {bits} bits hold. Received: "
                f"data.bits_used={bits}. Set it to {white.bit_length()} or null"
            )
        colours = np.broadcast_to(levels[..., :3] >> (bits - 8), (*levels.shape[:2], 3))
        alpha = levels[..., 3:] >> 8 if levels.shape[-1] == 4 else np.full_like(levels, 255)
        return Image.fromarray(np.concatenate([colours, alpha], axis=-1).astype(np.uint8))

    def _opaque(self, image) -> Image.Image:
        if self.background is None or not image.has_transparency_data:
            return image.convert("RGB")
        behind = Image.new("RGBA", image.size, self.background)
        return Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")


def warn_of_pictures(counts) -> None:
    """Warns of files that hold several pictures: {path: `Facts.pictures`}."""
    several = [str(path) for path, count in counts.items() if count > 1]
    if several:
        more = f" and {len(several) - MAX_NAMED} more" if len(several) > MAX_NAMED else ""
        log.warning(
            "%d photographs hold several pictures (frames, pages), of which the first is seen: "
            "%s%s", len(several), ", ".join(several[:MAX_NAMED]), more,
        )  # fmt: skip


def is_plain(data) -> bool:
    """Whether every program shows these bytes alike: 8 bits a channel, upright and opaque."""
    return int(_decoder(data)) != PILLOW


def colour_profile(path) -> bytes | None:
    """Returns the ICC profile of an image file whose colours are RGB, or None."""
    data = files.read_bytes(path, "photograph")
    with opening.opened(data, os.fspath(path), pixels=False) as image:
        rgb = image.mode in ("RGB", "RGBA", "P")
        return image.info.get("icc_profile") if rgb else None


def rotated_complaint(name) -> str:
    return (
        f"{name}: stored rotated or mirrored (EXIF orientation), and nothing says whether its "
        "label map was drawn upright. Save the photograph upright, without orientation, so that it "
        "lies as its map does"
    )


def _decoder(contents) -> tf.Tensor:
    """Who decodes these bytes: PILLOW, JPEG or PNG, an int32 scalar.

    Without Python in it, so that plain files are read without: threads of tf.data that wait for the
    interpreter can keep a process from ending.
    """
    header = tf.strings.join([tf.strings.substr(contents, 0, 26), b"\0" * 26])
    kind = tf.strings.substr(header, 24, 2)  # of a PNG: bits a channel and colour type
    is_png = tf.strings.substr(header, 0, 8) == opening.PNG_SIGNATURE
    is_jpeg = tf.strings.substr(header, 0, 3) == JPEG_SIGNATURE
    before_pixels = tf.strings.substr(contents, 0, MAX_EXIF_BYTES)
    png = is_png & tf.reduce_any(kind == PLAIN_PNG) & ~_holds(contents, PNG_EXTRAS)
    jpeg = is_jpeg & ~_holds(before_pixels, ORIENTED)
    return tf.where(jpeg, JPEG, tf.where(png, PNG, PILLOW))


def _holds(contents, pattern) -> tf.Tensor:
    return tf.strings.regex_full_match(contents, rf"(?s)\C*(?:{pattern})\C*")


def _orientation(image) -> int:
    found = image.getexif().get(EXIF_ORIENTATION, UPRIGHT)
    return found if found in range(1, 9) else UPRIGHT


def _turned(image, orientation) -> np.ndarray:
    if orientation in QUARTER_TURNS:
        image = image.swapaxes(0, 1)
    rows, columns = (-1 if orientation in flipped else 1 for flipped in FLIPPED)
    return image[::rows, ::columns]


def _levels(image, data, name) -> np.ndarray | None:
    """uint16 [H, W, 1 or 4] of an image with more than 8 bits a channel; else None."""
    if image.format == "PNG" and data[24] == 16:
        return tf.io.decode_png(data, channels=4, dtype=tf.uint16).numpy()
    if image.format == "TIFF" and 16 in image.tag_v2.get(TIFF_BITS, ()) and image.mode[:3] == "RGB":
        return np.uint16(257) * np.asarray(image.convert("RGBA"))  # Pillow gives the upper 8 bits.
    if not image.mode.startswith(("I", "F")):
        return None
    levels = np.asarray(image)
    if levels.dtype.kind == "f" or levels.min() < 0 or levels.max() > 65535:
        raise ValueError(
            f"{name}: levels from {levels.min()} to {levels.max()} (mode {image.mode}), which have "
            "no meaning as 8 bits. Save the photograph with 8 or 16 bits a channel"
        )
    return levels.astype(np.uint16)[..., np.newaxis]


@contextlib.contextmanager
def _named(name) -> Iterator[None]:
    """Errors of TensorFlow's decoders as a ValueError with the name of the file."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"^\{\{.*?\}\} ?| ?\[Op:\w+\].*", "", error.message, flags=re.DOTALL)
        raise ValueError(f"{name}: {reason}. Replace or remove the file") from None


def _decode_jpeg(contents, ratio=1) -> tf.Tensor:
    # Accurate, so that the pixels are those that every other program shows.
    return tf.io.decode_jpeg(contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _decode_png(contents) -> tf.Tensor:
    return tf.io.decode_png(contents, channels=3)
