"""Photographs in class folders: what is found, what is refused, and batches without label maps."""

import io
import itertools
import os

import numpy as np
import pytest
from PIL import Image

from data import (
    batch,
    class_folders,
    decoded_cache,
    label_check,
    label_maps,
    no_label_maps,
    photos,
    pipeline,
    sources,
    splits,
    synthetic_facades,
    transforms,
)
from tests import image_files

SIZE = (6, 4)


def write(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 10 * number % 256, np.uint8)).save(path)
    return root


def names(source, split):
    return [record.name for record in source.records(split)]


@pytest.fixture
def root(tmp_path):
    """Eleven training and three validation images of three classes."""
    train = [f"train/{'cat dog eel'.split()[i % 3]}/{i:02d}.png" for i in range(11)]
    return write(
        tmp_path / "set", *train, *(f"validation/{c}/x.png" for c in ("eel", "dog", "cat"))
    )


def make(root, folder=None, kind="memory", check="all", in_step=False, **changes):
    settings = {
        "source": class_folders.ClassFolders(root),
        "image_size": list(SIZE),
        "labels": no_label_maps.NoLabelMaps(check, mask_in_step=in_step),
        "augmentations": {"flip": transforms.RandomFlip(),
                          "light": transforms.RandomBrightnessContrast()},
        "cache": decoded_cache.CacheSettings(kind, folder),
        "seed": 3,
    }  # fmt: skip
    return pipeline.ImagePipeline(**{**settings, **changes})


def take(dataset, count):
    return [{k: v.numpy() for k, v in b.items()} for b in itertools.islice(dataset, count)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


class TestLayouts:
    def test_split_folders(self, root):
        write(root, "train/dog/deep/er/y.webp", "train/.hidden/z.png", "train/dog/.z.png")
        (root / "train/dog/notes.txt").write_text("no image")
        source = class_folders.ClassFolders(root)
        assert source.label_names == ("cat", "dog", "eel")
        assert source.splits == ("train", "validation")
        assert source.count("train") == 12 and source.contents("train") is None
        found = {record.name: record for record in source.records("train")}
        assert found["train/dog/deep/er/y"].label == 1 and found["train/eel/02"].label == 2
        assert found["train/eel/02"].photo == str(root / "train/eel/02.png")
        assert found["train/eel/02"].label_map is None
        assert names(source, "validation") == [f"validation/{c}/x" for c in ("cat", "dog", "eel")]

    @pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "bmp", "webp"])
    def test_every_format(self, tmp_path, suffix):
        write(tmp_path, f"train/a/1.{suffix}", f"train/b/1.{suffix}", f"validation/a/1.{suffix}",
              f"validation/b/1.{suffix}")  # fmt: skip
        pipe = make(tmp_path)
        assert pipe.check().files == 4
        (found,) = take(pipe.training_dataset(global_batch_size=2), 1)
        assert sorted(found["label"]) == [0, 1]

    def test_without_a_validation_folder_a_share_of_train_is_taken(self, tmp_path):
        write(tmp_path, *(f"train/{i % 2}/{i:03d}.png" for i in range(60)))
        source = class_folders.ClassFolders(tmp_path)
        held_out = names(source, "validation")
        assert 0 < len(held_out) < 20 and source.count("train") + len(held_out) == 60
        expected = splits.HashedSplits({"validation": 0.1}).assign(
            sorted(names(source, "train") + held_out), ""
        )
        assert held_out == expected["validation"]
        write(tmp_path, "train/1/extra.png")
        assert set(held_out) <= set(names(class_folders.ClassFolders(tmp_path), "validation"))

    def test_no_split_folders(self, tmp_path):
        write(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(20)))
        with pytest.raises(ValueError, match="in a folder named after its class.*=hashed"):
            class_folders.ClassFolders(tmp_path).records("train")
        rule = splits.HashedSplits({"validation": 0.3})
        source = class_folders.ClassFolders(tmp_path, splits=rule)
        assert source.label_names == ("a", "b")
        assert source.count("train") + source.count("validation") == 40

    def test_lists(self, tmp_path):
        write(tmp_path, "a/1.png", "a/2.png", "b/3.png", "b/4.png")
        (tmp_path / "train.txt").write_text("b/4\na/1.png\n")
        (tmp_path / "validation.txt").write_text("a/2\n")
        rule = splits.ListSplits({"train": "train.txt", "validation": "validation.txt"})
        source = class_folders.ClassFolders(tmp_path, splits=rule)
        assert names(source, "train") == ["b/4", "a/1"]
        assert [record.label for record in source.records("train")] == [1, 0]

    def test_hashed_over_a_split_folder_says_what_to_do(self, tmp_path):
        write(tmp_path, *(f"train/{c}/{i}.png" for c in "ab" for i in range(20)))
        rule = splits.HashedSplits({"validation": 0.3})
        with pytest.raises(ValueError, match=r"named like splits.*\['train'\].*photos=train"):
            class_folders.ClassFolders(tmp_path, splits=rule).records("train")
        source = class_folders.ClassFolders(tmp_path, splits=rule, photos="train")
        assert source.label_names == ("a", "b") and source.count("validation") > 0

    def test_photographs_of_the_embedded_facades(self, tmp_path):
        synthetic_facades.ensure_written(
            tmp_path / "f", image_size=32, train_count=10, validation_count=5, processes=1
        )
        source = class_folders.ClassFolders(tmp_path / "f", photos="photos")
        assert source.label_names == tuple(sorted(synthetic_facades.STYLES))
        assert source.count("train") == 10 and source.count("validation") == 5

    def test_the_order_of_classes_can_be_given(self, root):
        source = class_folders.ClassFolders(root, class_names=["eel", "cat", "dog"])
        assert source.label_names == ("eel", "cat", "dog")
        assert {r.name: r.label for r in source.records("validation")} == {
            "validation/cat/x": 1, "validation/dog/x": 2, "validation/eel/x": 0}  # fmt: skip

    def test_names_that_differ_in_the_suffix_only(self, root):
        write(root, "train/cat/00.jpg")
        found = names(class_folders.ClassFolders(root), "train")
        assert {"train/cat/00.jpg", "train/cat/00.png", "train/dog/01"} <= set(found)


