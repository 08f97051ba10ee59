"""Photographs and label maps decoded: every format, and files that cannot be read."""

import numpy as np
import pytest
from PIL import Image

from data import pipeline
from data.labels import label_maps
from data.sources import paired_folders
from tests.helpers import batches, image_files, pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return pairs.write(tmp_path_factory.mktemp("set"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_photographs_of_every_format_are_what_pillow_reads(tmp_path, suffix, mode):
    rng = np.random.default_rng(0)
    shape = (8, 6, 3) if mode == "RGB" else (8, 6)
    photo = rng.integers(0, 256, shape).astype(np.uint8)
    image_files.write_pair(tmp_path, "train/1", np.zeros(pairs.SIZE), photo=photo, suffix=suffix)
    expected = np.asarray(Image.open(tmp_path / f"photos/train/1{suffix}").convert("RGB"))
    pipe = pipeline.ImagePipeline(
        paired_folders.PairedFolders(tmp_path),
        pairs.SIZE,
        encoding=label_maps.LabelEncoding(2, mask_in_step=True),
    )
    (found,) = batches.take(pipe.training_dataset(global_batch_size=1), 1)
    np.testing.assert_array_equal(found["image"][0], expected)


class TestBadFilesWithoutTheCheck:
    """Decoding itself names the file too."""

    @pytest.fixture
    def small(self, tmp_path):
        return image_files.write_folder(tmp_path, {"train": 3}, pairs.SIZE, pairs.CLASSES, ("a",))

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("photos/train/a/001.png", b"no image", "001.png: not an image file"),
            ("labels/train/a/002.bmp", b"BM", "002.bmp: not a BMP file, or cut off"),
            ("labels/train/a/001.bmp", image_files.bmp_bytes(np.full(pairs.SIZE, 9, np.uint8)),
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
            pairs.make(small, load=None).training_dataset(global_batch_size=1)

    def test_what_only_tensorflow_refuses_is_still_named(self, small, monkeypatch):
        monkeypatch.setattr("data.labels.label_check.check_pair", lambda *_: None)
        (small / "photos/train/a/001.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match="Decoding .*001.png and .*001.bmp failed"):
            pairs.make(small, load=None).training_dataset(global_batch_size=1)


def test_photograph_read_by_itself(tmp_path, root):
    pipe = pairs.make(root)
    with pytest.raises(FileNotFoundError, match="no photograph at this path"):
        pipe.read_image(tmp_path / "nowhere.png")
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match="x.png: not an image file"):
        pipe.read_image(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError, match="no label map at this path"):
        pipe.read_label_map(tmp_path / "nowhere.bmp")
