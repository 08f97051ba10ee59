"""The pipeline: exact order, any start, workers, evaluation, caches, and what the batches hold."""

import itertools
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data import batch, decoded_cache, label_maps, order, pipeline, sources, transforms
from tests import image_files

COUNT, CLASSES, SIZE = 7, 4, (8, 6)


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    return image_files.write_folder(
        root, {"train": COUNT, "validation": 3}, (10, 8), CLASSES, ("a", "b")
    )


@pytest.fixture
def root(shared_root):
    return shared_root


def make(root, tmp_path=None, kind="memory", augment=True, in_step=False, load=(10, 8), **changes):
    labels = changes.pop("labels", None) or label_maps.LabelEncoding(
        CLASSES, check="none", mask_in_step=in_step
    )
    augmentations = {"crop": transforms.RandomCrop(list(SIZE)), "flip": transforms.RandomFlip()}
    settings = {
        "source": sources.PairedFolders(root, class_folders=True),
        "image_size": list(SIZE),
        "labels": labels,
        "resize": transforms.Resize(list(load) if load else None),
        "augmentations": augmentations if augment else None,
        "cache": decoded_cache.CacheSettings(kind, tmp_path),
        "seed": 5,
    }
    return pipeline.ImagePipeline(**{**settings, **changes})