class TestRefusals:
    def test_missing_folders(self, root, tmp_path):
        with pytest.raises(
            FileNotFoundError, match="data.root -> .*nowhere. Expected: nowhere/tra"
        ):
            class_folders.ClassFolders(tmp_path / "nowhere").records("train")
        with pytest.raises(FileNotFoundError, match="data.source.photos -> .*pictures"):
            class_folders.ClassFolders(root, photos="pictures").records("train")

    def test_no_photographs(self, tmp_path):
        (tmp_path / "train/cat").mkdir(parents=True)
        with pytest.raises(ValueError, match="There are no photographs.*train/<class>/"):
            class_folders.ClassFolders(tmp_path).records("train")

    def test_photograph_outside_a_class(self, root):
        write(root, "train/lost.png")
        with pytest.raises(ValueError, match="named after its class: set/train/.*'train/lost'"):
            class_folders.ClassFolders(root).records("train")

    def test_empty_class_folder(self, root):
        for split in ("train", "validation"):
            (root / split / "fox").mkdir()
        with pytest.raises(ValueError, match=r"Received: empty \['train/fox', 'validation/fox'\]"):
            class_folders.ClassFolders(root).records("train")

    def test_class_in_one_split_only(self, root):
        write(root, "validation/Cat/1.png")
        with pytest.raises(ValueError, match=r"same class folders. Received: \['validation/Cat'\]"):
            class_folders.ClassFolders(root).records("train")

    def test_class_without_training_images(self, tmp_path):
        write(tmp_path, "a/1.png", "b/2.png")
        (tmp_path / "train.txt").write_text("a/1")
        rule = splits.ListSplits({"train": "train.txt"})
        with pytest.raises(ValueError, match=r"needs images in the split 'train'.*\['b'\]"):
            class_folders.ClassFolders(tmp_path, splits=rule).records("train")

    @pytest.mark.parametrize(
        ("listed", "message"),
        [
            (["cat", "dog"], r"not listed: \['eel'\], listed without a folder: \[\]"),
            (["cat", "dog", "eel", "fox"], r"listed without a folder: \['fox'\]"),
            (["cat", "dog", "eel", "eel"], "lists every class folder once"),
        ],
    )
    def test_class_names(self, root, listed, message):
        with pytest.raises(ValueError, match=message):
            class_folders.ClassFolders(root, class_names=listed).records("train")

    def test_unknown_split(self, root):
        with pytest.raises(KeyError, match="no split 'test'.*share of the photographs"):
            class_folders.ClassFolders(root).records("test")

    def test_validation_share(self, tmp_path):
        with pytest.raises(ValueError, match="`validation_share` lies between 0 and 1"):
            splits.FolderSplits(validation_share=1)
        rule = splits.FolderSplits(validation_share=1e-9)
        with pytest.raises(ValueError, match="leaves 2 for training and 0 for validation"):
            rule.assign(["train/a/1", "train/a/2"], tmp_path)


