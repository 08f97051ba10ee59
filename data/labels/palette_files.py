"""Files that say which classes there are and in which colours, as people and tools write them."""

import csv
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from data import files
from data.batch import IGNORE_ID
from data.labels import label_files, label_maps

MAX_BYTES = 1 << 16
LISTS = ("classes", "labels", "categories", "items")  # Supervisely, Mapillary, COCO
NAMES = ("name", "title", "class", "class_name", "label")
COLOURS = ("color", "colour", "rgb", "color_rgb")
CVAT_LINE = re.compile(r"(?P<name>[^:]+):(?P<color>\d+,\d+,\d+):[^:]*:[^:]*")
COLOUR_FIRST_LINE = re.compile(r"(?P<color>\d+[\s,]+\d+[\s,]+\d+)[\s,]+(?P<name>\S.*)")  # CamVid


@dataclass(frozen=True)
class PaletteFile:
    """Names by id (None: not known), {"#rrggbb": id}, colours by id, whether pixels are ignored.

    A file of names alone has no colours.
    """

    names: list[str] | None
    ids: dict[str, int]
    colours: list[tuple[int, ...]]
    ignores: bool


class _TextLoader(yaml.BaseLoader):
    """YAML whose words are texts (`off` is no truth value), and without aliases.

    Aliases let a small file stand for a huge one.
    """

    def compose_node(self, parent, index) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def load_palette(path) -> PaletteFile:
    """Reads a palette file: YAML or JSON, {name: [r, g, b]} or a list of [r, g, b], or a tool's.

    The position of a colour is its class id. The name `ignore` is for pixels without a class: 255.
    Colours may also be written "#rrggbb". Of tools: labelmap.txt (CVAT), class_dict.csv,
    _classes.csv (Roboflow: names alone), class_names.txt (labelme: names alone), lists of
    {name, color} in JSON (Supervisely, Mapillary, COCO; Cityscapes with trainId, which is the id),
    lines of "r g b name" (CamVid).

    Raises:
        FileNotFoundError: no such file. ValueError: it holds something else.
    """
    text = files.read_text(path, "palette file")
    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"{len(text):,} characters")
        content = _content(text, os.path.splitext(path)[1].lower())
        entries = [_entry(*item) for item in _items(content)]
    except (yaml.YAMLError, TypeError, AttributeError, LookupError, ValueError,
            RecursionError) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            "Expected a palette file, YAML or JSON without aliases, at most "
            f"{MAX_BYTES:,} bytes, of {{name: [red, green, blue]}} or a list of "
            "[red, green, blue], 0..255; or as CVAT (labelmap.txt), Roboflow, labelme, Supervisely "
            f"or Cityscapes write it. Received: palette={path}: {reason}"
        ) from None
    return _palette(path, entries)


def _content(text: str, suffix: str) -> Any:
    """What a file holds: a mapping or a list, of whatever format."""
    try:
        return json.loads(text)
    except ValueError:
        if suffix == ".json":
            raise
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    for pattern in (CVAT_LINE, COLOUR_FIRST_LINE):
        found = [pattern.fullmatch(line) for line in lines]
        if lines and all(found):
            return [match.groupdict() for match in found if match]
    if suffix == ".csv":
        return _table(text)
    if suffix == ".txt" and len(lines) > 1:
        return [{"name": line} for line in lines]
    return yaml.load(text, _TextLoader)


def _table(text: str) -> list[dict]:
    """The rows of a table whose header names the columns."""
    dialect = csv.Sniffer().sniff(text.splitlines()[0], ",;\t")
    rows = []
    for row in csv.DictReader(io.StringIO(text), dialect=dialect):
        cells = {str(key).strip().lower(): str(value).strip() for key, value in row.items()}
        red_green_blue = [cells.get(key, cells.get(key[0])) for key in ("red", "green", "blue")]
        if None not in red_green_blue:
            cells["color"] = ",".join(map(str, red_green_blue))
        if "pixel value" in cells:  # Roboflow
            cells["trainid"] = cells["pixel value"]
        rows.append(cells)
    return rows


def _items(content) -> list[tuple]:
    """[(name or None, what says its colour)]."""
    if isinstance(content, Mapping):
        listed = [content[key] for key in LISTS if isinstance(content.get(key), list)]
        if not listed or not all(isinstance(entry, Mapping) for entry in listed[0]):
            return list(content.items())
        content = listed[0]
    if not isinstance(content, list):
        raise ValueError(f"{content!r} is neither a mapping nor a list")
    return [(None, entry) for entry in content]


def _entry(name, value) -> tuple[str | None, int | None, int | None]:
    """(name, colour code, id), each None where the file does not say it."""
    if not isinstance(value, Mapping):
        return name, _code(value), None
    fields = {str(key).lower(): content for key, content in value.items()}
    name = next((str(fields[key]) for key in NAMES if key in fields), name)
    if name is None:
        raise ValueError(f"{value!r} has no name")
    colour = next((fields[key] for key in COLOURS if key in fields), None)
    number = fields.get("trainid")
    return name, None if colour is None else _code(colour), None if number is None else int(number)


def _code(colour) -> int:
    """0xRRGGBB of [r, g, b], of texts of digits too, of "r,g,b" or "#rrggbb"."""
    if isinstance(colour, str) and re.fullmatch(r"\d+([\s,]+\d+){2}", colour):
        colour = re.split(r"[\s,]+", colour)
    if isinstance(colour, list):
        if any(isinstance(part, bool) for part in colour):
            raise ValueError(f"{colour!r} is no colour")
        colour = [int(p) if isinstance(p, str) and p.isdecimal() else p for p in colour]
    return label_files.colour_code(colour)


def _palette(path, entries) -> PaletteFile:
    ignored = [
        (n is not None and n.strip("_ ").lower() == "ignore") or number in (-1, IGNORE_ID)
        for n, _, number in entries
    ]
    classes = [entry for entry, left_out in zip(entries, ignored, strict=True) if not left_out]
    numbers = [i if number is None else number for i, (_, _, number) in enumerate(classes)]
    by_id = {number: entry for number, entry in reversed(list(zip(numbers, classes, strict=True)))}
    ids: dict[str, int] = {}
    clashes = 0
    for number, (_, code, _) in zip(numbers, classes, strict=True):
        if code is not None:
            clashes += ids.setdefault(f"#{code:06x}", number) != number
    coloured = sum(code is not None for _, code, _ in classes)
    for (_, code, _), left_out in zip(entries, ignored, strict=True):
        if left_out and code is not None:
            ids.setdefault(f"#{code:06x}", IGNORE_ID)
    whole = sorted(by_id) == list(range(len(by_id))) and coloured in (0, len(classes))
    if clashes or not whole or not 1 <= len(by_id) <= label_maps.MAX_CLASSES:
        raise ValueError(
            "Expected a palette of at least one class, each with a colour of its own (or all "
            f"without), ids from 0 without gaps, and of at most {label_maps.MAX_CLASSES}. "
            f"Received: palette={path} with {len(entries)} entries, {len(ids)} colours, ids "
            f"{sorted(by_id)[:3]}..{max(by_id, default=None)}."
        )
    ordered = [by_id[number] for number in sorted(by_id)]
    names = [name for name, _, _ in ordered]
    return PaletteFile(
        names=None if None in names else [str(name) for name in names],
        ids=ids,
        colours=[tuple(code.to_bytes(3, "big")) for _, code, _ in ordered if code is not None],
        ignores=any(ignored),
    )
