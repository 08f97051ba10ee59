"""Data sets of tfds that are not there, damaged, or do not fit what is asked of them."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data.sources import tfds_source
from tests.helpers import batches, tfds_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tfds_data.prepare(tmp_path_factory.mktemp("prepared"))


class TestNotPrepared:
    def test_says_how_to_get_it_and_does_nothing(self, tmp_path):
        source = tfds_data.tiny(tmp_path / "empty")
        with pytest.raises(FileNotFoundError) as error:
            source.records("train")
        message = str(error.value)
        assert "The data set is not prepared. Received: name='tessera_tiny'" in message
        assert "add data.download=true to the command" in message
        assert f"`tfds build tessera_tiny --data_dir={tmp_path / 'empty'}`" in message
        assert not (tmp_path / "empty").exists()

    def test_download_prepares_it_once(self, tmp_path, monkeypatch):
        assert tfds_data.tiny(tmp_path, download=True).count("train") == 12
        monkeypatch.setattr(tfds_data.TesseraTiny, "_generate_examples", None)
        assert tfds_data.tiny(tmp_path, download=True).count("train") == 12
        assert tfds_data.tiny(tmp_path).count("train") == 12

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
            tfds_data.tiny(folder, **changes).records("train")

    @pytest.mark.parametrize("name", ["huggingface:mnist", "kubric:x/y", "", "a b", "../x", "x:y"])
    def test_names_that_tfds_would_fetch_code_for(self, name):
        with pytest.raises(ValueError, match="a data set of tfds itself.*data.source.name="):
            tfds_source.TfdsSource(name)

    def test_splits_without_train(self):
        with pytest.raises(ValueError, match="says which examples are the split 'train'"):
            tfds_source.TfdsSource("x", splits={"validation": "test"})

    def test_unknown_split(self, folder):
        with pytest.raises(KeyError, match="no split 'test'.*data.source.splits.test=test"):
            tfds_data.tiny(folder).records("test")

    def test_cut_files(self, tmp_path):
        tfds_data.tiny(tmp_path, download=True).records("train")
        (path,) = (tmp_path / "tessera_tiny/1.2.0").glob("*train*")
        path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(ValueError, match="cut off, or not as it was prepared.*expected 20"):
            tfds_data.tiny(tmp_path).records("train")

    def test_damaged_images_are_named(self, tmp_path):
        tfds_data.tiny(tmp_path, download=True).records("train")
        (path,) = (tmp_path / "tessera_tiny/1.2.0").glob("*train*")
        path.write_bytes(path.read_bytes().replace(b"IHDR", b"XXXX"))
        pipe = tfds_data.make(tmp_path)
        with pytest.raises(
            ValueError, match=r"20 photographs cannot be read: .*00000-of-00001#0: "
        ):
            pipe.check()
        with pytest.raises(ValueError, match="00000-of-00001#0: "):
            pipe.training_dataset(global_batch_size=1)

    def test_a_flipped_bit_is_found_by_its_checksum(self, tmp_path):
        tfds_data.tiny(tmp_path, download=True).records("train")
        (path,) = (tmp_path / "tessera_tiny/1.2.0").glob("*train*")
        content = bytearray(path.read_bytes())
        content[60] ^= 1
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match="1 photographs cannot be read: .*#0: a damaged record"
        ):
            tfds_data.make(tmp_path).check()

    @pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
    def test_code_that_features_name_is_not_imported(self, tmp_path, monkeypatch, key):
        (tmp_path / "hostile_module.py").write_text("open('was_here', 'w')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.chdir(tmp_path)
        tfds_data.tiny(tmp_path, download=True).records("train")
        path = tmp_path / "tessera_tiny/1.2.0/features.json"
        features = json.loads(path.read_text())
        features["featuresDict"]["features"]["image"][key] = "hostile_module.Image"
        path.write_text(json.dumps(features).replace("hostile", "\\u0068ostile"))
        with pytest.raises(ValueError, match="features.json: .*the class hostile_module.Image"):
            tfds_data.tiny(tmp_path).records("train")
        assert not (tmp_path / "was_here").exists()

    def test_examples_without_a_class(self, tmp_path):
        image = np.zeros((*tfds_data.SIZE, 3), np.uint8)
        tfds.dataset_builders.store_as_tfds_dataset(
            name="unlabelled", version="1.0.0", data_dir=tmp_path,
            features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}),
            split_datasets={"train": [(i, {"image": image, "label": -1}) for i in range(2)]},
        )  # fmt: skip
        source = tfds_source.TfdsSource("unlabelled", data_dir=tmp_path, splits={"train": "train"})
        pipe = tfds_data.make(tmp_path, source=source)
        for use in (pipe.check, lambda: pipe.training_dataset(global_batch_size=1)):
            with pytest.raises(ValueError, match=r"#0: an example without a class \(-1\)"):
                use()
        lazy = tfds_data.make(tmp_path, source=source, kind="none").training_dataset(
            global_batch_size=1
        )
        with pytest.raises(tf.errors.InvalidArgumentError, match="an example without a class"):
            batches.take(lazy, 1)

    def test_other_file_formats(self, folder, monkeypatch):
        monkeypatch.setattr(tfds_source, "READERS", {})
        with pytest.raises(ValueError, match="in 'tfrecord'. Prepare it again: tfds build"):
            tfds_data.tiny(folder).records("train")
