"""Annotations of COCO and labelme, converted by scripts/prepare_dataset.py."""

import json

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from data.labels import annotations
from scripts.preparing import commands, data_config
from tests.helpers import label_sets

SIZE = (24, 32)
STEMS = ("train/a 1", "train/b", "val/c")


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "set"
    for stem in (*STEMS, "train/unseen"):
        (root / "photos" / stem).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1], (9, 99, 200)).save(root / f"photos/{stem}.jpg")
    return root


def converted(source, **settings):
    out = source.parent / "out"
    config = label_sets.settings("convert", source=source, out=out, preview_count=0, **settings)
    commands.convert(config)
    encoding = OmegaConf.load(out / data_config.FILE).encoding
    return label_sets.converted_ids(out), encoding


def box(x, y, width, height):
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def instances():
    """A large box, a smaller one in it that is written first, a crowd in runs."""
    runs = np.zeros(SIZE, np.uint8)
    runs[20:, 30:] = 1
    changes = np.flatnonzero(np.diff(runs.ravel("F"), prepend=0)).tolist()
    counts = np.diff([0, *changes, runs.size]).tolist()
    shapes = [
        {"category_id": 7, "segmentation": [box(6, 6, 2, 2), box(10, 6, 2, 2)], "area": 8},
        {"category_id": 3, "segmentation": [box(4, 4, 10, 8)], "area": 80},
        {"category_id": 3, "segmentation": {"size": SIZE, "counts": counts}, "iscrowd": 1},
    ]
    return {
        "images": [{"id": i, "file_name": f"{stem.split('/')[-1]}.jpg", "height": 24, "width": 32}
                   for i, stem in enumerate(STEMS)],
        "annotations": [{"id": i, "image_id": 0, **shape} for i, shape in enumerate(shapes)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
    }  # fmt: skip


def expected_instances():
    ids = np.zeros(SIZE, np.uint8)
    ids[4:12, 4:14] = 1
    ids[6:8, 6:8] = ids[6:8, 10:12] = 2
    ids[20:, 30:] = 255
    return ids


def test_coco_instances(source, capsys):
    (source / "instances.json").write_text(json.dumps(instances()))
    ids, encoding = converted(source, annotations=source / "instances.json")
    assert sorted(ids) == ["a 1", "b", "c"]
    np.testing.assert_array_equal(ids["a 1"], expected_instances())
    assert (ids["b"] == 0).all()
    assert list(encoding.class_names) == ["background", "dog", "cat"]
    assert encoding.ignore_index == 255
    assert "1 photographs without annotations are left out: ['train/unseen']" in (
        capsys.readouterr().out
    )
    assert not list(source.parent.glob(".*"))  # the maps drawn on the way are gone


def test_coco_panoptic(source):
    numbers = {70_000: 2, 5: 1, 300: 1}
    (source / "panoptic/train").mkdir(parents=True)
    segments = np.zeros(SIZE, np.int64)
    segments[2:], segments[8:], segments[16:] = 70_000, 5, 300
    rgb = np.stack([segments % 256, segments // 256 % 256, segments // 65536], -1)
    Image.fromarray(rgb.astype(np.uint8)).save(source / "panoptic/a.png")
    content = {
        "images": [{"id": 4, "file_name": "a 1.jpg"}, {"id": 5, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 4, "file_name": "a.png", "segments_info": [
            {"id": n, "category_id": c, "iscrowd": int(n == 300)} for n, c in numbers.items()]}],
        "categories": [{"id": 2, "name": "sky", "color": [1, 2, 3]},
                       {"id": 1, "name": "sea", "color": [4, 5, 6]}],
    }  # fmt: skip
    path = source / "panoptic.json"
    path.write_text(json.dumps(content))
    out = source.parent / "maps"
    drawn = annotations.draw(path, source / "photos", source / "panoptic", out)
    assert drawn == annotations.Drawn(["sea", "sky"], [(4, 5, 6), (1, 2, 3)])
    ids = np.asarray(Image.open(out / "train/a 1.png"))
    assert ids[:, 0].tolist() == [255] * 2 + [1] * 6 + [0] * 8 + [255] * 8
    content["annotations"][0]["segments_info"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a.png: segments that the JSON file does not.*\[300\]"):
        annotations.draw(path, source / "photos", source / "panoptic", out)


def labelme(stem, shapes):
    return {
        "imagePath": f"..\\pictures\\{stem.split('/')[-1]}.jpg",
        "imageHeight": 24,
        "imageWidth": 32,
        "shapes": [{"label": la, "points": p, "shape_type": kind} for la, p, kind in shapes],
    }  # fmt: skip


def write_labelme(source, shapes):
    for stem in STEMS:
        (source / "json" / stem).parent.mkdir(parents=True, exist_ok=True)
        (source / f"json/{stem}.json").write_text(json.dumps(labelme(stem, shapes)))
    return source / "json"


def test_labelme(source):
    shapes = [
        ("tree", [[2, 2], [12, 2], [12, 12], [2, 12]], "polygon"),
        ("house", [[20, 20], [4, 4]], "rectangle"),
        ("_background_", [[5, 5], [7, 7]], "rectangle"),
        ("__ignore__", [[26, 6], [26, 9]], "circle"),
    ]
    ids, encoding = converted(source, annotations=write_labelme(source, shapes))
    assert list(encoding.class_names) == ["background", "house", "tree"]
    expected = np.zeros(SIZE, np.uint8)
    expected[2:12, 2:12] = 2
    expected[4:20, 4:20] = 1
    expected[5:7, 5:7] = 0
    y, x = np.mgrid[:24, :32] + 0.5
    circle = (x - 26) ** 2 + (y - 6) ** 2 < 9
    expected[circle] = 255
    for found in ids.values():
        assert (found != expected).sum() <= 2  # of 28 pixels of a circle with 128 corners
    assert sorted(ids) == ["a 1", "b", "c"]


def test_what_is_refused(source):
    settings = {"annotations": source / "x.json"}
    spoiled = instances()
    spoiled["annotations"][0]["segmentation"] = {"size": SIZE, "counts": "aB3"}
    for content, message in (
        ({"images": []}, "x.json: expected a COCO file"),
        ([], "x.json: expected an object"),
        (spoiled, "a 1.jpg: a mask in COCO's compressed form.*id=0"),
        (instances() | {"categories": []}, "x.json: not as COCO writes it"),
    ):
        (source / "x.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            converted(source, **settings)
    (source / "x.json").write_text("{")
    with pytest.raises(ValueError, match="x.json: not a JSON file"):
        converted(source, **settings)
    folder = write_labelme(source, [("tree", [[2, 2], [3, 3]], "line")])
    with pytest.raises(ValueError, match=r"train/a 1.json: .*'line'"):
        converted(source, annotations=folder)
    folder = write_labelme(source, [("tree", box(1, 1, 2, 2), "polygon")])
    with pytest.raises(ValueError, match=r"`class_names` lists every label.*\['tree'\]"):
        converted(source, annotations=folder, class_names=["background", "house"])
    (source / "photos/train/b.jpg").unlink()
    with pytest.raises(ValueError, match="b.json: expected one photograph of this name"):
        converted(source, annotations=folder)
