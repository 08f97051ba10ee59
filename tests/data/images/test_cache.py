"""Decoded images in memory and in files: equal batches, and when files are made again."""

import os

import pytest

from data import files, transforms
from data.images import decoded_cache
from data.labels import label_maps
from tests.helpers import batches, image_files, pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pairs.write(tmp_path_factory.mktemp("set"))


@pytest.mark.parametrize("load", [None, pytest.param((10, 8), marks=pytest.mark.slow), (13, 9)])
def test_caches_equal_each_other(root, tmp_path, load):
    found = {
        kind: batches.take(
            pairs.make(root, tmp_path, kind, load=load).training_dataset(global_batch_size=3), 5
        )
        for kind in ("none", "memory", "file")
    }
    batches.assert_same(found["memory"], found["none"])
    batches.assert_same(found["file"], found["none"])


class TestFileCache:
    def files(self, folder):
        return {p.name: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}

    def test_is_reused(self, root, tmp_path):
        batches.take(pairs.make(root, tmp_path, "file").training_dataset(global_batch_size=3), 1)
        before = self.files(tmp_path)
        assert len(before) == pairs.COUNT and all(name.endswith(".uint8") for name in before)
        batches.take(pairs.make(root, tmp_path, "file").training_dataset(global_batch_size=3), 1)
        assert self.files(tmp_path) == before

    def test_other_settings_make_other_files(self, root, tmp_path):
        variants = [
            {}, {"load": (11, 9)}, {"resize": transforms.Resize([10, 8], keep_aspect_ratio=True)},
            {"encoding": label_maps.LabelEncoding(pairs.CLASSES, id_map={0: 1, 1: 0, 2: 2, 3: 3})},
        ]  # fmt: skip
        for number, changes in enumerate(variants, 1):
            batches.take(
                pairs.make(root, tmp_path, "file", **changes).training_dataset(global_batch_size=3),
                1,
            )
            assert len(self.files(tmp_path)) == number * pairs.COUNT

    def test_changed_and_cut_files_are_made_again(self, tmp_path):
        root = image_files.write_folder(
            tmp_path / "set", {"train": 3}, (10, 8), pairs.CLASSES, ("a",)
        )
        cache = tmp_path / "cache"
        first = batches.take(
            pairs.make(root, cache, "file").training_dataset(global_batch_size=3), 1
        )
        next(cache.rglob("*.uint8")).write_bytes(b"cut")
        batches.assert_same(
            batches.take(pairs.make(root, cache, "file").training_dataset(global_batch_size=3), 1),
            first,
        )
        path = root / "labels/train/a/000.bmp"
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        batches.take(pairs.make(root, cache, "file").training_dataset(global_batch_size=3), 1)
        assert len(self.files(cache)) == 4

    def test_failed_write_leaves_nothing_and_says_what_to_do(self, root, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(decoded_cache.os, "replace", full)
        with pytest.raises(OSError, match="No space left.*make room.*data.cache.kind=none"):
            pairs.make(root, tmp_path, "file").training_dataset(global_batch_size=3)
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
    assert settings.resolved_folder(tmp_path) == files.DATASETS / ".cache"
    assert decoded_cache.CacheSettings(folder="x").resolved_folder(tmp_path).name == "x"
