"""The check before training: every message, the histogram, and the cached result."""

import os

import numpy as np
import pytest
from PIL import Image

from data.labels import label_check, label_maps
from data.sources import paired_folders
from tests.helpers import image_files

CLASSES = 4


@pytest.fixture
def root(tmp_path):
    return image_files.write_folder(tmp_path / "set", {"train": 5, "validation": 2})


def check(root, cache=None, **settings):
    encoding = label_maps.LabelEncoding(settings.pop("num_classes", CLASSES), **settings)
    return label_check.check_source(paired_folders.PairedFolders(root), encoding, cache)


def test_histogram_counts_every_pixel(root):
    expected = np.zeros(CLASSES, int)
    for path in (root / "labels").rglob("*.bmp"):
        for value in np.asarray(Image.open(path)).ravel():
            expected[value] += 1
    report = check(root)
    np.testing.assert_array_equal(report.pixels, expected)
    assert report.files == 7 and report.ignored == 0 and report.absent == []
    assert report.values == dict(enumerate(expected))
    lines = report.table().splitlines()
    assert len(lines) == CLASSES + 1 and f"{expected[1]:,}" in lines[2]


def test_pixels_are_counted_by_split(root):
    by_split = check(root, ignore_index=3).pixels_by_split
    for split in ("train", "validation"):
        paths = list((root / "labels" / split).glob("*.bmp"))
        values = np.concatenate([np.asarray(Image.open(path)).ravel() for path in paths])
        assert by_split[split].tolist() == [int((values == k).sum()) for k in range(3)] + [0]


def test_ignored_and_mapped_pixels(root, caplog):
    counts = check(root).pixels
    report = check(root, id_map={0: 1, 1: 1, 2: 0}, ignore_index=3)
    assert report.pixels.tolist() == [counts[2], counts[0] + counts[1], 0, 0]
    assert report.ignored == counts[3] and report.absent == ["class 2", "class 3"]
    assert "occur in no label map: class 2, class 3" in caplog.text
    assert report.table().splitlines()[-1].split()[:2] == ["255", "(ignored)"]


def test_sample_reads_that_many_files_of_each_split(root):
    assert check(root, check="sample:2").files == 4
    assert check(root, check="sample:99").files == 7
    members = list(range(10))
    assert label_check.sample(members, 3) == [0, 3, 6]


def test_foreign_ids(root):
    ids = np.full((8, 8), 2, np.uint8)
    ids[0, :3], ids[1, 0] = 4, 9
    image_files.write_pair(root, "train/bad", ids)
    with pytest.raises(ValueError) as error:
        check(root)
    message = str(error.value)
    assert "value 4 in 1 files (3 pixels)" in message and "value 9 in 1 files" in message
    assert f"{root}/labels/train/bad.bmp" in message
    assert "data.encoding.num_classes=4, values 0..3 are expected" in message
    assert "data.encoding.num_classes=10" in message


def test_id_12_with_12_classes(tmp_path):
    image_files.write_pair(tmp_path, "train/a", np.arange(16).reshape(4, 4) % 13)
    with pytest.raises(ValueError, match="value 12 in 1 files.*data.encoding.num_classes=13"):
        check(tmp_path, num_classes=12)


@pytest.mark.parametrize(
    ("values", "classes", "advice"),
    [
        ([0, 3, 255], 4, "data.encoding.ignore_index=255"),
        ([1, 2, 3, 4], 4, r"data.encoding.id_map=\{1:0,2:1,3:2,4:3\}"),
        ([0, 255], 2, r"data.encoding.id_map=\{0:0,255:1\}"),
    ],
)
def test_advice_recognises_common_numberings(tmp_path, values, classes, advice):
    image_files.write_pair(tmp_path, "train/a", [values, values])
    with pytest.raises(ValueError, match=advice):
        check(tmp_path, num_classes=classes)


def test_the_advice_works(tmp_path):
    image_files.write_pair(tmp_path, "train/a", [[1, 2, 3, 4]])
    assert check(tmp_path, id_map={1: 0, 2: 1, 3: 2, 4: 3}).pixels.tolist() == [1, 1, 1, 1]


def test_truncated_files(root):
    for name in ("labels/train/000.bmp", "photos/train/001.png"):
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: len(data) - 30])
    jpeg = root / "photos/train/002.jpg"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[:-40])
    (root / "photos/train/002.png").unlink()
    (root / "photos/train/003.png").write_bytes(b"no image")
    with pytest.raises(ValueError) as error:
        check(root)
    message = str(error.value)
    assert "4 pairs cannot be read" in message
    for name in ("labels/train/000.bmp: truncated", "photos/train/001.png: ",
                 "photos/train/002.jpg: ", "photos/train/003.png: not an image file"):  # fmt: skip
        assert f"{root}/{name}" in message


