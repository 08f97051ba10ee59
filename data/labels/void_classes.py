"""Classes that may be no classes: pixels that nobody labelled, numbered like the others."""

from collections.abc import Iterator

import numpy as np

REACH = 3
MARGIN = 10
MOSTLY = 0.9
NAMES = frozenset(
    ("void", "ignore", "ignored", "unlabeled", "unlabelled", "unknown", "undefined", "none",
     "nodata", "no data", "border", "boundary", "out of roi", "rectification border")
)  # fmt: skip


def inside(values: np.ndarray) -> dict[str, list[int]]:
    """{file value: [pixels deep in its areas, pixels in the middle of the photograph]}.

    Deep are pixels that have the same value `REACH` pixels away in all four directions; the middle
    is the photograph without a `MARGIN`th of its height and width at each edge.
    """
    height, width = values.shape
    deep = np.zeros_like(values, bool)
    centre = values[REACH:-REACH, REACH:-REACH]
    if centre.size:
        deep[REACH:-REACH, REACH:-REACH] = (
            (centre == values[: -2 * REACH, REACH:-REACH])
            & (centre == values[2 * REACH :, REACH:-REACH])
            & (centre == values[REACH:-REACH, : -2 * REACH])
            & (centre == values[REACH:-REACH, 2 * REACH :])
        )
    top, left = height // MARGIN, width // MARGIN
    middle = values[top : height - top, left : width - left]
    counts = [np.bincount(part.reshape(-1), minlength=65536 if values.itemsize > 1 else 256)
              for part in (values[deep], middle)]  # fmt: skip
    return {str(v): [int(c[v]) for c in counts] for v in np.unique(values).tolist()}


def questions(report, encoding, *, named: bool) -> list[str]:
    """What a careful colleague asks about the classes of a data set that was checked.

    Args:
        report: LabelReport with the pixels of every class that is declared or occurs.
        encoding: LabelEncoding of the files.
        named: whether somebody has said what the classes are.
    """
    if encoding.ignore_index is not None or encoding.id_map or 255 in encoding.lookup:
        return []  # answered
    count, reasons = len(report.pixels), {}
    for value in range(count):
        reasons[value] = next(_reasons(value, report), None)
    if not named and count > 2 and reasons[count - 1] is None:
        reasons[count - 1] = "is the last id, which some data sets (CamVid: 11) give to such pixels"
    return [
        f"Class {value} ({report.class_names[value]}) {reason}. If it marks pixels without a "
        f"class, {_proposal(value, count, encoding)}; then no loss counts them"
        for value, reason in reasons.items()
        if reason
    ]


def _reasons(value, report) -> Iterator[str]:
    pixels = int(report.pixels[value])
    files, deep, middle = report.inside.get(value, (0, 0, 0))
    if report.class_names[value].strip("_ ").lower() in NAMES:
        yield "has the name of pixels without a class"
    if not pixels:
        yield "occurs in no label map, so nothing can learn it"
    if 2 * files > report.files and middle == 0 < pixels:
        yield "lies along the edges of the photographs alone"
    if 2 * files > report.files and deep <= (1 - MOSTLY) * pixels:
        yield "lies along borders alone, in thin lines"


def _proposal(value, count, encoding) -> str:
    if encoding.palette:
        return "call it `ignore` in the palette file"
    settings = f"set num_classes={count - 1} ignore_index={value}"
    if value == count - 1:
        return settings
    kept = [v for v in range(count) if v != value]
    return settings + " 'id_map={" + ",".join(f"{v}:{i}" for i, v in enumerate(kept)) + "}'"
