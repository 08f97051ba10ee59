"""Annotations of COCO and labelme drawn as label maps: polygons, and panoptic PNG with JSON."""

import collections
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from data import files
from data.batch import IGNORE_ID
from data.images import opening
from data.labels import label_maps
from data.sources import folder_source, paired_folders

BACKGROUND = "background"
SUFFIX = ".png"
FINER = 5


@dataclass(frozen=True)
class Drawn:
    """The classes of what was drawn, by id, and their colours where the file gives them."""

    names: list[str]
    colours: list[tuple[int, ...]] | None = None


class AnnotatedPairs(paired_folders.PairedFolders):
    """Photographs and the maps drawn for them; `left_out` names photographs without one."""

    left_out: list[str]

    def _files(self) -> tuple[dict[str, str], dict[str, str]]:
        photos, labels = super()._files()
        self.left_out = sorted(set(photos) - set(labels))
        return {stem: path for stem, path in photos.items() if stem in labels}, labels


def draw(annotations: Path, photos: Path, panoptic: Path, out: Path, names=None) -> Drawn:
    """Writes a label map for every annotated photograph: `out` / its path below `photos`.png.

    COCO: categories in the order of their ids, after the background for instances; small objects
    lie on large ones, crowds are ignored (255), and so is what no segment of a panoptic map covers.
    labelme: the names sorted, after the background; later shapes lie on earlier ones, shapes
    called `__ignore__` are ignored.

    Args:
        annotations: JSON file of COCO, or a folder of JSON files of labelme.
        photos: folder of the photographs.
        panoptic: folder of the PNG files of a panoptic COCO file.
        out: folder to be written.
        names: of the classes by id, background included. Default: as above.

    Raises:
        FileNotFoundError: no such file. ValueError: it holds something else; masks that are
            compressed; more than 254 classes; names that are not listed.
    """
    if annotations.is_dir():
        return _draw_labelme(annotations, photos, out, names)
    content = _read(annotations)
    if not all(isinstance(content.get(k), list) for k in ("images", "annotations", "categories")):
        raise ValueError(
            f"{annotations}: expected a COCO file with images, annotations and categories, or a "
            f"folder of labelme's JSON files. Received: keys={sorted(map(str, content))[:9]}"
        )
    try:
        return _draw_coco(content, _Photographs(photos), panoptic, out, names)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{annotations}: not as COCO writes it: {error!r}") from None


