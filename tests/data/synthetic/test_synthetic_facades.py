"""The embedded data set: deterministic, complete, written atomically, never over other files."""

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data.synthetic import facade_rendering, synthetic_facades

SMALL = {"image_size": 32, "train_count": 6, "validation_count": 5}


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(root).rglob("*.*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def many_maps():
    return [synthetic_facades.make_pair(i, image_size=64) for i in range(100)]


def test_a_pair_is_a_function_of_seed_split_and_index():
    photograph, labels = synthetic_facades.make_pair(7, image_size=48)
    again, labels_again = synthetic_facades.make_pair(7, image_size=48)
    assert photograph.mode == "RGB" and photograph.size == (48, 48)
    assert labels.shape == (48, 48) and labels.dtype == np.uint8
    assert photograph.tobytes() == again.tobytes()
    np.testing.assert_array_equal(labels, labels_again)
    for other in ({"seed": 1}, {"split": "validation"}):
        assert np.any(synthetic_facades.make_pair(7, image_size=48, **other)[1] != labels)


def test_every_class_occurs_in_a_fair_share_of_the_maps(many_maps):
    shares = np.stack([np.bincount(m.ravel(), minlength=12) / m.size for _, m in many_maps])
    assert shares.shape[1] == 12 == len(synthetic_facades.CLASS_NAMES)
    assert np.all(shares.mean(0) > 0.008), dict(
        zip(synthetic_facades.CLASS_NAMES, shares.mean(0), strict=True)
    )
    assert np.all((shares > 0.001).mean(0) > 0.3)


def test_styles_differ_in_colour(many_maps):
    """Brick walls are redder than modern ones in every light."""
    redness = {0: [], 1: [], 2: [], 3: [], 4: []}
    for index, (photograph, labels) in enumerate(many_maps):
        wall = np.asarray(photograph, np.float64)[labels == facade_rendering.FACADE].mean(0)
        redness[index % 5].append(wall[0] / wall[2])
    brick, modern = (redness[synthetic_facades.STYLES.index(s)] for s in ("brick", "modern"))
    assert min(brick) > np.median(modern) and np.mean(brick) > 1.3 * np.mean(modern)


def test_photograph_and_labels_stay_in_register(many_maps):
    """Colour edges lie where the class changes: far more contrast there than a shift away."""
    along, beside = [], []
    for photograph, labels in many_maps[:40]:
        grey = np.asarray(photograph.convert("L"), np.float64)
        step = np.abs(np.diff(grey, axis=1))
        change = labels[:, 1:] != labels[:, :-1]
        along.append(step[change].mean())
        beside.append(step[~change].mean())
    assert np.mean(along) > 2 * np.mean(beside)


def test_files_and_layout(tmp_path):
    root = synthetic_facades.ensure_written(tmp_path / "deep" / "set", **SMALL)
    photos = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.jpg"))
    labels = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.bmp"))
    assert len(photos) == 11 and "photos/train/haussmann/00005.jpg" in photos
    assert [p[7:-4] for p in photos] == [p[7:-4] for p in labels]
    assert os.listdir(root.parent) == ["set"]
    path = root / "labels/validation/brick/00001.bmp"
    expected = synthetic_facades.make_pair(1, split="validation", image_size=32)[1]
    decoded = tf.io.decode_bmp(path.read_bytes(), channels=0).numpy()
    np.testing.assert_array_equal(decoded[..., 0], expected)
    with Image.open(path) as image:
        assert image.mode == "P"
        colours = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colours, np.array(synthetic_facades.CLASS_COLORS)[expected])


def test_files_do_not_depend_on_the_number_of_processes(tmp_path):
    counts = {"image_size": 32, "train_count": 81, "validation_count": 5}
    one = synthetic_facades.ensure_written(tmp_path / "one", **counts, processes=1)
    two = synthetic_facades.ensure_written(tmp_path / "two", **counts, processes=2)
    assert digests(one) == digests(two) and len(digests(one)) == 2 * 86 + 1


def test_written_once(tmp_path):
    root = synthetic_facades.ensure_written(tmp_path / "set", **SMALL)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    synthetic_facades.ensure_written(root, **SMALL)
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob("*")}


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_folder_is_written_again(tmp_path, damage):
    root = synthetic_facades.ensure_written(tmp_path / "set", **SMALL)
    whole = digests(root)
    victim = root / "labels/train/modern/00002.bmp"
    victim.unlink() if damage == "missing" else os.truncate(victim, 100)
    synthetic_facades.ensure_written(root, **SMALL)
    assert digests(root) == whole and os.listdir(tmp_path) == ["set"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "set").mkdir()
    root = synthetic_facades.ensure_written(tmp_path / "set", **SMALL)
    assert (root / synthetic_facades.MARKER).exists()


