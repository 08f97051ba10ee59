"""Data sets of tfds, written to disk by tfds itself: by name, by index, and never downloaded."""

import io
import itertools
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from data import batch, decoded_cache, label_maps, pipeline, tfds_records, tfds_source, transforms

SIZE = (6, 4)
CLASSES = ["cat", "dog", "eel"]
TRAIN, TEST = 20, 7


class TesseraTiny(tfds.core.GeneratorBasedBuilder):
    """Images and classes, with features of other kinds around them; needs no download."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tiny_features())

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(TRAIN), "test": self._generate_examples(TEST)}

    def _generate_examples(self, count):
        for index in range(count):
            yield index, tiny_example(index)


class TesseraManual(TesseraTiny):
    """The same, from files that the user has to fetch."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Register at example.org\n and fetch tiny.tar."

    def _split_generators(self, dl_manager):
        count = int((dl_manager.manual_dir / "count.txt").read_text())
        return {"train": self._generate_examples(count)}


def tiny_features():
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "key": tfds.features.Text(),
            "number": np.int64,
            "depth": tfds.features.Image(shape=(None, None, 1), dtype=np.float32),
        }
    )


def tiny_example(index):
    rng = np.random.default_rng(index)
    return {
        "image": rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8),
        "label": index % 3,
        "key": f"item {index}",
        "number": index,
        "depth": np.zeros((*SIZE, 1), np.float32),
    }


