"""A confusion matrix as a picture: which class is taken for which, in percent of the true class."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.watch import contact_sheet

SIDE = 720  # pixels of the matrix, unless cells reach one of their limits
CELL, LEAST_WITH_NUMBERS, LEAST_WITH_NAMES = 44, 24, 11
NAME_WIDTH, GAP = 110, 4
TITLE = "row: true class, column: predicted; % of the row"
FULL = np.array([8, 48, 107])  # colour of 100 %; 0 % is white
EMPTY = (225, 225, 225)  # of the row of a class without entries


def draw(counts: np.ndarray, class_names) -> np.ndarray:
    """The picture, as large as the number of classes needs.

    Names stand where cells are at least LEAST_WITH_NAMES pixels wide (65 classes), percentages
    where they are LEAST_WITH_NUMBERS (30 classes); a cell without entries has none.

    Args:
        counts: int [K, K]; row = true class, column = predicted class.
        class_names: K strings.

    Returns:
        uint8 [height, width, 3].
    """
    count, cell = len(counts), cell_size(len(counts))
    font = ImageFont.load_default(size=min(11, max(8, cell - 2)))
    margin = NAME_WIDTH if cell >= LEAST_WITH_NAMES else GAP
    top = margin + contact_sheet.CAPTION_HEIGHT
    width = max(margin + count * cell + GAP, int(font.getlength(TITLE)) + 2 * GAP)
    picture = Image.new("RGB", (width, top + count * cell + GAP), "white")
    colors = Image.fromarray(_colors(counts)).resize([count * cell] * 2, Image.Resampling.NEAREST)
    picture.paste(colors, (margin, top))
    pen = ImageDraw.Draw(picture)
    pen.text((GAP, 1), TITLE, fill="black", font=font)
    pen.rectangle([margin - 1, top - 1, margin + count * cell, top + count * cell], outline="gray")
    if cell >= LEAST_WITH_NAMES:
        names = [contact_sheet.fit(str(name), margin - 2 * GAP, font) for name in class_names]
        _write_names(picture, names, font, cell, margin, top)
    if cell >= LEAST_WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            share = counts[row, column] / counts[row].sum()
            pen.text(
                (margin + (column + 0.5) * cell, top + (row + 0.5) * cell),
                f"{100 * share:.0f}",
                fill="white" if share > 0.5 else "black", font=font, anchor="mm",
            )  # fmt: skip
    return np.asarray(picture)


def cell_size(num_classes: int) -> int:
    """Pixels of a side of a cell."""
    return min(CELL, max(1, SIDE // num_classes))


def _colors(counts) -> np.ndarray:
    """uint8 [K, K, 3]: white for 0 %, FULL for 100 %; EMPTY in a row without entries."""
    total = counts.sum(axis=1)[:, None, None]
    share = counts[..., None] / np.maximum(total, 1)
    return np.where(total > 0, np.round(255 + share * (FULL - 255)), EMPTY).astype(np.uint8)


def _write_names(picture, names, font, cell, margin, top) -> None:
    """Of the rows on the left; of the columns above, to be read from below."""
    pen = ImageDraw.Draw(picture)
    for index, name in enumerate(names):
        middle = (index + 0.5) * cell
        pen.text((margin - GAP, top + middle), name, fill="black", font=font, anchor="rm")
        upright = Image.new("RGB", (margin - GAP, cell), "white")
        ImageDraw.Draw(upright).text((0, cell / 2), name, fill="black", font=font, anchor="lm")
        place = (margin + index * cell, top - margin)
        picture.paste(upright.transpose(Image.Transpose.ROTATE_90), place)