def test_a_folder_that_holds_only_a_cache_is_used(tmp_path):
    (tmp_path / "set" / ".cache").mkdir(parents=True)
    root = synthetic_facades.ensure_written(tmp_path / "set", **SMALL)
    assert (root / synthetic_facades.MARKER).exists()
    synthetic_facades.ensure_written(root, **SMALL)


def test_source(tmp_path):
    source = synthetic_facades.SyntheticFacades(str(tmp_path / "set"), **SMALL)
    assert os.listdir(tmp_path) == []
    assert source.splits == ("train", "validation")
    assert source.image_class_names == tuple(sorted(synthetic_facades.STYLES))
    assert (source.count("train"), source.count("validation")) == (6, 5)
    record = next(r for r in source.records("train") if r.name.endswith("00003"))
    assert record.name == "train/timber/00003"
    assert source.image_class_names[record.label] == "timber"
    assert Path(record.photo).is_file() and Path(record.label_map).is_file()


def test_leftovers_of_killed_runs_are_removed_once_they_are_old(tmp_path):
    old, fresh = tmp_path / ".set.1-aa.partial", tmp_path / ".set.2-bb.partial"
    for folder in (old, fresh):
        folder.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    synthetic_facades.ensure_written(tmp_path / "set", **SMALL)
    assert fresh.exists() and not old.exists()


def test_two_runs_at_once(tmp_path):
    root = tmp_path / "set"
    with futures.ThreadPoolExecutor(3) as pool:
        runs = [
            pool.submit(synthetic_facades.ensure_written, root, **SMALL, processes=1)
            for _ in range(3)
        ]
        assert {run.result() for run in runs} == {root}
    reference = synthetic_facades.ensure_written(tmp_path / "reference", **SMALL)
    assert digests(root) == digests(reference)
    assert sorted(os.listdir(tmp_path)) == ["reference", "set"]


def test_a_failed_run_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(synthetic_facades, "write_pairs", fail)
    with pytest.raises(OSError, match="No space left"):
        synthetic_facades.ensure_written(tmp_path / "set", **SMALL)
    assert os.listdir(tmp_path) == []


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_text("mine")
    with pytest.raises(ValueError, match="holds other files.*choose another root"):
        synthetic_facades.ensure_written(tmp_path, **SMALL)
    assert os.listdir(tmp_path) == ["holiday.jpg"]
    file = tmp_path / "holiday.jpg"
    with pytest.raises(ValueError, match="holds other files"):
        synthetic_facades.ensure_written(file, **SMALL)
    assert file.read_text() == "mine"


def test_a_folder_of_other_settings_is_left_alone(tmp_path):
    root = synthetic_facades.ensure_written(tmp_path / "set", **SMALL)
    whole = digests(root)
    with pytest.raises(ValueError, match="other settings.*image_size is 32, not 64"):
        synthetic_facades.ensure_written(root, **{**SMALL, "image_size": 64})
    marker = root / synthetic_facades.MARKER
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "version": 0}))
    with pytest.raises(ValueError, match="version is 0"):
        synthetic_facades.ensure_written(root, **SMALL)
    assert {k: v for k, v in digests(root).items() if k != marker.name} == {
        k: v for k, v in whole.items() if k != marker.name
    }


@pytest.mark.parametrize(
    "wrong", [{"image_size": 16}, {"train_count": 0}, {"validation_count": 2.5}, {"seed": -1}]
)
def test_arguments_out_of_range(tmp_path, wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"at least .* Received: {name}={value}"):
        synthetic_facades.ensure_written(tmp_path / "set", **{**SMALL, **wrong})


def test_a_folder_that_keeps_changing_is_given_up(tmp_path, monkeypatch):
    work, root = tmp_path / "work", tmp_path / "set"
    work.mkdir()
    root.mkdir()
    (root / "file").touch()

    def busy(*_):
        raise FileNotFoundError

    monkeypatch.setattr(synthetic_facades, "is_complete", lambda *_: False)
    monkeypatch.setattr(synthetic_facades.os, "rename", busy)
    with pytest.raises(ValueError, match="keeps writing to the same folder"):
        synthetic_facades.publish(work, root, {})


def test_the_module_needs_no_tensorflow():
    name = "data.synthetic.synthetic_facades"
    code = f"import sys, {name}; sys.exit('tensorflow' in sys.modules)"
    root = Path(synthetic_facades.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
