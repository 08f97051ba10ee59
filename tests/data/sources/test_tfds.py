"""Data sets of tfds, written to disk by tfds itself: classes, label maps, order, caches."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data import batch, pipeline
from data.labels import label_maps
from data.sources import tfds_records, tfds_source
from tests.helpers import batches, tfds_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tfds_data.prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def expected(folder):
    """What tfds reads, in its own order: {split: {key: array}}."""
    builder = tfds.builder_from_directory(folder / "tessera_tiny" / "1.2.0")
    read = tfds.ReadConfig(interleave_cycle_length=1)
    return {
        split: next(
            iter(
                builder.as_dataset(split=split, batch_size=99, read_config=read).as_numpy_iterator()
            )
        )
        for split in ("train[:60%]", "train[60%:]", "train", "test")
    }


class TestClasses:
    def test_names_counts_and_order(self, folder, expected):
        source = tfds_data.tiny(folder)
        assert source.image_class_names == tuple(tfds_data.CLASSES)
        assert source.splits == ("train", "validation")
        assert source.count("train") == 12 and source.count("validation") == 8
        names = [record.name for record in source.records("train")]
        assert names[:2] == ["train/000000", "train/000001"] and len(names) == 12
        assert (
            len(tfds_data.tiny(folder, splits={"train": "train"}).records("train").reader.paths)
            == 3
        )
        assert source.root == str(folder / "tessera_tiny")

    @pytest.mark.parametrize("kind", ["none", "memory", "file"])
    def test_images_and_classes_are_those_tfds_reads(self, folder, expected, tmp_path, kind):
        pipe = tfds_data.make(folder, tmp_path, kind, augmentations=None)
        for split, part in (("train", "train[:60%]"), ("validation", "train[60%:]")):
            (found,) = batches.take(pipe.evaluation_dataset(split, pipe.num_examples(split)), 1)
            images = expected[part]["image"] / 127.5 - 1
            np.testing.assert_allclose(found["image"], images, atol=1e-6)
            np.testing.assert_array_equal(found["label"], expected[part]["label"])
            assert found["label"].dtype == np.int32

    def test_batches_keep_the_contract(self, folder):
        pipe = tfds_data.make(folder)
        assert pipe.check().files == 20
        dataset = pipe.training_dataset(global_batch_size=4)
        for spec in (pipe.element_spec, dataset.element_spec):
            assert set(spec) == {"image", "label"}
            batch.check_batch(spec)
        (found,) = batches.take(dataset, 1)
        batch.check_batch(found)
        train = batches.take(pipe.evaluation_dataset("train", 12), 1)[0]["label"]
        for row, name in enumerate(pipe.batch_names(0, 4)):
            assert found["label"][row] == train[int(name.removeprefix("train/"))]

    def test_without_classes(self, folder):
        pipe = tfds_data.make(folder, source=tfds_data.tiny(folder, label_key=None))
        assert pipe.image_class_names == () and set(pipe.element_spec) == {"image"}
        assert set(batches.take(pipe.training_dataset(global_batch_size=4), 1)[0]) == {"image"}

    @pytest.mark.parametrize("start", [1, 2, 30])
    def test_starting_late_equals_skipping(self, folder, start):
        whole = batches.take(
            tfds_data.make(folder).training_dataset(0, global_batch_size=4), start + 3
        )
        batches.assert_same(
            batches.take(tfds_data.make(folder).training_dataset(start, global_batch_size=4), 3),
            whole[start:],
        )

    def test_caches_equal_each_other(self, folder, tmp_path):
        found = [
            batches.take(
                tfds_data.make(folder, tmp_path, kind).training_dataset(global_batch_size=4), 5
            )
            for kind in ("none", "memory", "file", "file")
        ]
        for other in found[1:]:
            batches.assert_same(other, found[0])
        assert len(list(tmp_path.rglob("*.uint8"))) == 12

    def test_two_workers_equal_one(self, folder):
        whole = batches.take(tfds_data.make(folder).training_dataset(1, global_batch_size=4), 3)
        parts = [
            batches.take(
                tfds_data.make(folder).training_dataset(
                    1, global_batch_size=4, worker=w, num_workers=2
                ),
                3,
            )
            for w in range(2)
        ]
        batches.assert_same([batches.joined(pair) for pair in zip(*parts, strict=True)], whole)

    def test_array_record_files_give_the_same(self, folder, expected, tmp_path):
        tfds_data.TesseraTiny(data_dir=tmp_path, file_format="array_record").download_and_prepare()
        source = tfds_data.tiny(tmp_path)
        assert isinstance(source.records("train").reader, tfds_records.ArrayRecordReader)
        pipe = tfds_data.make(tmp_path, source=source, kind="none", augmentations=None)
        (found,) = batches.take(pipe.evaluation_dataset("validation", 8), 1)
        np.testing.assert_array_equal(found["label"], expected["train[60%:]"]["label"])
        np.testing.assert_allclose(
            found["image"], expected["train[60%:]"]["image"] / 127.5 - 1, atol=1e-6
        )

    def test_records_are_a_sequence(self, folder):
        records = tfds_data.tiny(folder).records("train")
        assert records[-1] == records[11] and [r.name for r in records[10:]] == [
            "train/000010", "train/000011"]  # fmt: skip
        with pytest.raises(IndexError, match="There are 12 items. Received: index=12"):
            records[12]
        assert records[3].read()[0][:4] == b"\x89PNG" and records[3].read()[1] is None

    def test_joined_splits(self, folder, expected):
        source = tfds_data.tiny(
            folder, splits={"train": "train+test[:3]", "validation": "test[3:]"}
        )
        assert (
            source.count("train") == tfds_data.TRAIN + 3
            and source.count("validation") == tfds_data.TEST - 3
        )
        (found,) = batches.take(
            tfds_data.make(folder, source=source).evaluation_dataset("train", 23), 1
        )
        labels = [*expected["train"]["label"], *expected["test"]["label"][:3]]
        assert found["label"].tolist() == labels


class TestLabelMaps:
    def test_feed_the_semantic_task(self, folder, tmp_path):
        labels = label_maps.LabelEncoding(3, id_map={1: 0, 2: 1, 3: 2})
        pipe = tfds_data.make(
            folder, tmp_path, source=tfds_data.masks(folder), encoding=labels, augmentations=None
        )
        report = pipe.check()
        assert report.files == 12 and report.pixels.sum() == 12 * 24
        assert set(pipe.element_spec) == {"image", "label_map", "mask", "label"}
        (train,) = batches.take(pipe.evaluation_dataset("train", 11), 1)
        batch.check_batch(train, num_classes=3)
        for index in range(11):
            mask = np.random.default_rng(index).choice((1, 2, 3), tfds_data.SIZE)
            np.testing.assert_array_equal(train["label_map"][index], mask - 1)
            assert train["label"][index] == index % 2
        # The photographs repeat the maps: what is together in the file stays together.
        grey = (train["image"][..., 0] + 1) * 127.5
        np.testing.assert_allclose(grey, (train["label_map"] + 1.0) * 20, atol=3)

    def test_caches_equal_each_other(self, folder, tmp_path):
        labels = label_maps.LabelEncoding(3, id_map={1: 0, 2: 1, 3: 2}, mask_in_step=True)
        found = [
            batches.take(
                tfds_data.make(
                    folder, tmp_path, kind, tfds_data.masks(folder), labels
                ).training_dataset(global_batch_size=4),
                4,
            )
            for kind in ("none", "memory", "file")
        ]
        batches.assert_same(found[1], found[0])
        batches.assert_same(found[2], found[0])
        assert found[0][0]["image"].dtype == np.uint8 and "mask" not in found[0][0]

    def test_foreign_ids_are_refused_with_the_setting_that_helps(self, folder, tmp_path):
        labels = label_maps.LabelEncoding(3)
        pipe = tfds_data.make(folder, tmp_path, source=tfds_data.masks(folder), encoding=labels)
        with pytest.raises(ValueError, match=r"tiny_masks-train.tfrecord.*id_map=\{1:0,2:1,3:2\}"):
            pipe.check()
        with pytest.raises(ValueError, match="value 3 in 1 files"):
            pipe.training_dataset(global_batch_size=1)

    def test_asking_for_label_maps_without_a_key(self, folder, tmp_path):
        source = tfds_source.TfdsSource("tiny_masks", data_dir=folder)
        pipe = tfds_data.make(folder, tmp_path, source=source, encoding=label_maps.LabelEncoding(3))
        with pytest.raises(ValueError, match="no label maps.*data.source.label_map_key"):
            pipe.check()


def test_a_process_ends_while_batches_are_read_ahead(folder):
    """Without a cache the files are read by threads of tf.data, alive when Python shuts down."""
    code = f"""
from data import pipeline
from data.images import decoded_cache
from data.sources import tfds_source
source = tfds_source.TfdsSource("tessera_tiny", data_dir={str(folder)!r})
pipe = pipeline.ImagePipeline(source, [64, 64], cache=decoded_cache.CacheSettings("none"))
batches = iter(pipe.training_dataset(global_batch_size=8))
print(len([next(batches) for _ in range(20)]))
"""
    root = pathlib.Path(tfds_source.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=120, text=True, cwd=root
    )
    assert done.stdout == "20\n" and done.returncode == 0, done.stderr


def test_pipeline_with_the_switch_of_its_source(folder):
    pipe = tfds_source.TfdsPipeline(tfds_data.tiny(folder), [6, 4], download=True, seed=4)
    assert isinstance(pipe, pipeline.ImagePipeline) and pipe.seed == 4
    assert isinstance(pipe.training_dataset(global_batch_size=2), tf.data.Dataset)
