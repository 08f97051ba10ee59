"""Holes in the batches of a pipeline: seeds, starts, workers, caches, and the contract."""

import numpy as np
import pytest
import tensorflow as tf

from data import batch, order, pipeline, transforms
from data.holes import makers
from data.images import decoded_cache
from data.labels import label_maps, no_label_maps
from data.sources import paired_folders, photo_folder, splits
from tests.helpers import batches, image_files

COUNT, SIZE = 7, (8, 6)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    return image_files.write_folder(folder, {"train": COUNT, "validation": 3}, (10, 8))


def make(root, kind="memory", cache_folder=None, in_step=False, **changes):
    settings = {
        "source": photo_folder.PhotoFolder(root, photos="photos", splits=splits.FolderSplits()),
        "image_size": list(SIZE),
        "encoding": no_label_maps.NoLabelMaps("none", mask_in_step=in_step),
        "resize": transforms.Resize([10, 8]),
        "augmentations": {"crop": transforms.RandomCrop(list(SIZE)),
                          "flip": transforms.RandomFlip()},
        "cache": decoded_cache.CacheSettings(kind, cache_folder),
        "holes": makers.RandomRectangle(0.5, shrink=0),
        "seed": 5,
    }  # fmt: skip
    return pipeline.ImagePipeline(**{**settings, **changes})


def test_batches_hold_holes_and_masked_images(root):
    pipe = make(root)
    dataset = pipe.training_dataset(global_batch_size=3)
    for spec in (pipe.element_spec, dataset.element_spec):
        assert set(spec) == {"image", "hole", "masked_image"}
        batch.check_batch(spec, required=("hole", "masked_image"))
    assert dataset.element_spec["hole"] == tf.TensorSpec([3, *SIZE, 1], tf.float32)
    for found in batches.take(dataset, 3):
        batch.check_batch(found)
        assert found["hole"].sum((1, 2, 3)).tolist() == [4 * 3] * 3  # 4 x 3 of 8 x 6
        missing = found["hole"][..., 0] == 1
        assert (found["masked_image"][missing] == 0).all()
        np.testing.assert_array_equal(found["masked_image"][~missing], found["image"][~missing])
    assert set(make(root, holes=None).element_spec) == {"image"}


def test_a_hole_belongs_to_seed_epoch_and_index(root):
    pipe = make(root)
    found = batches.take(pipe.training_dataset(global_batch_size=COUNT), 2)
    names = [record.name for record in pipe.source.records("train")]
    for epoch in range(2):
        for row, name in enumerate(pipe.batch_names(epoch, COUNT)):
            index = tf.constant(names.index(name), tf.int64)
            seed = order.hole_seed(5, tf.constant(epoch, tf.int64), index)
            np.testing.assert_array_equal(found[epoch]["hole"][row], pipe.holes(seed, *SIZE))
    (other,) = batches.take(make(root, seed=6).training_dataset(global_batch_size=COUNT), 1)
    sets = [{h.tobytes() for h in b["hole"]} for b in (*found, other)]
    assert all(len(images) > 3 for images in sets) and len(set.union(*sets)) > 8
    # Holes are beside the augmentations, not among them: photographs stay what they were.
    (plain,) = batches.take(make(root, holes=None).training_dataset(global_batch_size=COUNT), 1)
    np.testing.assert_array_equal(plain["image"], found[0]["image"])


@pytest.mark.parametrize("start", [1, 5])
def test_starting_late_equals_skipping(root, start):
    pipe = make(root)
    whole = batches.take(pipe.training_dataset(0, global_batch_size=3), start + 2)
    batches.assert_same(
        batches.take(pipe.training_dataset(start, global_batch_size=3), 2), whole[start:]
    )


