"""Mask folders: reading, both conventions, assignment, and what is wrong with which file."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import order
from data.holes import mask_folder
from tests.helpers import image_files

RNG = np.random.default_rng(3)


def write(folder, **masks):
    """Grey masks, each a bool array (True = 255) or values, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        values = np.uint8(255) * mask if mask.dtype == bool else mask.astype(np.uint8)
        Image.fromarray(values).save(folder / f"{name}.png")
    return folder


def random_masks(count, height=10, width=7, share=0.3):
    return [RNG.random((height, width)) < share for _ in range(count)]


def fixed(maker, index, height=10, width=7):
    return maker.fixed(tf.constant(index, tf.int64), height, width).numpy()[..., 0]


def test_evaluation_takes_the_masks_in_turn(tmp_path):
    masks = random_masks(3)
    maker = mask_folder.MaskFolder(write(tmp_path, a=masks[0], b=masks[1], c=masks[2]))
    for index in range(7):
        np.testing.assert_array_equal(fixed(maker, index), masks[index % 3])
    inverted = mask_folder.MaskFolder(tmp_path, invert=True)
    np.testing.assert_array_equal(fixed(inverted, 1), ~masks[1])


def test_training_draws_every_mask_by_the_seed(tmp_path):
    masks = random_masks(4)
    maker = mask_folder.MaskFolder(write(tmp_path, **dict(zip("abcd", masks, strict=True))))

    def holes(count):
        zero = tf.constant(0, tf.int64)
        dataset = tf.data.Dataset.range(count).map(
            lambda index: maker(order.hole_seed(0, zero, index), 10, 7)
        )
        assert dataset.element_spec == tf.TensorSpec([10, 7, 1], tf.uint8)
        return np.stack(list(dataset.as_numpy_iterator()))[..., 0]

    found = holes(200)
    counts = [(found == mask).all((1, 2)).sum() for mask in masks]
    assert sum(counts) == 200 and min(counts) > 25
    np.testing.assert_array_equal(found[:50], holes(50))


def test_nearest_resize_and_threshold(tmp_path):
    values = np.array([[0, 127, 128, 255]] * 2)
    maker = mask_folder.MaskFolder(write(tmp_path, a=values))
    np.testing.assert_array_equal(fixed(maker, 0, 4, 8), [[0, 0, 0, 0, 1, 1, 1, 1]] * 4)
    np.testing.assert_array_equal(fixed(maker, 0, 1, 4), [[0, 0, 1, 1]])  # two sizes, one maker


def test_file_kinds_and_folders(tmp_path):
    mask = random_masks(1)[0]
    grey = np.uint8(255) * mask
    (tmp_path / "deep/er").mkdir(parents=True)
    Image.fromarray(grey).save(tmp_path / "a.bmp")
    Image.fromarray(mask).save(tmp_path / "b.png")  # one bit
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "deep/c.PNG")
    palette = [(255, 255, 255), (0, 0, 0)]  # index 0 is white
    (tmp_path / "deep/d.bmp").write_bytes(image_files.bmp_bytes(1 - mask, 1, palette))
    Image.fromarray(np.repeat(np.repeat(grey, 16, 0), 16, 1)).save(tmp_path / "deep/er/e.jpg",
                                                                   quality=95)  # fmt: skip
    (tmp_path / "notes.txt").write_text("not a mask")
    maker = mask_folder.MaskFolder(tmp_path)
    for index in range(5):
        np.testing.assert_array_equal(fixed(maker, index), mask)


def test_masks_are_read_once_and_held_as_bits(tmp_path, monkeypatch):
    maker = mask_folder.MaskFolder(write(tmp_path, a=random_masks(1)[0]))
    first = fixed(maker, 0)
    monkeypatch.setattr(Image, "open", None)
    np.testing.assert_array_equal(fixed(maker, 0), first)
    assert [tensor.shape for tensor in maker._masks.values()] == [(1, 9)]  # 70 pixels


def test_mostly_white_masks_draw_a_warning(tmp_path, caplog):
    write(tmp_path, a=np.arange(100).reshape(10, 10) < 70)
    with caplog.at_level(logging.INFO):
        fixed(mask_folder.MaskFolder(tmp_path), 0)
    assert "1 masks, 70.0 % of their area missing" in caplog.text
    assert "70 % of the area" in caplog.text and "data.holes.invert=true" in caplog.text
    caplog.clear()
    fixed(mask_folder.MaskFolder(tmp_path, invert=True), 0)
    assert "WARNING" not in caplog.text
    write(tmp_path, a=np.arange(100).reshape(10, 10) < 30)
    fixed(mask_folder.MaskFolder(tmp_path, invert=True), 0)
    assert "data.holes.invert=false" in caplog.text


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Received: data.holes.folder -> .*nowhere"):
        fixed(mask_folder.MaskFolder(tmp_path / "nowhere"), 0)
    with pytest.raises(ValueError, match="no masks in this folder. Received: data.holes.folder"):
        fixed(mask_folder.MaskFolder(tmp_path), 0)
    black = write(tmp_path / "black", a=np.eye(8, dtype=bool), b=np.ones((8, 8)))
    with pytest.raises(ValueError, match=r"b.png: the mask has no missing pixel at 10x7.*1\.\.1"):
        fixed(mask_folder.MaskFolder(black), 0)
    with pytest.raises(ValueError, match="b.png: the mask has no known pixel.*invert=true"):
        fixed(mask_folder.MaskFolder(black, invert=True), 0)
    broken = write(tmp_path / "broken", a=np.eye(8, dtype=bool))
    data = (broken / "a.png").read_bytes()
    (broken / "a.png").write_bytes(data[:50])
    with pytest.raises(ValueError, match="a.png: .*Replace or remove the file"):
        fixed(mask_folder.MaskFolder(broken), 0)
    many = write(tmp_path / "many", **dict(zip("abc", random_masks(3), strict=True)))
    with pytest.raises(ValueError, match="3 masks of 10x7 .*memory_limit_gib=1e-08. Raise"):
        fixed(mask_folder.MaskFolder(many, memory_limit_gib=1e-8), 0)
