"""The pipeline: exact order, any start, workers, evaluation, and what the batches hold."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import batch, pipeline, transforms
from data.images import decoded_cache, decoding
from data.labels import label_maps
from data.sources import paired_folders
from tests.helpers import batches, image_files, pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pairs.write(tmp_path_factory.mktemp("set"))


def test_batches_keep_the_contract(root):
    pipe = pairs.make(root)
    dataset = pipe.training_dataset(0, global_batch_size=3)
    for spec in (pipe.element_spec, dataset.element_spec):
        batch.check_batch(spec, required=("image", "label_map", "mask", "label"),
                          num_classes=pairs.CLASSES)  # fmt: skip
        assert set(spec) == {"image", "label_map", "mask", "label"}
    for key, spec in dataset.element_spec.items():
        assert spec.shape == [3, *pipe.element_spec[key].shape[1:]]  # full batches, all static
        assert spec.dtype == pipe.element_spec[key].dtype
    (first,) = batches.take(dataset, 1)
    batch.check_batch(first, num_classes=pairs.CLASSES)
    np.testing.assert_array_equal(first["mask"].argmax(-1), first["label_map"])
    np.testing.assert_array_equal(first["mask"].sum(-1), 1)
    # The red channel of the test photographs is ten times the id: geometry is shared.
    np.testing.assert_allclose((first["image"][..., 0] + 1) * 12.75, first["label_map"], atol=1e-4)
    assert (
        pipe.num_classes == pairs.CLASSES and len(pipe.class_names) == len(pipe.class_colors) == 4
    )
    assert pipe.image_class_names == ("a", "b") and pipe.num_examples("validation") == 3


def test_labels_and_names_belong_to_the_images(root):
    pipe = pairs.make(root, load=None, augment=False, image_size=[10, 8])
    records = {record.name: record for record in pipe.source.records("train")}
    for index, found in enumerate(batches.take(pipe.training_dataset(global_batch_size=3), 4)):
        for row, name in enumerate(pipe.batch_names(index, 3)):
            ids = np.asarray(Image.open(records[name].label_map))
            np.testing.assert_array_equal(found["label_map"][row], ids)
            assert found["label"][row] == records[name].label


def test_every_epoch_shows_each_item_once_in_another_order(root):
    pipe = pairs.make(root)
    names = [name for i in range(7 * pairs.COUNT) for name in pipe.batch_names(i, 1)]
    epochs = [names[i * pairs.COUNT : (i + 1) * pairs.COUNT] for i in range(7)]
    assert all(sorted(epoch) == sorted(pipe.evaluation_names("train")) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 4
    assert [pairs.make(root).batch_names(i, 1)[0] for i in range(pairs.COUNT)] == epochs[0]
    assert [pairs.make(root, seed=6).batch_names(i, 1)[0] for i in range(pairs.COUNT)] != epochs[0]
    # A batch over the end of an epoch continues with the next one.
    assert pipe.batch_names(2, 3) == names[6:9]


@pytest.mark.parametrize("start", [1, 2, 3, 50])
def test_starting_late_equals_skipping(root, start):
    pipe = pairs.make(root)
    whole = batches.take(pipe.training_dataset(0, global_batch_size=3), start + 3)
    batches.assert_same(
        batches.take(pipe.training_dataset(start, global_batch_size=3), 3), whole[start:]
    )


def test_starting_late_decodes_nothing_before(root, monkeypatch):
    """Position 0 of the part is read first, however late it starts."""
    seen, read = [], decoding.Decoder.read

    def watched(self, index):
        tf.numpy_function(lambda i: seen.append(int(i)), [index], [])
        return read(self, index)

    monkeypatch.setattr(decoding.Decoder, "read", watched)
    pipe = pairs.make(root, kind="none")
    batches.take(pipe.training_dataset(10**6, global_batch_size=2), 1)
    assert len(seen) < 60  # What the prefetch reads ahead; not two million.


def test_augmentation_differs_between_epochs_but_not_between_runs(root):
    pipe = pairs.make(root)
    first = batches.take(pipe.training_dataset(global_batch_size=pairs.COUNT), 2)
    batches.assert_same(
        first, batches.take(pairs.make(root).training_dataset(global_batch_size=pairs.COUNT), 2)
    )
    order_of = [np.argsort(pipe.batch_names(i, pairs.COUNT)) for i in range(2)]
    images = [b["image"][o] for b, o in zip(first, order_of, strict=True)]
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize(("workers", "replica"), [(2, None), (2, 1), (1, 2), (4, 1)])
def test_workers_and_replicas_cut_the_same_global_batch(root, workers, replica):
    pipe = pairs.make(root)
    whole = batches.take(pipe.training_dataset(2, global_batch_size=4), 3)
    parts = 4 // workers // (replica or 4 // workers)
    pieces = [
        batches.take(
            pipe.training_dataset(2, global_batch_size=4, replica_batch_size=replica,
                                  worker=worker, num_workers=workers),
            3 * parts,
        )
        for worker in range(workers)
    ]  # fmt: skip
    rebuilt = [
        batches.joined([b for piece in pieces for b in piece[i * parts : (i + 1) * parts]])
        for i in range(3)
    ]
    batches.assert_same(rebuilt, whole)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"global_batch_size": 8}, "larger than the training split.*size=8, training examples=7"),
        ({"global_batch_size": 0}, "must be positive and divide"),
        ({"global_batch_size": 3, "num_workers": 2}, "must be positive and divide"),
        ({"global_batch_size": 4, "replica_batch_size": 3}, "must divide into replica batches"),
        ({"global_batch_size": 4, "worker": 2, "num_workers": 2}, "`worker` counts from 0"),
    ],
)
def test_batch_sizes_that_cannot_be(root, sizes, message):
    with pytest.raises(ValueError, match=message):
        pairs.make(root).training_dataset(**sizes)


@pytest.mark.parametrize(
    ("batch_size", "rule"), [(1, "crop"), (2, "whole"), (3, "crop"), (5, "whole")]
)
def test_evaluation_shows_every_item_once_and_pads(root, batch_size, rule):
    pipe = pairs.make(root, resize=transforms.Resize([10, 8], evaluate=rule))
    dataset = pipe.evaluation_dataset("validation", batch_size)
    padded = batches.take(dataset, 99)
    assert len(padded) == int(dataset.cardinality()) == -(-3 // batch_size)
    assert all(len(b["image"]) == batch_size for b in padded)
    batch.check_batch(dataset.element_spec, required=("valid",))
    whole = batches.joined(padded)
    assert whole["valid"].tolist() == [True] * 3 + [False] * (len(whole["valid"]) - 3)
    names = pipe.evaluation_names("validation")
    for row, name in enumerate(names):
        ids = np.asarray(Image.open(root / "labels" / f"{name}.bmp"))
        ids = ids[1:9, 1:7] if rule == "crop" else pipe.resize.label_map(ids, (8, 6))  # of 10x8
        np.testing.assert_array_equal(whole["label_map"][row], ids)
        np.testing.assert_array_equal(pipe.read_label_map(root / "labels" / f"{name}.bmp"),
                                      whole["label_map"][row])  # fmt: skip
        np.testing.assert_array_equal(pipe.read_image(root / "photos" / f"{name}.png"),
                                      whole["image"][row])  # fmt: skip
    some = batches.joined(batches.take(pipe.evaluation_dataset("validation", batch_size, 2), 99))
    for place, number in enumerate((0, 1)):  # of three, spread evenly
        np.testing.assert_array_equal(some["image"][place], whole["image"][number])
    assert some["valid"].sum() == 2
    with pytest.raises(ValueError, match="`batch_size` must be positive"):
        pipe.evaluation_dataset("validation", 0)
    with pytest.raises(KeyError, match="no split 'test'"):
        pipe.evaluation_dataset("test", 1)


@pytest.mark.parametrize(("rule", "share"), [("whole", 0.179), ("crop", 0.0)])
def test_evaluation_sees_the_frame_of_a_map_and_of_its_photograph(tmp_path, rule, share):
    """Twelve pixels of 256 on each side; the crop is training's alone."""
    frame = np.pad(np.zeros([232, 232], np.uint8), 12, constant_values=1)
    photo = np.repeat(frame[..., None] * 255, 3, axis=-1)
    for split in ("train", "validation"):
        image_files.write_pair(tmp_path, f"{split}/1", frame, photo=photo)
    pipe = pairs.make(
        tmp_path, source=paired_folders.PairedFolders(tmp_path), image_size=[256, 256],
        resize=transforms.Resize([286, 286], evaluate=rule),
        augmentations={"crop": transforms.RandomCrop([256, 256])},
    )  # fmt: skip
    seen = [pipe.examples(split)[1] for split in ("train", "validation")]
    seen += batches.take(pipe.evaluation_dataset("validation", 1), 1)
    for found in seen:
        assert np.mean(found["label_map"] == 1) == pytest.approx(share, abs=1e-3)
        assert np.mean(found["image"] > 0) == pytest.approx(share, abs=1e-2)
    (path,) = (tmp_path / "labels/validation").iterdir()
    assert np.mean(pipe.read_label_map(path) == 1) == pytest.approx(share, abs=1e-3)
    (path,) = (tmp_path / "photos/validation").iterdir()
    assert np.mean(pipe.read_image(path) > 0) == pytest.approx(share, abs=1e-2)
    (cut,) = batches.take(pipe.training_dataset(global_batch_size=1), 1)
    assert cut["image"].shape == (1, 256, 256, 3) and np.mean(cut["label_map"] == 1) < 0.17


