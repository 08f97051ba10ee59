"""Class ids: ignore_index, id_map, foreign values, the decoding op and the one-hot mask."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.labels import label_maps
from tests.helpers import image_files


def encoded(values, **settings):
    return label_maps.LabelEncoding(**settings).lookup[np.asarray(values)].tolist()


def decode(path, encoding):
    """The op as tf.data runs it: inside a graph."""
    read = tf.function(lambda p: label_maps.decode_contents(tf.io.read_file(p), p, encoding))
    return read(tf.constant(str(path)))


def test_ids_of_values():
    assert encoded([0, 2, 3, 255], num_classes=3) == [0, 2, 254, 254]
    assert encoded([0, 2, 3, 255], num_classes=3, ignore_index=255) == [0, 2, 254, 255]
    assert encoded([0, 2, 3], num_classes=3, ignore_index=0) == [255, 2, 254]
    assert encoded([1, 2, 9, 0], num_classes=2, id_map={1: 0, "2": 1, 9: 255}) == [0, 1, 255, 254]
    assert encoded([0, 1, 2], num_classes=2, id_map={1: 0, 2: 1}, ignore_index=0) == [255, 0, 1]


@pytest.mark.parametrize(
    "settings", [{}, {"ignore_index": 255}, {"id_map": {3: 0, 1: 1, 255: 255}}]
)
@pytest.mark.parametrize("kind", ["8-bit", "4-bit", "png"])
def test_op_and_plain_reading_agree(tmp_path, settings, kind):
    classes = 2 if "id_map" in settings else 4
    allowed = {"id_map": [1, 3]}.get(next(iter(settings), ""), [0, 1, 2, 3])
    extra = [255] if settings and kind != "4-bit" else []
    values = np.random.default_rng(0).choice(allowed + extra, (6, 9)).astype(np.uint8)
    path = tmp_path / "map.bmp"
    if kind == "png":
        Image.fromarray(values).save(path, "PNG")
    else:
        path.write_bytes(image_files.bmp_bytes(values, int(kind[0])))
    encoding = label_maps.LabelEncoding(classes, **settings)
    plain = encoding.read(path)
    in_graph = decode(path, encoding)
    np.testing.assert_array_equal(in_graph, plain)
    np.testing.assert_array_equal(plain, encoding.lookup[values])
    assert plain.dtype == np.uint8 and in_graph.dtype == tf.uint8


@pytest.mark.parametrize("kind", ["8-bit", "4-bit"])
@pytest.mark.parametrize("settings", [{}, {"ignore_index": 255}])
def test_foreign_ids_are_errors_in_the_op_and_in_plain_reading(tmp_path, settings, kind):
    path = tmp_path / "map.bmp"
    path.write_bytes(image_files.bmp_bytes(np.full((4, 4), 12, np.uint8), int(kind[0])))
    encoding = label_maps.LabelEncoding(12, **settings)
    with pytest.raises(ValueError, match=r"map.bmp: label map values .* Received: \[12\].*=13"):
        encoding.read(path)
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)map.bmp.*mean no class"):
        decode(path, encoding)


def test_advice_names_the_setting():
    encoding = label_maps.LabelEncoding(12)
    assert "data.encoding.ignore_index=255" in encoding.advice_for([255])
    assert "data.encoding.num_classes=14" in encoding.advice_for([12, 13, 255])
    assert "data.encoding.ignore_index=12 " in encoding.advice_for([12])
    mapped = label_maps.LabelEncoding(2, id_map={1: 0, 2: 1})
    assert "Add [0] to data.encoding.id_map" in mapped.advice_for([0])
    assert mapped.describe_known_values() == "values [1, 2]"


def test_one_hot_of_ignore_is_all_zero():
    ids = np.array([[0, 1, 2], [255, 2, 0]], np.uint8)
    mask = label_maps.one_hot_mask(ids, 3)
    expected = np.zeros((2, 3, 3), np.float32)
    for y in range(2):
        for x in range(3):
            if ids[y, x] != 255:
                expected[y, x, ids[y, x]] = 1
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(label_maps.one_hot_mask(ids.astype(np.int32), 3), expected)
    assert mask.dtype == tf.float32


def test_palette_of_colours_reaches_the_op(tmp_path):
    rgb = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    path = tmp_path / "map.bmp"
    path.write_bytes(image_files.rgb_bmp_bytes(rgb))
    encoding = label_maps.LabelEncoding(2, palette=[[255, 0, 0], [0, 255, 0]])
    np.testing.assert_array_equal(decode(path, encoding), [[0, 1]])
    with pytest.raises(tf.errors.OpError, match="map.bmp: holds colours"):
        decode(path, label_maps.LabelEncoding(2))


def test_names_and_colours_have_defaults_and_are_counted():
    encoding = label_maps.LabelEncoding(3)
    assert encoding.class_names == ("class 0", "class 1", "class 2")
    assert encoding.class_colors == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert len(set(label_maps.voc_colors(254))) == 254
    colors = encoding.colors_of(np.array([[1, 255]]))
    np.testing.assert_array_equal(colors, [[[128, 0, 0], [0, 0, 0]]])
    with pytest.raises(ValueError, match="`class_names` must have one entry per class"):
        label_maps.LabelEncoding(3, ["a", "b"])
    with pytest.raises(ValueError, match="`class_colors` must have one entry per class"):
        label_maps.LabelEncoding(3, class_colors=[[0, 0, 0]])


def test_values_of_16_bits_are_mapped_before_they_are_limited(tmp_path):
    values = np.array([[0, 1, 65535, 24003]], np.uint16)
    path = tmp_path / "1.png"

    def decoded(encoding):
        read = tf.function(lambda data: label_maps.decode_contents(data, str(path), encoding))
        return read(tf.constant(path.read_bytes()))

    Image.fromarray(values).save(path)
    for settings, expected in (
        ({"id_map": {0: 0, 1: 1, 24003: 2, 65535: 255}}, [[0, 1, 255, 2]]),
        ({"id_map": {0: 0, 1: 1, 24003: 0}, "ignore_index": 65535}, [[0, 1, 255, 0]]),
    ):
        encoding = label_maps.LabelEncoding(3, **settings)
        np.testing.assert_array_equal(encoding.read(path), expected)
        np.testing.assert_array_equal(decoded(encoding), expected)
    for settings in ({}, {"ignore_index": 65535}, {"id_map": {0: 0, 1: 1, 65535: 255}}):
        encoding = label_maps.LabelEncoding(3, **settings)
        with pytest.raises(ValueError, match=r"1.png: .* Received: \[24003"):
            encoding.read(path)
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="1.png.*values that mean no class"
        ):
            decoded(encoding)
    assert label_maps.LabelEncoding(3).ids_of(np.uint16(300)) == label_maps.FOREIGN_ID
    assert label_maps.LabelEncoding(3).advice_for([65535]).endswith("ignore_index=65535")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 0}, "`num_classes` must be an integer in 1..254"),
        ({"num_classes": 255}, "`num_classes` must be an integer in 1..254"),
        ({"num_classes": 2, "ignore_index": 65536}, "`ignore_index` is a file value"),
        ({"num_classes": 2, "id_map": [0, 1]}, "`id_map` maps file values"),
        ({"num_classes": 2, "id_map": {0: 2}}, "to ids 0..1 or 255"),
        ({"num_classes": 2, "id_map": {0: 1}, "ignore_index": 0}, "either ignored or mapped"),
        ({"num_classes": 2, "check": "some"}, "`check` is 'all', 'sample"),
        ({"num_classes": 2, "check": "sample:0"}, "`check` is 'all', 'sample"),
    ],
)
def test_contradicting_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        label_maps.LabelEncoding(**settings)


def test_check_setting():
    sizes = {check: label_maps.LabelEncoding(2, check=check).sample_size
             for check in ("all", "none", "sample:20")}  # fmt: skip
    assert sizes == {"all": None, "none": 0, "sample:20": 20}
