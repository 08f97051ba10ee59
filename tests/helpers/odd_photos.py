"""The same picture in every odd way that photographs are stored in."""

import io

import numpy as np
from PIL import Image

SHAPE = (12, 20)  # height, width, upright
BACKGROUND = (250, 128, 3)
GREY = np.linspace(8, 250, SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, np.full(SHAPE, 90, np.uint8)], -1)
CUT = np.zeros(SHAPE, np.uint8)
CUT[3:9, 4:15] = 255


def saved(image, kind, **options) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def files() -> dict[str, tuple[str, bytes, np.ndarray]]:
    """{name: (suffix, bytes, RGB that every reader sees, uint8 [*SHAPE, 3])}."""
    grey = np.repeat(GREY[..., None], 3, -1)
    seen = np.where(CUT[..., None] == 255, COLOUR, np.uint8(BACKGROUND))
    hidden = np.where(CUT[..., None] == 255, COLOUR, np.uint8((0, 255, 0)))
    rgba = np.dstack([hidden, CUT])
    grey_seen = np.where(CUT[..., None] == 255, grey, np.uint8(BACKGROUND))
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    palette = Image.fromarray(np.where(CUT == 255, 1, 0).astype(np.uint8))
    palette.putpalette([0, 255, 0, 10, 20, 30])
    two = np.where(CUT[..., None] == 255, np.uint8((10, 20, 30)), np.uint8(BACKGROUND))
    other = [Image.fromarray(255 - COLOUR)]
    found = {
        "plain png": (".png", saved(COLOUR, "PNG"), COLOUR),
        "16 bits": (".png", saved(GREY.astype(np.uint16) * 257, "PNG"), grey),
        "16 bits tiff": (".webp", saved(GREY.astype(np.uint16) * 257, "TIFF"), grey),
        "cmyk": (".webp", saved(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB"))),
        "alpha": (".png", saved(rgba, "PNG"), seen),
        "alpha webp": (".webp", saved(rgba, "WEBP", lossless=True, exact=True), seen),
        "grey and alpha": (".png", saved(np.dstack([GREY, CUT]), "PNG"), grey_seen),
        "transparent colour": (".png", saved(palette, "PNG", transparency=0), two),
        "frames": (
            ".webp", saved(COLOUR, "WEBP", save_all=True, append_images=other, lossless=True),
            COLOUR,
        ),
        "animated png": (
            ".png", saved(COLOUR, "PNG", save_all=True, append_images=other), COLOUR,
        ),
    }  # fmt: skip
    jpeg = saved(cmyk, "JPEG", quality=95)
    with Image.open(io.BytesIO(jpeg)) as image:
        found["cmyk jpeg"] = (".jpg", jpeg, np.asarray(image.convert("RGB")))
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the turn that undoes each
    for orientation, undone in back.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = turned(COLOUR, undone)
        for kind in ("PNG", "TIFF"):
            suffix = ".png" if kind == "PNG" else ".webp"
            found[f"orientation {orientation} {kind}"] = (
                suffix, saved(stored, kind, exif=exif), COLOUR,
            )  # fmt: skip
        for order in ("<", ">"):  # of the bytes of EXIF
            exif = Image.Exif()
            exif.endian = order
            exif[0x0112] = orientation
            data = saved(stored, "JPEG", exif=exif, quality=95)
            with Image.open(io.BytesIO(data)) as image:
                seen = turned(np.asarray(image), orientation)
            found[f"orientation {orientation} JPEG {'big' if order == '>' else 'little'}"] = (
                ".jpg", data, seen,
            )  # fmt: skip
    return found


def turned(image, orientation) -> np.ndarray:
    """What a viewer makes of stored pixels of an EXIF orientation, by Pillow."""
    turns = Image.Transpose
    names = {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE, 6: turns.ROTATE_270, 7: turns.TRANSVERSE, 8: turns.ROTATE_90,
    }  # fmt: skip
    return np.asarray(Image.fromarray(image).transpose(names[orientation]))