class TestBatches:
    def test_hold_image_and_label_only(self, root):
        pipe = make(root)
        dataset = pipe.training_dataset(global_batch_size=4)
        for spec in (pipe.element_spec, dataset.element_spec):
            assert set(spec) == {"image", "label"}
            batch.check_batch(spec, required=("image", "label"))
        (found,) = take(dataset, 1)
        batch.check_batch(found)
        assert found["image"].shape == (4, *SIZE, 3) and found["label"].dtype == np.int32
        assert (pipe.num_classes, pipe.class_names, pipe.class_colors) == (0, (), ())
        assert pipe.label_names == ("cat", "dog", "eel")

    def test_images_are_those_of_the_files(self, root):
        pipe = make(root, augmentations=None)
        records = {record.name: record for record in pipe.source.records("train")}
        for number, found in enumerate(take(pipe.training_dataset(global_batch_size=4), 3)):
            for row, name in enumerate(pipe.batch_names(number, 4)):
                expected = np.asarray(Image.open(records[name].photo)) / 127.5 - 1
                np.testing.assert_allclose(found["image"][row], expected, atol=1e-6)
                assert found["label"][row] == records[name].label

    @pytest.mark.parametrize("start", [1, 2, 30])
    def test_starting_late_equals_skipping(self, root, start):
        whole = take(make(root).training_dataset(0, global_batch_size=4), start + 3)
        late = make(root).training_dataset(start, global_batch_size=4)
        assert_same(take(late, 3), whole[start:])

    def test_caches_equal_each_other(self, root, tmp_path):
        found = [
            take(make(root, tmp_path, kind).training_dataset(global_batch_size=4), 5)
            for kind in ("none", "memory", "file", "file")
        ]
        for other in found[1:]:
            assert_same(other, found[0])

    def test_two_workers_equal_one(self, root):
        whole = take(make(root).training_dataset(1, global_batch_size=4), 3)
        parts = [
            take(make(root).training_dataset(1, global_batch_size=4, worker=w, num_workers=2), 3)
            for w in range(2)
        ]
        joined = [{k: np.concatenate([a[k], b[k]]) for k in a} for a, b in zip(*parts, strict=True)]
        assert_same(joined, whole)

    def test_bytes_until_the_step(self, root):
        lean = make(root, in_step=True)
        dataset = lean.training_dataset(global_batch_size=4)
        assert lean.element_spec["image"].dtype == dataset.element_spec["image"].dtype == "uint8"
        finished = [{k: v.numpy() for k, v in lean.finish(b).items()} for b in dataset.take(2)]
        assert_same(finished, take(make(root).training_dataset(global_batch_size=4), 2))

    def test_evaluation_and_examples(self, root):
        pipe = make(root)
        (first, second) = take(pipe.evaluation_dataset("validation", 2), 9)
        assert [*first["label"], *second["label"]] == [0, 1, 2, 2]
        assert [*first["valid"], *second["valid"]] == [True, True, True, False]
        found, stacked = pipe.examples("validation", 2)
        assert found == ["validation/cat/x", "validation/dog/x"]
        assert_same([{k: v.numpy() for k, v in stacked.items()}],
                    [{k: first[k] for k in ("image", "label")}])  # fmt: skip

    def test_centre_crop_keeps_the_aspect_ratio(self, tmp_path):
        photo = np.zeros((8, 24, 3), np.uint8)
        photo[:, 8:16] = 255
        for split in ("train", "validation"):
            (tmp_path / split / "a").mkdir(parents=True)
            Image.fromarray(photo).save(tmp_path / split / "a/1.png")
        resize = transforms.Resize(keep_aspect_ratio=True)
        pipe = make(tmp_path, image_size=[8, 8], resize=resize, augmentations=None)
        (found,) = take(pipe.training_dataset(global_batch_size=1), 1)
        np.testing.assert_array_equal(found["image"], 1)

    def test_label_maps_of_a_source_are_left_alone(self, tmp_path):
        image_files.write_folder(tmp_path, {"train": 4, "validation": 1}, SIZE, styles=("a", "b"))
        for path in (tmp_path / "labels").rglob("*.bmp"):
            path.write_bytes(b"never read")
        source = sources.PairedFolders(tmp_path, class_folders=True)
        pipe = make(tmp_path, source=source, labels=None)
        pipe.check()
        (found,) = take(pipe.training_dataset(global_batch_size=2), 1)
        assert set(found) == {"image", "label"}

    def test_label_maps_that_are_not_there(self, root, tmp_path):
        pipe = make(root, tmp_path, labels=label_maps.LabelEncoding(2))
        for use in (pipe.check, lambda: pipe.training_dataset(global_batch_size=1)):
            with pytest.raises(ValueError, match="no label maps. Received: .*data.labels=null"):
                use()


