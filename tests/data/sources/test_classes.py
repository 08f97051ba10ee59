"""Pipelines without label maps: batches of images and classes, and their check."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from data import batch, transforms
from data.images import photos
from data.labels import label_check, label_maps, no_label_maps
from data.sources import class_folders, paired_folders
from tests.helpers import batches, class_data, image_files


@pytest.fixture
def root(tmp_path):
    return class_data.write_set(tmp_path / "set")


class TestBatches:
    def test_hold_image_and_label_only(self, root):
        pipe = class_data.make(root)
        dataset = pipe.training_dataset(global_batch_size=4)
        for spec in (pipe.element_spec, dataset.element_spec):
            assert set(spec) == {"image", "label"}
            batch.check_batch(spec, required=("image", "label"))
        (found,) = batches.take(dataset, 1)
        batch.check_batch(found)
        assert found["image"].shape == (4, *class_data.SIZE, 3) and found["label"].dtype == np.int32
        assert (pipe.num_classes, pipe.class_names, pipe.class_colors) == (0, (), ())
        assert pipe.image_class_names == ("cat", "dog", "eel")

    def test_images_are_those_of_the_files(self, root):
        pipe = class_data.make(root, augmentations=None)
        records = {record.name: record for record in pipe.source.records("train")}
        for number, found in enumerate(batches.take(pipe.training_dataset(global_batch_size=4), 3)):
            for row, name in enumerate(pipe.batch_names(number, 4)):
                expected = np.asarray(Image.open(records[name].photo)) / 127.5 - 1
                np.testing.assert_allclose(found["image"][row], expected, atol=1e-6)
                assert found["label"][row] == records[name].label

    def test_caches_equal_each_other(self, root, tmp_path):
        found = [
            batches.take(
                class_data.make(root, tmp_path, kind).training_dataset(global_batch_size=4), 5
            )
            for kind in ("none", "memory", "file", "file")
        ]
        for other in found[1:]:
            batches.assert_same(other, found[0])

    def test_bytes_until_the_step(self, root):
        lean = class_data.make(root, in_step=True)
        dataset = lean.training_dataset(global_batch_size=4)
        assert lean.element_spec["image"].dtype == dataset.element_spec["image"].dtype == "uint8"
        finished = [{k: v.numpy() for k, v in lean.preprocess(b).items()} for b in dataset.take(2)]
        batches.assert_same(
            finished, batches.take(class_data.make(root).training_dataset(global_batch_size=4), 2)
        )

    def test_evaluation_and_examples(self, root):
        pipe = class_data.make(root)
        (first, second) = batches.take(pipe.evaluation_dataset("validation", 2), 9)
        assert [*first["label"], *second["label"]] == [0, 1, 2, 2]
        assert [*first["valid"], *second["valid"]] == [True, True, True, False]
        found, stacked = pipe.examples("validation", 2)
        assert found == ["validation/cat/x", "validation/dog/x"]
        batches.assert_same(
            [{k: v.numpy() for k, v in stacked.items()}],
            [{k: first[k] for k in ("image", "label")}],
        )

    def test_centre_crop_keeps_the_aspect_ratio(self, tmp_path):
        photo = np.zeros((8, 24, 3), np.uint8)
        photo[:, 8:16] = 255
        for split in ("train", "validation"):
            (tmp_path / split / "a").mkdir(parents=True)
            Image.fromarray(photo).save(tmp_path / split / "a/1.png")
        resize = transforms.Resize(keep_aspect_ratio=True)
        pipe = class_data.make(tmp_path, image_size=[8, 8], resize=resize, augmentations=None)
        (found,) = batches.take(pipe.training_dataset(global_batch_size=1), 1)
        np.testing.assert_array_equal(found["image"], 1)

    def test_label_maps_of_a_source_are_left_alone(self, tmp_path):
        image_files.write_folder(
            tmp_path, {"train": 4, "validation": 1}, class_data.SIZE, styles=("a", "b")
        )
        for path in (tmp_path / "labels").rglob("*.bmp"):
            path.write_bytes(b"never read")
        source = paired_folders.PairedFolders(tmp_path, class_folders=True)
        pipe = class_data.make(tmp_path, source=source, encoding=None)
        pipe.check()
        (found,) = batches.take(pipe.training_dataset(global_batch_size=2), 1)
        assert set(found) == {"image", "label"}

    def test_label_maps_that_are_not_there(self, root, tmp_path):
        pipe = class_data.make(root, tmp_path, encoding=label_maps.LabelEncoding(2))
        for use in (pipe.check, lambda: pipe.training_dataset(global_batch_size=1)):
            with pytest.raises(ValueError, match="no label maps. Received: .*data.encoding=null"):
                use()


class TestCheck:
    def test_all_or_some(self, root, tmp_path):
        assert class_data.make(root, tmp_path).check().files == 14
        report = class_data.make(root, tmp_path, check="sample:2").check()
        assert report.files == 4 and len(report.table().splitlines()) == 1
        assert class_data.make(root, check="none").check() is None
        with pytest.raises(ValueError, match="`check` is 'all', 'sample"):
            no_label_maps.NoLabelMaps("some")

    def test_damaged_files_are_named_once_for_all(self, root, tmp_path):
        for name in ("00", "03"):
            path = root / f"train/cat/{name}.png"
            path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(ValueError, match="of 14 photographs found.*\n- 2 photographs cannot.*"
                           "cat/00.png: .*cat/03.png"):  # fmt: skip
            class_data.make(root, tmp_path).check()
        with pytest.raises(ValueError, match="cat/0[03].png: "):
            class_data.make(root, check="none").training_dataset(global_batch_size=1)

    def test_what_only_tensorflow_refuses_is_still_named(self, root, monkeypatch):
        monkeypatch.setattr("data.labels.label_check.check_pair", lambda *_: None)
        (root / "train/cat/00.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match="Decoding .*cat/00.png failed: "):
            class_data.make(root).training_dataset(global_batch_size=1)

    def test_unchanged_files_are_not_read_again(self, root, tmp_path, monkeypatch):
        read, inspect = [], label_check.inspect
        monkeypatch.setattr(
            label_check, "inspect", lambda r, *how: read.append(r.name) or inspect(r, *how)
        )
        for _ in range(2):
            class_data.make(root, tmp_path).check()
        assert len(read) == 14


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_tiny_photographs_can_be_inspected(tmp_path, kind):
    """Reading a JPEG at an eighth of its size must not ask for 0 pixels."""
    data = io.BytesIO()
    Image.new("RGB", (4, 3), (9, 9, 9)).save(data, kind)
    path = tmp_path / "tiny"
    path.write_bytes(data.getvalue())
    assert photos.PhotoReader().inspect_file(path).size == (3, 4)
    path.write_bytes(data.getvalue()[: -30 if kind == "PNG" else -15])
    with pytest.raises(ValueError, match="tiny: .*Replace or remove"):
        photos.PhotoReader().inspect_file(path)
    with pytest.raises(FileNotFoundError, match="no photograph at .*nowhere"):
        photos.PhotoReader().inspect_file(tmp_path / "nowhere")


def test_examples_are_spread_evenly_and_finished(tmp_path):
    image_files.write_folder(tmp_path, {"train": 2, "validation": 7}, class_data.SIZE)
    pipe = class_data.make(
        tmp_path,
        source=paired_folders.PairedFolders(tmp_path),
        encoding=label_maps.LabelEncoding(4, mask_in_step=True),
    )
    found, stacked = pipe.examples("validation", 3)
    assert found == ["validation/000", "validation/002", "validation/004"]
    (whole,) = batches.take(pipe.evaluation_dataset("validation", 7).map(pipe.preprocess), 1)
    for key in ("image", "label_map", "mask"):
        np.testing.assert_array_equal(stacked[key], whole[key][[0, 2, 4]])
    assert len(pipe.examples("validation")[0]) == len(pipe.examples("validation", 99)[0]) == 7


@pytest.mark.skipif("TESSERA_DATA" not in os.environ, reason="TESSERA_DATA names no data folder")
def test_real_cifar10_folders(tmp_path):
    source = class_folders.ClassFolders(os.path.join(os.environ["TESSERA_DATA"], "cifar10"))
    pipe = class_data.make(tmp_path, tmp_path, source=source, image_size=[32, 32])
    assert len(pipe.image_class_names) == 10
    assert pipe.check().files == pipe.num_examples("train") + pipe.num_examples("validation")
    for found in batches.take(pipe.training_dataset(global_batch_size=64), 3):
        batch.check_batch(found)
