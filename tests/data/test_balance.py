"""Training that draws classes evenly: counts, orders, and the same from any start."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from data import balance
from data.labels import no_label_maps
from data.pipeline import ImagePipeline
from data.sources import class_folders, paired_folders, splits
from tests.helpers import batches, pairs

LABELS = [0, 0, 0, 0, 0, 0, 0, 2, 2, 5]  # 7, 2 and 1; 1, 3 and 4 have no example


def line(count, seed=3, first=0):
    example = tf.function(balance.ClassBalance(LABELS, seed).example_at)
    found = [example(tf.constant(p, tf.int64)) for p in range(first, first + count)]
    return [(int(epoch), int(index)) for epoch, index in found]


def test_each_round_has_every_class_and_each_class_its_items_in_turn():
    found = line(3 * 14)
    for first in range(0, len(found), 3):
        assert {LABELS[index] for _, index in found[first : first + 3]} == {0, 2, 5}
    for label, count in ((0, 7), (2, 2), (5, 1)):
        own = [(epoch, index) for epoch, index in found if LABELS[index] == label]
        for epoch in range(14 // count):
            shown = own[epoch * count : (epoch + 1) * count]
            assert {e for e, _ in shown} == {epoch}
            assert sorted(i for _, i in shown) == [i for i, of in enumerate(LABELS) if of == label]
    assert len(set(found)) == len(found)  # seeds of augmentations differ


def test_orders_are_unbiased_and_differ_by_seed():
    assert line(30) != line(30, seed=4)
    orders = collections.Counter()
    example = tf.function(balance.ClassBalance([0, 0, 0], 1).example_at)
    for epoch in range(300):
        places = range(3 * epoch, 3 * epoch + 3)
        orders[tuple(int(example(tf.constant(p, tf.int64))[1]) for p in places)] += 1
    expected = 300 / 6
    assert len(orders) == 6
    assert sum((n - expected) ** 2 / expected for n in orders.values()) < 20.5  # p = 0.001, 5 dof


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Ten training images of class a and two of b."""
    root = tmp_path_factory.mktemp("classes")
    for name, count in (("a", 10), ("b", 2)):
        for split, of in (("train", count), ("validation", 2)):
            (root / split / name).mkdir(parents=True)
            for index in range(of):
                image = np.full([8, 8, 3], 16 * index + (128 if name == "b" else 0), np.uint8)
                path = root / split / name / f"{index}.png"
                tf.io.write_file(str(path), tf.io.encode_png(image))
    return root


def pipeline(root, **settings):
    source = class_folders.ClassFolders(root, splits=splits.FolderSplits())
    encoding = no_label_maps.NoLabelMaps()
    return ImagePipeline(source, [8, 8], encoding=encoding, class_balanced=True, **settings)


def test_batches_are_balanced_named_rightly_and_start_anywhere(root):
    pipe = pipeline(root)
    whole = batches.take(pipe.training_dataset(0, global_batch_size=4), 8)
    for number, batch in enumerate(whole):
        assert sorted(np.ravel(batch["label"])) == [0, 0, 1, 1]
        names = pipe.batch_names(number, 4)
        assert ["ab".index(name.split("/")[1]) for name in names] == list(np.ravel(batch["label"]))
    later = batches.take(pipeline(root).training_dataset(5, global_batch_size=4), 3)
    for found, expected in zip(later, whole[5:], strict=True):
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value)
    halves = [
        batches.take(pipe.training_dataset(0, global_batch_size=4, worker=w, num_workers=2), 8)
        for w in range(2)
    ]
    for batch, *parts in zip(whole, *halves, strict=True):
        joined = np.concatenate([part["image"] for part in parts])
        np.testing.assert_array_equal(joined, batch["image"])


def test_a_part_of_an_evaluation_has_every_class(root):
    (found,) = batches.take(pipeline(root).evaluation_dataset("validation", 2, 2), 9)
    assert list(np.ravel(found["label"])) == [0, 1]  # of a, a, b, b


def test_data_without_classes_say_so(tmp_path):
    pairs.write(tmp_path)
    source = paired_folders.PairedFolders(tmp_path)
    with pytest.raises(ValueError, match=r"class_balanced=true.*class_folders"):
        pairs.make(tmp_path, source=source, class_balanced=True).check()