def test_many_damaged_files_are_counted(root):
    for path in (root / "photos").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="7 pairs cannot be read.*; and 2 more"):
        check(root)


def test_sizes_that_differ(root):
    image_files.write_pair(root, "train/odd", np.zeros((8, 8)), photo=np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"1 pairs differ in size.*odd.png 8x9 and .*odd.bmp 8x8"):
        check(root)


def test_rotated_photograph(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "photos/train/000.png", exif=exif)
    with pytest.raises(ValueError, match=r"000.png: stored rotated or mirrored \(EXIF"):
        check(root)


def test_colour_maps(root):
    (root / "labels/train/000.bmp").write_bytes(
        image_files.rgb_bmp_bytes(np.full((8, 8, 3), 7, np.uint8))
    )
    with pytest.raises(ValueError, match="1 label maps hold colours.*000.bmp.*#070707.*convert"):
        check(root)


def test_everything_wrong_is_said_at_once(root):
    (root / "photos/train/003.png").write_bytes(b"no image")
    image_files.write_pair(root, "train/bad", np.full((8, 8), 9))
    with pytest.raises(ValueError, match="(?s)of 8 pairs.*1 pairs cannot be read.*value 9 in"):
        check(root)


def test_empty_split(root):
    source = paired_folders.PairedFolders(root)
    source._records["validation"] = ()
    with pytest.raises(ValueError, match="Split 'validation' is empty"):
        label_check.check_source(source, label_maps.LabelEncoding(CLASSES), None)


def test_orphans_are_found_before_files_are_read(root):
    (root / "labels/train/000.bmp").unlink()
    with pytest.raises(ValueError, match="1 photographs without a map"):
        check(root)


def test_one_pair(root):
    source = paired_folders.PairedFolders(root)
    record = source.records("train")[0]
    label_check.check_pair(record, label_maps.LabelEncoding(CLASSES))
    with pytest.raises(ValueError, match="value 3 in 1 files"):
        label_check.check_pair(record, label_maps.LabelEncoding(3))


class TestCachedResult:
    @pytest.fixture
    def reads(self, monkeypatch):
        counted, inspect = [], label_check.inspect
        monkeypatch.setattr(
            label_check, "inspect", lambda r, *how: counted.append(r.name) or inspect(r, *how)
        )
        return counted

    def test_unchanged_files_are_not_read_again(self, root, tmp_path, reads):
        first = check(root, tmp_path / "cache")
        assert len(reads) == 7
        second = check(root, tmp_path / "cache")
        assert len(reads) == 7
        np.testing.assert_array_equal(first.pixels, second.pixels)

    def test_changed_files_are_read_again(self, root, tmp_path, reads):
        check(root, tmp_path / "cache")
        path = root / "labels/train/000.bmp"
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        check(root, tmp_path / "cache")
        assert reads[7:] == ["train/000"]

    def test_settings_are_judged_anew_without_reading(self, root, tmp_path, reads):
        check(root, tmp_path / "cache")
        with pytest.raises(ValueError, match="value 3 in"):
            check(root, tmp_path / "cache", num_classes=3)
        assert len(reads) == 7
        check(root, tmp_path / "cache", palette={"#000000": 0})
        assert len(reads) == 14

    def test_errors_are_never_remembered(self, root, tmp_path, reads):
        path = root / "photos/train/000.png"
        good = path.read_bytes()
        path.write_bytes(b"")
        with pytest.raises(ValueError, match="cannot be read"):
            check(root, tmp_path / "cache")
        path.write_bytes(good)
        check(root, tmp_path / "cache")
        assert len(reads) == 8

    @pytest.mark.parametrize(
        "damage",
        [
            lambda old: b"",
            lambda old: b"\n",
            lambda old: b"[]\n" + b"[" * 100_000,
            lambda old: b'{"version": 3, "pairs": {"train/000": 5}}',  # as before version 4
            lambda old: old[:-1],
            lambda old: old.replace(b'"0": ', b'"1": ', 1),  # JSON, of other counts
            lambda old: old.replace(b"\n", b" \n", 1),
        ],
        ids=range(7),
    )
    def test_damaged_cache_is_replaced(self, root, tmp_path, reads, damage):
        first = check(root, tmp_path / "cache")
        (path,) = (tmp_path / "cache").iterdir()
        damaged = damage(path.read_bytes())
        assert damaged != path.read_bytes()
        path.write_bytes(damaged)
        np.testing.assert_array_equal(check(root, tmp_path / "cache").pixels, first.pixels)
        assert len(reads) == 14
        check(root, tmp_path / "cache")
        assert len(reads) == 14

    def test_unwritable_cache_does_not_matter(self, root, tmp_path, reads):
        blocked = tmp_path / "blocked"
        blocked.write_text("a file where the folder should be")
        assert check(root, blocked / "cache").files == 7