def write_masks(folder, values=(1, 2, 3)):
    """Photographs and label maps of 1, 2, 3, as JPEG and PNG, under the name `tiny_masks`."""

    def examples(count):
        for index in range(count):
            mask = np.random.default_rng(index).choice(values, (*SIZE, 1)).astype(np.uint8)
            photo = io.BytesIO()
            Image.fromarray(np.repeat(mask * 20, 3, axis=2)).save(photo, "JPEG", quality=100)
            photo.seek(0)
            yield index, {"image": photo, "segmentation_mask": mask, "label": index % 2}

    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_masks", version="1.0.0", features=tfds.features.FeaturesDict(features),
        split_datasets={"train": list(examples(12)), "test": list(examples(4))},
        data_dir=folder, disable_shuffling=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prepared by tfds: `tessera_tiny` in three TFRecord files, and `tiny_masks`."""
    folder = tmp_path_factory.mktemp("prepared")
    config = tfds.download.DownloadConfig(num_shards=3)
    TesseraTiny(data_dir=folder).download_and_prepare(download_config=config)
    write_masks(folder)
    return folder


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


def tiny(folder, **changes):
    splits = {"train": "train[:60%]", "validation": "train[60%:]"}
    return tfds_source.TfdsSource(
        "tessera_tiny", **{"data_dir": folder, "splits": splits} | changes
    )


def make(folder, cache=None, kind="memory", source=None, labels=None, **changes):
    settings = {
        "labels": labels,
        "augmentations": {"flip": transforms.RandomFlip()},
        "cache": decoded_cache.CacheSettings(kind, cache),
        "seed": 3,
    }
    return pipeline.ImagePipeline(source or tiny(folder), list(SIZE), **{**settings, **changes})


def masks(folder, **changes):
    return tfds_source.TfdsSource(
        "tiny_masks", data_dir=folder, label_map_key="segmentation_mask", **changes
    )


def take(dataset, count):
    return [{k: v.numpy() for k, v in b.items()} for b in itertools.islice(dataset, count)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


class TestClasses:
    def test_names_counts_and_order(self, folder, expected):
        source = tiny(folder)
        assert source.label_names == tuple(CLASSES)
        assert source.splits == ("train", "validation")
        assert source.count("train") == 12 and source.count("validation") == 8
        names = [record.name for record in source.records("train")]
        assert names[:2] == ["train/000000", "train/000001"] and len(names) == 12
        assert len(tiny(folder, splits={"train": "train"}).records("train").reader.paths) == 3
        assert source.root == str(folder / "tessera_tiny")

    @pytest.mark.parametrize("kind", ["none", "memory", "file"])
    def test_images_and_classes_are_those_tfds_reads(self, folder, expected, tmp_path, kind):
        pipe = make(folder, tmp_path, kind, augmentations=None)
        for split, part in (("train", "train[:60%]"), ("validation", "train[60%:]")):
            (found,) = take(pipe.evaluation_dataset(split, pipe.num_examples(split)), 1)
            images = expected[part]["image"] / 127.5 - 1
            np.testing.assert_allclose(found["image"], images, atol=1e-6)
            np.testing.assert_array_equal(found["label"], expected[part]["label"])
            assert found["label"].dtype == np.int32

    def test_batches_keep_the_contract(self, folder):
        pipe = make(folder)
        assert pipe.check().files == 20
        dataset = pipe.training_dataset(global_batch_size=4)
        for spec in (pipe.element_spec, dataset.element_spec):
            assert set(spec) == {"image", "label"}
            batch.check_batch(spec)
        (found,) = take(dataset, 1)
        batch.check_batch(found)
        train = take(pipe.evaluation_dataset("train", 12), 1)[0]["label"]
        for row, name in enumerate(pipe.batch_names(0, 4)):
            assert found["label"][row] == train[int(name.removeprefix("train/"))]

    def test_without_classes(self, folder):
        pipe = make(folder, source=tiny(folder, label_key=None))
        assert pipe.label_names == () and set(pipe.element_spec) == {"image"}
        assert set(take(pipe.training_dataset(global_batch_size=4), 1)[0]) == {"image"}

    @pytest.mark.parametrize("start", [1, 2, 30])
    def test_starting_late_equals_skipping(self, folder, start):
        whole = take(make(folder).training_dataset(0, global_batch_size=4), start + 3)
        assert_same(
            take(make(folder).training_dataset(start, global_batch_size=4), 3), whole[start:]
        )

    def test_caches_equal_each_other(self, folder, tmp_path):
        found = [
            take(make(folder, tmp_path, kind).training_dataset(global_batch_size=4), 5)
            for kind in ("none", "memory", "file", "file")
        ]
        for other in found[1:]:
            assert_same(other, found[0])
        assert len(list(tmp_path.rglob("*.uint8"))) == 12

    def test_two_workers_equal_one(self, folder):
        whole = take(make(folder).training_dataset(1, global_batch_size=4), 3)
        parts = [
            take(make(folder).training_dataset(1, global_batch_size=4, worker=w, num_workers=2), 3)
            for w in range(2)
        ]
        joined = [{k: np.concatenate([a[k], b[k]]) for k in a} for a, b in zip(*parts, strict=True)]
        assert_same(joined, whole)

    def test_array_record_files_give_the_same(self, folder, expected, tmp_path):
        TesseraTiny(data_dir=tmp_path, file_format="array_record").download_and_prepare()
        source = tiny(tmp_path)
        assert isinstance(source.records("train").reader, tfds_records.ArrayRecordReader)
        pipe = make(tmp_path, source=source, kind="none", augmentations=None)
        (found,) = take(pipe.evaluation_dataset("validation", 8), 1)
        np.testing.assert_array_equal(found["label"], expected["train[60%:]"]["label"])
        np.testing.assert_allclose(
            found["image"], expected["train[60%:]"]["image"] / 127.5 - 1, atol=1e-6
        )

    def test_records_are_a_sequence(self, folder):
        records = tiny(folder).records("train")
        assert records[-1] == records[11] and [r.name for r in records[10:]] == [
            "train/000010", "train/000011"]  # fmt: skip
        with pytest.raises(IndexError, match="There are 12 items. Received: index=12"):
            records[12]
        assert records[3].read()[0][:4] == b"\x89PNG" and records[3].read()[1] is None


class TestLabelMaps:
    def test_feed_the_semantic_task(self, folder, tmp_path):
        labels = label_maps.LabelEncoding(3, id_map={1: 0, 2: 1, 3: 2})
        pipe = make(folder, tmp_path, source=masks(folder), labels=labels, augmentations=None)
        report = pipe.check()
        assert report.files == 12 and report.pixels.sum() == 12 * 24
        assert set(pipe.element_spec) == {"image", "label_map", "mask", "label"}
        (train,) = take(pipe.evaluation_dataset("train", 11), 1)
        batch.check_batch(train, num_classes=3)
        for index in range(11):
            mask = np.random.default_rng(index).choice((1, 2, 3), SIZE)
            np.testing.assert_array_equal(train["label_map"][index], mask - 1)
            assert train["label"][index] == index % 2
        # The photographs repeat the maps: what is together in the file stays together.
        grey = (train["image"][..., 0] + 1) * 127.5
        np.testing.assert_allclose(grey, (train["label_map"] + 1.0) * 20, atol=3)

    def test_caches_equal_each_other(self, folder, tmp_path):
        labels = label_maps.LabelEncoding(3, id_map={1: 0, 2: 1, 3: 2}, mask_in_step=True)
        found = [
            take(make(folder, tmp_path, kind, masks(folder), labels).training_dataset(
                global_batch_size=4), 4)
            for kind in ("none", "memory", "file")
        ]  # fmt: skip
        assert_same(found[1], found[0])
        assert_same(found[2], found[0])
        assert found[0][0]["image"].dtype == np.uint8 and "mask" not in found[0][0]

    def test_foreign_ids_are_refused_with_the_setting_that_helps(self, folder, tmp_path):
        labels = label_maps.LabelEncoding(3)
        pipe = make(folder, tmp_path, source=masks(folder), labels=labels)
        with pytest.raises(ValueError, match=r"tiny_masks-train.tfrecord.*id_map=\{1:0,2:1,3:2\}"):
            pipe.check()
        with pytest.raises(ValueError, match="value 3 in 1 files"):
            pipe.training_dataset(global_batch_size=1)

    def test_asking_for_label_maps_without_a_key(self, folder, tmp_path):
        source = tfds_source.TfdsSource("tiny_masks", data_dir=folder)
        pipe = make(folder, tmp_path, source=source, labels=label_maps.LabelEncoding(3))
        with pytest.raises(ValueError, match="no label maps.*data.source.label_map_key"):
            pipe.check()


class TestNotPrepared:
    def test_says_how_to_get_it_and_does_nothing(self, tmp_path):
        source = tiny(tmp_path / "empty")
        with pytest.raises(FileNotFoundError) as error:
            source.records("train")
        message = str(error.value)
        assert "The data set is not prepared. Received: name='tessera_tiny'" in message
        assert "add data.download=true to the command" in message
        assert f"`tfds build tessera_tiny --data_dir={tmp_path / 'empty'}`" in message
        assert not (tmp_path / "empty").exists()

    def test_download_prepares_it_once(self, tmp_path, monkeypatch):
        assert tiny(tmp_path, download=True).count("train") == 12
        monkeypatch.setattr(TesseraTiny, "_generate_examples", None)
        assert tiny(tmp_path, download=True).count("train") == 12
        assert tiny(tmp_path).count("train") == 12

    def test_files_fetched_by_hand(self, tmp_path):
        def source(**changes):
            return tfds_source.TfdsSource(
                "tessera_manual", data_dir=tmp_path, download=True, **changes
            )

        with pytest.raises(FileNotFoundError, match="data.download=true data.source.manual_dir=FO.*"
                           "--manual_dir=FOLDER.*Register at example.org and fetch"):  # fmt: skip
            source().records("train")
        (tmp_path / "manual").mkdir()
        (tmp_path / "manual/count.txt").write_text("10")
        assert source(manual_dir=tmp_path / "manual").count("train") == 9

    def test_a_real_data_set(self, tmp_path):
        source = tfds_source.TfdsSource("imagenet2012", data_dir=tmp_path)
        with pytest.raises(FileNotFoundError, match="ILSVRC2012_img_train.tar"):
            source.records("train")

    def test_unknown_name(self, folder):
        source = tfds_source.TfdsSource("no_such_set", data_dir=folder)
        with pytest.raises(FileNotFoundError, match="does not know how to make it.*no_such_set'"):
            source.records("train")

    def test_neither_code_nor_network_is_needed(self, folder, monkeypatch):
        def refuse(*_, **__):
            raise AssertionError("looked for the code")

        monkeypatch.setattr(tfds, "builder", refuse)
        for name in ("tessera_tiny", "tessera_tiny:1.2.0", "tessera_tiny:1.*.*"):
            source = tfds_source.TfdsSource(name, data_dir=folder)
            assert source.count("train") == 18 and source.root == str(folder / "tessera_tiny")

    def test_default_folder(self, monkeypatch, folder):
        monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
        assert tfds_source.TfdsSource("tessera_tiny").count("validation") == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"image_key": "picture"}, KeyError, "no such feature.*image_key='picture'.*'image'"),
            ({"label_key": "klass"}, KeyError, "no such feature.*label_key='klass'"),
            ({"label_key": "number"}, ValueError, "must be a class label.*label_key='number'"),
            ({"image_key": "key"}, ValueError, "must be an 8-bit image of 1 or 3 channels"),
            ({"image_key": "depth"}, ValueError, "must be an 8-bit image.*'depth'"),
            ({"label_map_key": "image"}, ValueError, "an 8-bit image of 1 channels.*'image'"),
            ({"splits": {"train": "trian"}}, KeyError, "splits.train='trian'; splits of .*'test'"),
            ({"splits": {"train": "train[:101%]"}}, KeyError, "does not understand"),
            ({"splits": {"train": "train[:0]"}}, ValueError, "Split 'train' is empty"),
            ({"splits": {"train": "train[:60%]", "validation": "train[50%:]"}}, ValueError,
             "The splits 'train' and 'validation' share examples"),
        ],
    )  # fmt: skip
    def test_settings_that_do_not_fit(self, folder, changes, error, message):
        with pytest.raises(error, match=message):
            tiny(folder, **changes).records("train")

    def test_splits_without_train(self):
        with pytest.raises(ValueError, match="says which examples are the split 'train'"):
            tfds_source.TfdsSource("x", splits={"validation": "test"})

    def test_unknown_split(self, folder):
        with pytest.raises(KeyError, match="no split 'test'.*data.source.splits.test=test"):
            tiny(folder).records("test")

    def test_joined_splits(self, folder, expected):
        source = tiny(folder, splits={"train": "train+test[:3]", "validation": "test[3:]"})
        assert source.count("train") == TRAIN + 3 and source.count("validation") == TEST - 3
        (found,) = take(make(folder, source=source).evaluation_dataset("train", 23), 1)
        labels = [*expected["train"]["label"], *expected["test"]["label"][:3]]
        assert found["label"].tolist() == labels

    def test_cut_files(self, tmp_path):
        tiny(tmp_path, download=True).records("train")
        (path,) = (tmp_path / "tessera_tiny/1.2.0").glob("*train*")
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(ValueError, match="cut off, or not as it was prepared.*expected 20"):
            tiny(tmp_path).records("train")

    def test_damaged_images_are_named(self, tmp_path):
        tiny(tmp_path, download=True).records("train")
        (path,) = (tmp_path / "tessera_tiny/1.2.0").glob("*train*")
        path.write_bytes(path.read_bytes().replace(b"IHDR", b"XXXX"))
        pipe = make(tmp_path)
        with pytest.raises(
            ValueError, match=r"20 photographs cannot be read: .*00000-of-00001#0: "
        ):
            pipe.check()
        with pytest.raises(ValueError, match="00000-of-00001#0: "):
            pipe.training_dataset(global_batch_size=1)

    def test_examples_without_a_class(self, tmp_path):
        image = np.zeros((*SIZE, 3), np.uint8)
        tfds.dataset_builders.store_as_tfds_dataset(
            name="unlabelled", version="1.0.0", data_dir=tmp_path,
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}),
            split_datasets={"train": [(i, {"image": image, "label": -1}) for i in range(2)]},
        )  # fmt: skip
        source = tfds_source.TfdsSource("unlabelled", data_dir=tmp_path, splits={"train": "train"})
        pipe = make(tmp_path, source=source)
        for use in (pipe.check, lambda: pipe.training_dataset(global_batch_size=1)):
            with pytest.raises(ValueError, match=r"#0: an example without a class \(-1\)"):
                use()
        lazy = make(tmp_path, source=source, kind="none").training_dataset(global_batch_size=1)
        with pytest.raises(tf.errors.InvalidArgumentError, match="an example without a class"):
            take(lazy, 1)

    def test_other_file_formats(self, folder, monkeypatch):
        monkeypatch.setattr(tfds_source, "READERS", {})
        with pytest.raises(ValueError, match="in 'tfrecord'. Prepare it again: tfds build"):
            tiny(folder).records("train")


def test_a_process_ends_while_batches_are_read_ahead(folder):
    """Without a cache the files are read by threads of tf.data, alive when Python shuts down."""
    code = f"""
from data import decoded_cache, pipeline, tfds_source
source = tfds_source.TfdsSource("tessera_tiny", data_dir={str(folder)!r})
pipe = pipeline.ImagePipeline(source, [64, 64], cache=decoded_cache.CacheSettings("none"))
batches = iter(pipe.training_dataset(global_batch_size=8))
print(len([next(batches) for _ in range(20)]))
"""
    root = pathlib.Path(tfds_source.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=120, text=True, cwd=root
    )
    assert done.stdout == "20\n" and done.returncode == 0, done.stderr


def test_pipeline_with_the_switch_of_its_source(folder):
    pipe = tfds_source.TfdsPipeline(tiny(folder), [6, 4], download=True, seed=4)
    assert isinstance(pipe, pipeline.ImagePipeline) and pipe.seed == 4
    assert isinstance(pipe.training_dataset(global_batch_size=2), tf.data.Dataset)
