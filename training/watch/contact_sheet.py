"""Pictures for people: 8-bit images, sheets with captions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from training.runs import whole_files

CAPTION_HEIGHT = 16
ROW_TITLE_WIDTH = 84
GAP = 2
LEGEND_WIDTH = 120  # of a class
VISIBLE = 128  # pixels a side, of images that a browser shows


def to_uint8(images) -> np.ndarray:
    """float [-1, 1] to uint8 [0, 255], rounded; uint8 passes unchanged."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    return np.clip(np.round((images.astype(np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def contact_sheet(columns: dict[str, np.ndarray], row_titles=()) -> np.ndarray:
    """Lays images out with one row an item and one titled column an entry.

    Args:
        columns: title -> uint8 [B, H, W, 3]; equal B, H, W.
        row_titles: a title for each row, in a margin on the left; or none.

    Returns:
        uint8 [height, width, 3].
    """
    first = next(iter(columns.values()))
    count, height, width = first.shape[:3]
    margin = ROW_TITLE_WIDTH if len(row_titles) else 0
    right, bottom = tile_corner(count, len(columns), height, width, margin)
    sheet = Image.new("RGB", (right - GAP, bottom - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for row, title in enumerate(row_titles):
        _, top = tile_corner(row, 0, height, width, margin)
        middle = top + height // 2
        text = fit(title, margin - 6, font)
        draw.text((margin - 4, middle), text, fill="black", font=font, anchor="rm")
    for column, (title, images) in enumerate(columns.items()):
        left, _ = tile_corner(0, column, height, width, margin)
        draw.text((left + 2, 1), fit(title, width - 4, font), fill="black", font=font)
        for row, image in enumerate(images):
            sheet.paste(Image.fromarray(image), tile_corner(row, column, height, width, margin))
    return np.asarray(sheet)


def enlarged(images: np.ndarray) -> np.ndarray:
    """uint8 [B, H, W, 3] by a whole factor, nearest neighbour, to VISIBLE pixels a side or more."""
    factor = max(1, -(-VISIBLE // min(images.shape[1:3])))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def with_legend(sheet: np.ndarray, colors: dict[str, Sequence[int]]) -> np.ndarray:
    """A sheet with the names of classes beside their colours below it."""
    columns = max(1, sheet.shape[1] // LEGEND_WIDTH)
    height = CAPTION_HEIGHT * -(-len(colors) // columns)
    below = Image.new("RGB", (sheet.shape[1], height), "white")
    draw, font = ImageDraw.Draw(below), ImageFont.load_default(size=11)
    for number, (name, color) in enumerate(colors.items()):
        left, top = number % columns * LEGEND_WIDTH, number // columns * CAPTION_HEIGHT
        side = CAPTION_HEIGHT - 4
        draw.rectangle([left + 2, top + 2, left + side, top + side], tuple(color), "gray")
        text = fit(name, LEGEND_WIDTH - side - 8, font)
        draw.text((left + side + 5, top + 1), text, fill="black", font=font)
    return np.concatenate([sheet, np.asarray(below)])


def tile_corner(row: int, column: int, height: int, width: int, margin: int = 0) -> tuple[int, int]:
    """(left, top) of a tile in a sheet of tiles of that size; rows with titles have a margin."""
    return margin + column * (width + GAP), CAPTION_HEIGHT + row * (height + GAP)


def write_png(
    path: Path, image: np.ndarray, profile: bytes | None = None, mark: str = "image"
) -> None:
    """Writes a uint8 image, whole or not at all, with the ICC profile of its colours if any.

    The mark tells commands later that this application wrote it, as a result ("image") or not.
    """
    text = PngImagePlugin.PngInfo()
    text.add_text("tessera", mark)
    with whole_files.written(path) as partial:
        Image.fromarray(image).save(partial, format="PNG", icc_profile=profile, pnginfo=text)


def write_sheet(path: Path, picture: np.ndarray) -> None:
    """Writes a sheet, layout or preview: a picture that is never read as data."""
    write_png(path, picture, mark="sheet")


def fit(title: str, width: int, font) -> str:
    """As much of a title as goes into a width, pixels."""
    while len(title) > 1 and font.getlength(title) > width:
        title = title[:-1]
    return title