def test_mask_in_step_leaves_the_last_ops_to_finish(root):
    whole, lean = pairs.make(root), pairs.make(root, in_step=True)
    expected = batches.take(whole.training_dataset(global_batch_size=3), 2)
    dataset = lean.training_dataset(global_batch_size=3)
    assert set(lean.element_spec) == set(dataset.element_spec) == {"image", "label_map", "label"}
    assert lean.element_spec["image"].dtype == dataset.element_spec["image"].dtype == tf.uint8
    batch.check_batch(lean.element_spec, preprocessed=False)
    finish = tf.function(lean.preprocess)
    batches.assert_same(
        [{k: v.numpy() for k, v in finish(b).items()} for b in dataset.take(2)], expected
    )
    first = expected[0]
    again = whole.preprocess({k: tf.constant(v) for k, v in first.items()})
    batches.assert_same([{k: v.numpy() for k, v in again.items()}], [first])
    lean_rows = lean.evaluation_dataset("validation", 2).element_spec
    assert "mask" not in lean_rows and "valid" in lean_rows


def test_ignored_pixels_have_an_all_zero_mask(tmp_path):
    ids = np.array([[0, 1], [255, 2]])
    image_files.write_pair(tmp_path, "train/1", ids, photo=np.zeros((2, 2, 3), np.uint8))
    pipe = pipeline.ImagePipeline(
        paired_folders.PairedFolders(tmp_path), [2, 2],
        encoding=label_maps.LabelEncoding(3, ignore_index=255),
    )  # fmt: skip
    (found,) = batches.take(pipe.training_dataset(global_batch_size=1), 1)
    np.testing.assert_array_equal(found["label_map"][0], ids)
    np.testing.assert_array_equal(found["mask"][0, 1, 0], np.zeros(3))
    assert found["mask"].sum() == 3 and "label" not in found