def take(dataset, count):
    return [{k: v.numpy() for k, v in b.items()} for b in itertools.islice(dataset, count)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def joined(batches):
    return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def test_batches_keep_the_contract(root):
    pipe = make(root)
    dataset = pipe.training_dataset(0, global_batch_size=3)
    for spec in (pipe.element_spec, dataset.element_spec):
        batch.check_batch(spec, required=("image", "label_map", "mask", "label"),
                          num_classes=CLASSES)  # fmt: skip
        assert set(spec) == {"image", "label_map", "mask", "label"}
    for key, spec in dataset.element_spec.items():
        assert spec.shape == [3, *pipe.element_spec[key].shape[1:]]  # full batches, all static
        assert spec.dtype == pipe.element_spec[key].dtype
    (first,) = take(dataset, 1)
    batch.check_batch(first, num_classes=CLASSES)
    np.testing.assert_array_equal(first["mask"].argmax(-1), first["label_map"])
    np.testing.assert_array_equal(first["mask"].sum(-1), 1)
    # The red channel of the test photographs is ten times the id: geometry is shared.
    np.testing.assert_allclose((first["image"][..., 0] + 1) * 12.75, first["label_map"], atol=1e-4)
    assert pipe.num_classes == CLASSES and len(pipe.class_names) == len(pipe.class_colors) == 4
    assert pipe.label_names == ("a", "b") and pipe.num_examples("validation") == 3


def test_labels_and_names_belong_to_the_images(root):
    pipe = make(root, load=None, augment=False, image_size=[10, 8])
    records = {record.name: record for record in pipe.source.records("train")}
    for index, found in enumerate(take(pipe.training_dataset(global_batch_size=3), 4)):
        for row, name in enumerate(pipe.batch_names(index, 3)):
            ids = np.asarray(Image.open(records[name].label_map))
            np.testing.assert_array_equal(found["label_map"][row], ids)
            assert found["label"][row] == records[name].label


def test_every_epoch_shows_each_item_once_in_another_order(root):
    pipe = make(root)
    names = [name for i in range(7 * COUNT) for name in pipe.batch_names(i, 1)]
    epochs = [names[i * COUNT : (i + 1) * COUNT] for i in range(7)]
    assert all(sorted(epoch) == sorted(pipe.evaluation_names("train")) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 4
    assert [make(root).batch_names(i, 1)[0] for i in range(COUNT)] == epochs[0]
    assert [make(root, seed=6).batch_names(i, 1)[0] for i in range(COUNT)] != epochs[0]
    # A batch over the end of an epoch continues with the next one.
    assert pipe.batch_names(2, 3) == names[6:9]


@pytest.mark.parametrize("start", [1, 2, 3, 50])
def test_starting_late_equals_skipping(root, start):
    pipe = make(root)
    whole = take(pipe.training_dataset(0, global_batch_size=3), start + 3)
    assert_same(take(pipe.training_dataset(start, global_batch_size=3), 3), whole[start:])


def test_starting_late_decodes_nothing_before(root, monkeypatch):
    """Position 0 of the part is read first, however late it starts."""
    seen, read = [], decoded_cache.NoStore.read

    def watched(self, index):
        tf.numpy_function(lambda i: seen.append(int(i)), [index], [])
        return read(self, index)

    monkeypatch.setattr(decoded_cache.NoStore, "read", watched)
    pipe = make(root, kind="none")
    take(pipe.training_dataset(10**6, global_batch_size=2), 1)
    assert len(seen) < 60  # What the prefetch reads ahead; not two million.


def test_augmentation_differs_between_epochs_but_not_between_runs(root):
    pipe = make(root)
    first = take(pipe.training_dataset(global_batch_size=COUNT), 2)
    assert_same(first, take(make(root).training_dataset(global_batch_size=COUNT), 2))
    order_of = [np.argsort(pipe.batch_names(i, COUNT)) for i in range(2)]
    images = [b["image"][o] for b, o in zip(first, order_of, strict=True)]
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize(("workers", "replica"), [(2, None), (2, 1), (1, 2), (4, 1)])
def test_workers_and_replicas_cut_the_same_global_batch(root, workers, replica):
    pipe = make(root)
    whole = take(pipe.training_dataset(2, global_batch_size=4), 3)
    parts = 4 // workers // (replica or 4 // workers)
    pieces = [
        take(
            pipe.training_dataset(2, global_batch_size=4, replica_batch_size=replica,
                                  worker=worker, num_workers=workers),
            3 * parts,
        )
        for worker in range(workers)
    ]  # fmt: skip
    rebuilt = [
        joined([b for piece in pieces for b in piece[i * parts : (i + 1) * parts]])
        for i in range(3)
    ]
    assert_same(rebuilt, whole)


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
        make(root).training_dataset(**sizes)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_evaluation_shows_every_item_once_and_pads(root, batch_size):
    pipe = make(root)
    dataset = pipe.evaluation_dataset("validation", batch_size)
    batches = take(dataset, 99)
    assert len(batches) == int(dataset.cardinality()) == -(-3 // batch_size)
    assert all(len(b["image"]) == batch_size for b in batches)
    batch.check_batch(dataset.element_spec, required=("valid",))
    whole = joined(batches)
    assert whole["valid"].tolist() == [True] * 3 + [False] * (len(whole["valid"]) - 3)
    names = pipe.evaluation_names("validation")
    for row, name in enumerate(names):
        ids = np.asarray(Image.open(root / "labels" / f"{name}.bmp"))
        np.testing.assert_array_equal(whole["label_map"][row], ids[1:9, 1:7])  # 10x8 -> 8x6
        np.testing.assert_array_equal(pipe.read_label_map(root / "labels" / f"{name}.bmp"),
                                      whole["label_map"][row])  # fmt: skip
        np.testing.assert_array_equal(pipe.read_image(root / "photos" / f"{name}.png"),
                                      whole["image"][row])  # fmt: skip
    with pytest.raises(ValueError, match="`batch_size` must be positive"):
        pipe.evaluation_dataset("validation", 0)
    with pytest.raises(KeyError, match="no split 'test'"):
        pipe.evaluation_dataset("test", 1)


@pytest.mark.parametrize("load", [None, (10, 8), (13, 9)])
def test_caches_equal_each_other(root, tmp_path, load):
    found = {
        kind: take(make(root, tmp_path, kind, load=load).training_dataset(global_batch_size=3), 5)
        for kind in ("none", "memory", "file")
    }
    assert_same(found["memory"], found["none"])
    assert_same(found["file"], found["none"])


class TestFileCache:
    def files(self, folder):
        return {p.name: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}

    def test_is_reused(self, root, tmp_path):
        take(make(root, tmp_path, "file").training_dataset(global_batch_size=3), 1)
        before = self.files(tmp_path)
        assert len(before) == COUNT and all(name.endswith(".uint8") for name in before)
        take(make(root, tmp_path, "file").training_dataset(global_batch_size=3), 1)
        assert self.files(tmp_path) == before

    def test_other_settings_make_other_files(self, root, tmp_path):
        variants = [
            {}, {"load": (11, 9)}, {"resize": transforms.Resize([10, 8], keep_aspect_ratio=True)},
            {"labels": label_maps.LabelEncoding(CLASSES, id_map={0: 1, 1: 0, 2: 2, 3: 3})},
        ]  # fmt: skip
        for number, changes in enumerate(variants, 1):
            take(make(root, tmp_path, "file", **changes).training_dataset(global_batch_size=3), 1)
            assert len(self.files(tmp_path)) == number * COUNT

    def test_changed_and_cut_files_are_made_again(self, tmp_path):
        root = image_files.write_folder(tmp_path / "set", {"train": 3}, (10, 8), CLASSES, ("a",))
        cache = tmp_path / "cache"
        first = take(make(root, cache, "file").training_dataset(global_batch_size=3), 1)
        next(cache.rglob("*.uint8")).write_bytes(b"cut")
        assert_same(take(make(root, cache, "file").training_dataset(global_batch_size=3), 1), first)
        path = root / "labels/train/a/000.bmp"
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        take(make(root, cache, "file").training_dataset(global_batch_size=3), 1)
        assert len(self.files(cache)) == 4

    def test_failed_write_leaves_nothing_and_says_what_to_do(self, root, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(decoded_cache.os, "replace", full)
        with pytest.raises(OSError, match="No space left.*make room.*data.cache.kind=none"):
            make(root, tmp_path, "file").training_dataset(global_batch_size=3)
        assert self.files(tmp_path) == {}


def test_auto_takes_memory_then_files_then_nothing(root, tmp_path, monkeypatch):
    settings = decoded_cache.CacheSettings("auto", tmp_path, memory_limit_gib=1)
    assert settings.choose(2**30, root) == "memory"
    assert settings.choose(2**30 + 1, root) == "file"
    monkeypatch.setattr(decoded_cache, "_free_disk_bytes", lambda folder: 2**31)
    assert settings.choose(2**30 + 1, root) == "none"
    monkeypatch.setattr(decoded_cache, "free_memory_bytes", lambda: 400)
    assert decoded_cache.CacheSettings("auto", tmp_path).choose(100, root) == "memory"
    assert decoded_cache.CacheSettings("auto", tmp_path).choose(101, root) == "file"
    assert decoded_cache.free_memory_bytes() == 400
    with pytest.raises(ValueError, match="`kind` must be one of.*data.cache.kind='disk'"):
        decoded_cache.CacheSettings("disk")


def test_cache_folder_is_beside_the_data_where_that_can_be_written(tmp_path, monkeypatch):
    settings = decoded_cache.CacheSettings()
    assert settings.resolved_folder(tmp_path) == tmp_path / ".cache"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.resolved_folder("~/x") == tmp_path / "x" / ".cache"
    monkeypatch.setattr(decoded_cache.os, "access", lambda *_: False)
    assert str(settings.resolved_folder(tmp_path)) == "datasets/.cache"
    assert decoded_cache.CacheSettings(folder="x").resolved_folder(tmp_path).name == "x"


def test_mask_in_step_leaves_the_last_ops_to_finish(root):
    whole, lean = make(root), make(root, in_step=True)
    expected = take(whole.training_dataset(global_batch_size=3), 2)
    dataset = lean.training_dataset(global_batch_size=3)
    assert set(lean.element_spec) == set(dataset.element_spec) == {"image", "label_map", "label"}
    assert lean.element_spec["image"].dtype == dataset.element_spec["image"].dtype == tf.uint8
    batch.check_batch(lean.element_spec, finished=False)
    finish = tf.function(lean.finish)
    assert_same([{k: v.numpy() for k, v in finish(b).items()} for b in dataset.take(2)], expected)
    first = expected[0]
    again = whole.finish({k: tf.constant(v) for k, v in first.items()})
    assert_same([{k: v.numpy() for k, v in again.items()}], [first])
    lean_rows = lean.evaluation_dataset("validation", 2).element_spec
    assert "mask" not in lean_rows and "valid" in lean_rows


def test_ignored_pixels_have_an_all_zero_mask(tmp_path):
    ids = np.array([[0, 1], [255, 2]])
    image_files.write_pair(tmp_path, "train/1", ids, photo=np.zeros((2, 2, 3), np.uint8))
    pipe = pipeline.ImagePipeline(
        sources.PairedFolders(tmp_path), [2, 2],
        labels=label_maps.LabelEncoding(3, ignore_index=255),
    )  # fmt: skip
    (found,) = take(pipe.training_dataset(global_batch_size=1), 1)
    np.testing.assert_array_equal(found["label_map"][0], ids)
    np.testing.assert_array_equal(found["mask"][0, 1, 0], np.zeros(3))
    assert found["mask"].sum() == 3 and "label" not in found


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_photographs_of_every_format_are_what_pillow_reads(tmp_path, suffix, mode):
    rng = np.random.default_rng(0)
    shape = (8, 6, 3) if mode == "RGB" else (8, 6)
    photo = rng.integers(0, 256, shape).astype(np.uint8)
    image_files.write_pair(tmp_path, "train/1", np.zeros(SIZE), photo=photo, suffix=suffix)
    expected = np.asarray(Image.open(tmp_path / f"photos/train/1{suffix}").convert("RGB"))
    pipe = pipeline.ImagePipeline(
        sources.PairedFolders(tmp_path), SIZE, labels=label_maps.LabelEncoding(2, mask_in_step=True)
    )
    (found,) = take(pipe.training_dataset(global_batch_size=1), 1)
    np.testing.assert_array_equal(found["image"][0], expected)


class TestBadFilesWithoutTheCheck:
    """Decoding itself names the file too."""

    @pytest.fixture
    def small(self, tmp_path):
        return image_files.write_folder(tmp_path, {"train": 3}, SIZE, CLASSES, ("a",))

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("photos/train/a/001.png", b"no image", "001.png: not an image file"),
            ("labels/train/a/002.bmp", b"BM", "002.bmp: not a BMP file, or cut off"),
            ("labels/train/a/001.bmp", image_files.bmp_bytes(np.full(SIZE, 9, np.uint8)),
             "value 9 in 1 files.*001.bmp"),
            ("labels/train/a/001.bmp", image_files.bmp_bytes(np.zeros((6, 8), np.uint8)),
             "differ in size.*001.bmp 6x8"),
            ("labels/train/a/000.bmp", image_files.rgb_bmp_bytes(np.zeros((8, 6, 3), np.uint8)),
             "000.bmp: holds colours"),
        ],
    )  # fmt: skip
    def test_filling_a_cache(self, small, name, content, message):
        (small / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            make(small, load=None).training_dataset(global_batch_size=1)

    def test_what_only_tensorflow_refuses_is_still_named(self, small, monkeypatch):
        monkeypatch.setattr("data.label_check.check_pair", lambda *_: None)
        (small / "photos/train/a/001.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match="Decoding .*001.png and .*001.bmp failed"):
            make(small, load=None).training_dataset(global_batch_size=1)


def test_photograph_read_by_itself(tmp_path, root):
    pipe = make(root)
    with pytest.raises(FileNotFoundError, match="no photograph at this path"):
        pipe.read_image(tmp_path / "nowhere.png")
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match="x.png: not an image file"):
        pipe.read_image(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError, match="no label map at this path"):
        pipe.read_label_map(tmp_path / "nowhere.bmp")


def test_check_runs_on_all_splits(tmp_path):
    root = image_files.write_folder(tmp_path, {"train": 2, "validation": 1}, SIZE, CLASSES, ("a",))
    report = make(root, tmp_path / "c", labels=label_maps.LabelEncoding(CLASSES)).check()
    assert report.files == 3 and report.pixels.sum() == 3 * 48
    assert make(root).check() is None  # check: none
    with pytest.raises(ValueError, match="value 3 in"):
        make(root, tmp_path / "c", labels=label_maps.LabelEncoding(3)).check()
    (root / "labels/train/a/000.bmp").unlink()
    with pytest.raises(ValueError, match="1 photographs without a map"):
        make(root).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": [0, 8]}, "`image_size` must be"),
        ({"image_size": [12, 8]}, r"data.resize.load_size=\[10, 8\], data.image_size=\[12, 8\]"),
        ({"seed": -1}, "`seed` must be an integer"),
        ({"seed": 2**31}, "`seed` must be an integer"),
    ],
)
def test_settings_that_cannot_be(root, changes, message):
    with pytest.raises(ValueError, match=message):
        make(root, **changes)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 37])
