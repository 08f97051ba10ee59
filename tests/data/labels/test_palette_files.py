"""Palettes as people and tools write them."""

import json

import pytest

from data.labels import palette_files

COLOURS = {"background": [0, 0, 0], "my house": [128, 0, 0], "tree": [0, 128, 0]}
CITYSCAPES = [
    {"name": "unlabeled", "id": 0, "trainId": 255, "color": [0, 0, 0]},
    {"name": "static", "id": 4, "trainId": 255, "color": [0, 0, 0]},
    {"name": "tree", "id": 21, "trainId": 2, "color": [0, 128, 0]},
    {"name": "background", "id": 7, "trainId": 0, "color": [0, 0, 9]},
    {"name": "my house", "id": 11, "trainId": 1, "color": [128, 0, 0]},
    {"name": "license plate", "id": -1, "trainId": -1, "color": [128, 0, 0]},
]


def dicts(key="color", name="name", form=list):
    return [{name: n, key: form(c), "id": 7 * i} for i, (n, c) in enumerate(COLOURS.items())]


def hexadecimal(colour):
    return "#{:02X}{:02x}{:02x}".format(*colour)


FILES = {
    "tabs.json": json.dumps(COLOURS, indent="\t"),
    "plain.yaml": "background: [0, 0, 0]\nmy house: [128, 0, 0]\ntree: '#008000'\n",
    "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
                    "my house:128,0,0::\r\ntree:0,128,0:x,y:\n",
    "class_dict.csv": "name,r,g,b\nbackground,0,0,0\nmy house,128,0,0\ntree,0,128,0\n",
    "semicolons.csv": "Class;Red;Green;Blue\nbackground;0;0;0\nmy house;128;0;0\ntree;0;128;0\n",
    "label_colors.txt": "0 0 0\tbackground\n128 0 0\t\tmy house\n0 128 0 tree\n",
    "supervisely.json": json.dumps({"classes": dicts(name="title", form=hexadecimal), "tags": []}),
    "machine_color.json": json.dumps({n: [*c] for n, c in COLOURS.items()}),
    "mapillary.json": json.dumps({"labels": dicts(), "version": "1.2"}),
    "coco.json": json.dumps({"categories": dicts(), "info": {}}),
    "list.json": json.dumps(dicts()),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", FILES)
def test_palettes_of_tools(tmp_path, name, encoding):
    (tmp_path / name).write_bytes(FILES[name].encode(encoding))
    found = palette_files.load_palette(tmp_path / name)
    assert found.names == list(COLOURS) and not found.ignores
    assert found.ids == {"#000000": 0, "#800000": 1, "#008000": 2}
    assert found.colours == [tuple(c) for c in COLOURS.values()]


def test_train_ids_are_the_ids(tmp_path):
    (tmp_path / "cityscapes.json").write_text(json.dumps(CITYSCAPES))
    found = palette_files.load_palette(tmp_path / "cityscapes.json")
    assert found.names == ["background", "my house", "tree"] and found.ignores
    assert found.ids == {"#000000": 255, "#000009": 0, "#800000": 1, "#008000": 2}


@pytest.mark.parametrize(
    ("name", "text", "ignores"),
    [
        ("_classes.csv", "Pixel Value, Class\n0, background\n2, tree\n1, my house\n", False),
        ("class_names.txt", "__ignore__\nbackground\nmy house\ntree\n", True),
    ],
)
def test_names_alone(tmp_path, name, text, ignores):
    (tmp_path / name).write_text(text)
    found = palette_files.load_palette(tmp_path / name)
    assert found == palette_files.PaletteFile(list(COLOURS), {}, [], ignores)


@pytest.mark.parametrize("words", ["off on no", "yes null 2024 012 1.50 ~"])
def test_names_stay_as_they_are_written(tmp_path, words):
    lines = [f"{word}: [{i}, 0, 0]" for i, word in enumerate(words.split())]
    (tmp_path / "p.yaml").write_text("\n".join(lines))
    assert palette_files.load_palette(tmp_path / "p.yaml").names == words.split()


def test_the_parser_is_quoted(tmp_path):
    (tmp_path / "p.json").write_text('{"a": [1, 2, 3],\n "b" [4, 5, 6]}')
    with pytest.raises(ValueError, match="p.json: .*line 2 column"):
        palette_files.load_palette(tmp_path / "p.json")
    (tmp_path / "p.csv").write_text("name,r,g,b\na,1,2,x\n")
    with pytest.raises(ValueError, match="p.csv: .*'1,2,x'"):
        palette_files.load_palette(tmp_path / "p.csv")