def test_check_runs_on_all_splits(tmp_path):
    root = image_files.write_folder(
        tmp_path, {"train": 2, "validation": 1}, pairs.SIZE, pairs.CLASSES, ("a",)
    )
    report = pairs.make(
        root, tmp_path / "c", encoding=label_maps.LabelEncoding(pairs.CLASSES)
    ).check()
    assert report.files == 3 and report.pixels.sum() == 3 * 48
    assert pairs.make(root).check() is None  # check: none
    with pytest.raises(ValueError, match="value 3 in"):
        pairs.make(root, tmp_path / "c", encoding=label_maps.LabelEncoding(3)).check()
    (root / "labels/train/a/000.bmp").unlink()
    with pytest.raises(ValueError, match="1 photographs without a map"):
        pairs.make(root).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": [0, 8]}, "`image_size` must be"),
        ({"image_size": [12, 8]}, r"data.resize.load_size=\[10, 8\], data.image_size=\[12, 8\]"),
        ({"seed": -1}, "`seed` must be an integer"),
        ({"seed": 2**31}, "`seed` must be an integer"),
        ({"shuffle": "none"}, "data.shuffle='none'"),
    ],
)
def test_settings_that_cannot_be(root, changes, message):
    with pytest.raises(ValueError, match=message):
        pairs.make(root, **changes)


@pytest.mark.skipif("TESSERA_DATA" not in os.environ, reason="TESSERA_DATA names no data folder")
def test_real_facades(tmp_path):
    from data.sources import splits

    root = os.path.join(os.environ["TESSERA_DATA"], "facades")
    source = paired_folders.PairedFolders(root, splits=splits.HashedSplits(
        group_pattern=r"(\d+)$", group_modulo=300))  # fmt: skip
    pipe = pipeline.ImagePipeline(
        source, [64, 96], encoding=label_maps.LabelEncoding(5),
        cache=decoded_cache.CacheSettings("none", tmp_path),
    )  # fmt: skip
    report = pipe.check()
    shares = report.pixels / report.pixels.sum()
    np.testing.assert_allclose(shares, [0.355, 0.406, 0.024, 0.165, 0.051], atol=6e-4)
    assert pipe.num_examples("train") + pipe.num_examples("validation") == report.files == 906
    for found in batches.take(pipe.training_dataset(global_batch_size=4), 3):
        batch.check_batch(found, num_classes=5)