def test_the_shuffle_is_a_permutation_in_every_epoch(count):
    index_of = tf.function(lambda p: order.example_at(p, count, 2**31 - 1))
    for epoch in (0, 1, 2**20):
        found = [index_of(tf.constant(epoch * count + i, tf.int64)) for i in range(count)]
        assert sorted(int(index) for _, index in found) == list(range(count))
        assert {int(e) for e, _ in found} == {epoch}


def test_augmentation_seeds_are_distinct():
    seeds = {
        tuple(order.augmentation_seed(seed, tf.constant(e, tf.int64), tf.constant(i, tf.int64), p)
              .numpy().tolist())
        for seed, e, i, p in itertools.product((0, 7, 2**31 - 1), (0, 1), (0, 1, 2**31), (0, 1))
    }  # fmt: skip
    assert len(seeds) == 3 * 2 * 3 * 2


@pytest.mark.skipif("TESSERA_DATA" not in os.environ, reason="TESSERA_DATA names no data folder")
def test_real_facades(tmp_path):
    from data import splits

    root = os.path.join(os.environ["TESSERA_DATA"], "facades")
    source = sources.PairedFolders(root, splits=splits.HashedSplits(
        group_pattern=r"(\d+)$", group_modulo=300))  # fmt: skip
    pipe = pipeline.ImagePipeline(
        source, [64, 96], labels=label_maps.LabelEncoding(5),
        cache=decoded_cache.CacheSettings("none", tmp_path),
    )  # fmt: skip
    report = pipe.check()
    shares = report.pixels / report.pixels.sum()
    np.testing.assert_allclose(shares, [0.355, 0.406, 0.024, 0.165, 0.051], atol=6e-4)
    assert pipe.num_examples("train") + pipe.num_examples("validation") == report.files == 906
    for found in take(pipe.training_dataset(global_batch_size=4), 3):
        batch.check_batch(found, num_classes=5)