class TestCheck:
    def test_all_or_some(self, root, tmp_path):
        assert make(root, tmp_path).check().files == 14
        report = make(root, tmp_path, check="sample:2").check()
        assert report.files == 4 and len(report.table().splitlines()) == 1
        assert make(root, check="none").check() is None
        with pytest.raises(ValueError, match="`check` is 'all', 'sample"):
            no_label_maps.NoLabelMaps("some")

    def test_damaged_files_are_named_once_for_all(self, root, tmp_path):
        for name in ("00", "03"):
            path = root / f"train/cat/{name}.png"
            path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(ValueError, match="of 14 photographs found.*\n- 2 photographs cannot.*"
                           "cat/00.png: .*cat/03.png"):  # fmt: skip
            make(root, tmp_path).check()
        with pytest.raises(ValueError, match="cat/0[03].png: "):
            make(root, check="none").training_dataset(global_batch_size=1)

    def test_what_only_tensorflow_refuses_is_still_named(self, root, monkeypatch):
        monkeypatch.setattr("data.label_check.check_pair", lambda *_: None)
        (root / "train/cat/00.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match="Decoding .*cat/00.png failed: "):
            make(root).training_dataset(global_batch_size=1)

    def test_unchanged_files_are_not_read_again(self, root, tmp_path, monkeypatch):
        read, inspect = [], label_check.inspect
        monkeypatch.setattr(
            label_check, "inspect", lambda r, palette: read.append(r.name) or inspect(r, palette)
        )
        for _ in range(2):
            make(root, tmp_path).check()
        assert len(read) == 14

    def test_rotated_photographs_are_used_with_a_warning(self, root, tmp_path, caplog):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", SIZE).save(root / "train/cat/00.png", exif=exif)
        make(root, tmp_path).check()
        assert "1 photographs are stored rotated or mirrored (EXIF)" in caplog.text


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_tiny_photographs_can_be_inspected(tmp_path, kind):
    """Reading a JPEG at an eighth of its size must not ask for 0 pixels."""
    data = io.BytesIO()
    Image.new("RGB", (4, 3), (9, 9, 9)).save(data, kind)
    path = tmp_path / "tiny"
    path.write_bytes(data.getvalue())
    assert photos.inspect_photo(path) == (3, 4)
    path.write_bytes(data.getvalue()[: -30 if kind == "PNG" else -15])
    with pytest.raises(ValueError, match="tiny: .*Replace or remove"):
        photos.inspect_photo(path)
    with pytest.raises(ValueError, match="nowhere"):
        photos.inspect_photo(tmp_path / "nowhere")


def test_examples_are_spread_evenly_and_finished(tmp_path):
    image_files.write_folder(tmp_path, {"train": 2, "validation": 7}, SIZE)
    pipe = make(tmp_path, source=sources.PairedFolders(tmp_path),
                labels=label_maps.LabelEncoding(4, mask_in_step=True))  # fmt: skip
    found, stacked = pipe.examples("validation", 3)
    assert found == ["validation/000", "validation/002", "validation/004"]
    (whole,) = take(pipe.evaluation_dataset("validation", 7).map(pipe.finish), 1)
    for key in ("image", "label_map", "mask"):
        np.testing.assert_array_equal(stacked[key], whole[key][[0, 2, 4]])
    assert len(pipe.examples("validation")[0]) == len(pipe.examples("validation", 99)[0]) == 7


@pytest.mark.skipif("TESSERA_DATA" not in os.environ, reason="TESSERA_DATA names no data folder")
def test_real_cifar10_folders(tmp_path):
    source = class_folders.ClassFolders(os.path.join(os.environ["TESSERA_DATA"], "cifar10"))
    pipe = make(tmp_path, tmp_path, source=source, image_size=[32, 32])
    assert len(pipe.label_names) == 10
    assert pipe.check().files == pipe.num_examples("train") + pipe.num_examples("validation")
    for found in take(pipe.training_dataset(global_batch_size=64), 3):
        batch.check_batch(found)