@pytest.mark.slow
def test_workers_and_caches_change_nothing(root, tmp_path):
    whole = batches.take(make(root).training_dataset(global_batch_size=4), 4)
    for kind in ("file", "none"):
        pipe = make(root, kind, tmp_path)
        batches.assert_same(batches.take(pipe.training_dataset(global_batch_size=4), 4), whole)
    assert {len(p.read_bytes()) for p in tmp_path.rglob("*.uint8")} == {
        10 * 8 * 3 + 8
    }  # a checksum, no holes
    parts = [
        batches.take(make(root).training_dataset(global_batch_size=4, worker=w, num_workers=2), 4)
        for w in range(2)
    ]
    joined = [
        {k: np.concatenate([a[k], b[k]]) for k in a} for a, b in zip(*parts, strict=True)
    ]  # fmt: skip
    batches.assert_same(joined, whole)


def test_evaluation_holes_never_change(root):
    first, again = (
        batches.take(make(root, **changes).evaluation_dataset("validation", 2), 2)
        for changes in ({}, {"seed": 9, "augmentations": None})
    )
    batches.assert_same(first, again)
    shown = np.concatenate([b["hole"] for b in first])
    assert len({hole.tobytes() for hole in shown[:3]}) == 3
    np.testing.assert_array_equal(shown[3], shown[2])  # the padding repeats the last item
    names, examples = make(root).examples("validation")
    assert len(names) == 3
    np.testing.assert_array_equal(examples["hole"], shown[:3])
    batch.check_batch(examples, required=("masked_image",))
    for index in range(3):
        expected = make(root).holes.fixed(tf.constant(index, tf.int64), *SIZE)
        np.testing.assert_array_equal(shown[index], expected)


def test_masking_inside_the_step_gives_the_same(root):
    lean, whole = make(root, in_step=True), make(root)
    batch.check_batch(lean.element_spec, preprocessed=False)
    (raw,) = batches.take(lean.training_dataset(global_batch_size=3), 1)
    assert set(raw) == {"image", "hole"}
    assert raw["image"].dtype == raw["hole"].dtype == np.uint8
    batch.check_batch(raw, preprocessed=False)
    finish = tf.function(lean.preprocess)
    finished = {k: v.numpy() for k, v in finish(raw).items()}
    (expected,) = batches.take(whole.training_dataset(global_batch_size=3), 1)
    batches.assert_same([finished], [expected])
    again = whole.preprocess({k: tf.constant(v) for k, v in expected.items()})
    batches.assert_same([{k: v.numpy() for k, v in again.items()}], [expected])


def test_holes_beside_label_maps(root):
    pipe = make(
        root,
        source=paired_folders.PairedFolders(root),
        encoding=label_maps.LabelEncoding(4, check="none"),
    )
    keys = {"image", "label_map", "mask", "hole", "masked_image"}
    assert set(pipe.element_spec) == keys
    (found,) = batches.take(pipe.training_dataset(global_batch_size=2), 1)
    assert set(found) == keys
    batch.check_batch(found, num_classes=4)


def test_a_hole_that_cannot_be_is_found_by_the_check(root):
    make(root).check()
    with pytest.raises(ValueError, match="must fit into the image"):
        make(root, holes=makers.RandomRectangle(64, shrink=0)).check()


def test_the_contract_of_holes():
    hole = np.zeros((2, 4, 4, 1), np.float32)
    hole[:, 1:3] = 1
    image = np.linspace(-1, 1, 96, dtype=np.float32).reshape(2, 4, 4, 3)
    good = {"image": image, "hole": hole, "masked_image": image * (1 - hole)}
    batch.check_batch(good)
    with pytest.raises(ValueError, match=r"`hole` must hold 0 \(known\) and 1.*\[0.0, 255.0\]"):
        batch.check_batch(good | {"hole": hole * 255})
    with pytest.raises(ValueError, match=r"`masked_image` must be image \* \(1 - hole\)"):
        batch.check_batch(good | {"masked_image": image * hole})
    with pytest.raises(ValueError, match="`hole` must be float32.*Received: dtype=uint8"):
        batch.check_batch(good | {"hole": hole.astype(np.uint8)})
    with pytest.raises(ValueError, match="`hole` must have rank 4 with 1 channels"):
        batch.check_batch(good | {"hole": np.repeat(hole, 3, -1)})