class _Photographs:
    """Stems of photographs below a folder, by what annotations call them."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self._by_stem = folder_source.paths_by_stem(folder, folder_source.PHOTO_SUFFIXES)
        self._by_name = collections.defaultdict(list)
        for stem in self._by_stem:
            self._by_name[os.path.basename(stem)].append(stem)

    def stem(self, *names: str, where) -> str:
        """The stem of a path as annotations write it: below the folder, or its last part alone."""
        stems = [folder_source.stem_of(name.replace("\\", "/")) for name in names]
        found = [stem for stem in stems if stem in self._by_stem][:1]
        found = found or self._by_name[os.path.basename(stems[-1])]
        if len(found) != 1:
            raise ValueError(
                f"{where}: expected one photograph of this name below {self._folder}. Received: "
                f"{names[-1]!r}, {folder_source.first_few(found)}"
            )
        return found[0]


def _draw_coco(content, photographs, panoptic, out, names) -> Drawn:
    is_panoptic = any("segments_info" in a for a in content["annotations"])
    categories = sorted(content["categories"], key=lambda category: category["id"])
    first = [] if is_panoptic else [BACKGROUND]
    names = _checked(names or first + [str(c["name"]) for c in categories], len(first + categories))
    ids = {category["id"]: i for i, category in enumerate(categories, len(first))}
    of_image = collections.defaultdict(list)
    for annotation in content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    for image in tqdm(content["images"], "Drawing", disable=None):
        members = of_image[image["id"]]
        if is_panoptic and not members:
            continue
        where = image["file_name"]
        if is_panoptic:
            found = _segments(panoptic, members[0], ids)
        else:
            found = np.zeros((image["height"], image["width"]), np.uint8)
            members = sorted(members, key=lambda a: -float(a.get("area", 0)))
            found = _drawn(found, ((_class_of(m, ids), _coco_shape(m, where)) for m in members))
        _write(out, photographs.stem(where, where=where), found)
    colours = [tuple(c["color"]) for c in categories if c.get("color")]
    return Drawn(names, colours if is_panoptic and len(colours) == len(names) else None)


def _class_of(annotation, ids) -> int:
    return IGNORE_ID if annotation.get("iscrowd") else ids[annotation["category_id"]]


def _segments(folder: Path, annotation, ids) -> np.ndarray:
    """Class ids of a panoptic PNG, whose colours are the ids of segments."""
    path = folder / annotation["file_name"]
    with opening.opened(files.read_bytes(path, "panoptic map"), os.fspath(path)) as image:
        segments = np.asarray(image.convert("RGB")).astype(np.int64) @ [1, 256, 65536]
    known = {0: IGNORE_ID}
    known |= {segment["id"]: _class_of(segment, ids) for segment in annotation["segments_info"]}
    values, places = np.unique(segments, return_inverse=True)
    unknown = sorted(set(values.tolist()) - set(known))
    if unknown:
        raise ValueError(f"{path}: segments that the JSON file does not list: {unknown[:5]}")
    return np.array([known[int(v)] for v in values], np.uint8)[places].reshape(segments.shape)


def _coco_shape(annotation, where) -> Callable:
    shape = annotation["segmentation"]
    if isinstance(shape, list):
        return lambda pen, value: _polygons(pen, [np.reshape(p, (-1, 2)) for p in shape], value)
    if not isinstance(shape["counts"], list):
        raise ValueError(
            f"{where}: a mask in COCO's compressed form is not read. Received: annotation "
            f"id={annotation.get('id')}. Write it as polygons or as a list of counts, for example "
            "with pycocotools"
        )
    ends = np.cumsum(shape["counts"])
    inside = np.searchsorted(ends, np.arange(ends[-1]), side="right") % 2
    mask = Image.fromarray(inside.reshape(shape["size"], order="F").astype(np.uint8) * 255)
    return lambda pen, value: pen.bitmap((0, 0), mask, fill=value)


def _draw_labelme(folder: Path, photos: Path, out: Path, names) -> Drawn:
    paths = dict(folder_source.walk(folder, (".json",)))
    shapes_of = {stem: _labelme_shapes(path) for stem, path in paths.items()}
    if not shapes_of:
        raise FileNotFoundError(
            f"There are no JSON files of labelme in this folder. Received: annotations={folder}"
        )
    known = {"_background_": 0, BACKGROUND: 0, "__ignore__": IGNORE_ID}
    found = {label for _, _, shapes in shapes_of.values() for label, _ in shapes} - set(known)
    names = _checked(names or [BACKGROUND, *sorted(found)])
    known |= {name: i for i, name in enumerate(names)}
    if unlisted := sorted(found - set(known)):
        raise ValueError(f"`class_names` lists every label. Received: not listed {unlisted[:9]}")
    photographs = _Photographs(photos)
    for stem, (photo, size, shapes) in tqdm(shapes_of.items(), "Drawing", disable=None):
        ids = _drawn(np.zeros(size, np.uint8), ((known[la], shape) for la, shape in shapes))
        beside = os.path.join(os.path.dirname(stem), photo)
        _write(out, photographs.stem(f"{stem}.json", beside, where=paths[stem]), ids)
    return Drawn(names)


def _labelme_shapes(path) -> tuple[str, tuple[int, int], list]:
    """(file name of the photograph, (height, width), [(label, what draws it)]) of a file."""
    content = _read(path)
    try:
        size = int(content["imageHeight"]), int(content["imageWidth"])
        shapes = [(str(s["label"]), _labelme_shape(s)) for s in content["shapes"]]
        photo = str(content["imagePath"]).replace("\\", "/")
        return os.path.basename(photo), size, shapes
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not as labelme writes it: {error!r}") from None


def _labelme_shape(shape) -> Callable:
    points = np.reshape(np.array(shape["points"], float), (-1, 2))
    kind = shape.get("shape_type") or "polygon"
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    elif kind == "circle":
        angles = np.linspace(0, 2 * np.pi, 128)
        radius = np.linalg.norm(points[1] - points[0])
        points = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    elif kind != "polygon":
        raise ValueError(f"a shape without an area, or of an unknown kind: {kind!r}")
    return lambda pen, value: _polygons(pen, [points], value)


def _drawn(ids: np.ndarray, shapes: Iterator[tuple[int, Callable]]) -> np.ndarray:
    image = Image.fromarray(ids)
    pen = ImageDraw.Draw(image)
    for value, shape in shapes:
        shape(pen, value)
    return np.asarray(image)


def _polygons(pen, polygons, value) -> None:
    """Fills the pixels whose centres lie inside; annotations count from a pixel's corner.

    Pillow also fills all that an edge touches, so it draws at `FINER` times the size.
    """
    for points in polygons:
        left, top = np.maximum(np.floor(points.min(0)), 0).astype(int).tolist()
        limit = np.minimum(np.ceil(points.max(0)), pen.im.size).astype(int)
        width, height = (limit - [left, top]).tolist()
        if width <= 0 or height <= 0:
            continue
        fine = Image.new("L", (width * FINER, height * FINER))
        corners = (points - [left, top]) * FINER - 0.5
        ImageDraw.Draw(fine).polygon([tuple(corner) for corner in corners.tolist()], fill=255)
        inside = np.asarray(fine)[FINER // 2 :: FINER, FINER // 2 :: FINER]
        pen.bitmap((left, top), Image.fromarray(inside), fill=value)


def _write(out: Path, stem: str, ids: np.ndarray) -> None:
    path = out / f"{stem}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(path)


def _read(path) -> Mapping[str, Any]:
    try:
        content = json.loads(files.read_text(path, "annotation file"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected an object in JSON. Received: {type(content).__name__}")
    return content


def _checked(names, count=None) -> list[str]:
    if len(names) > label_maps.MAX_CLASSES or len(names) != (count or len(names)):
        raise ValueError(
            f"Expected at most {label_maps.MAX_CLASSES} classes, and a name of each, background "
            f"included. Received: {len(names)} names, {count or len(names)} classes"
        )
    return [str(name) for name in names]
