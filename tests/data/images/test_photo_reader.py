"""Every odd photograph through every path: the same pixels, or the file is named."""

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from data import pipeline
from data.images import decoded_cache, photos
from data.labels import label_check, label_maps, no_label_maps
from data.sources import paired_folders, photo_folder, splits
from scripts.evaluating import subjects
from scripts.preparing import commands, preview
from scripts.sampling import photograph_files
from tests.helpers import image_files, label_sets, odd_photos
from training.watch import contact_sheet

ODD = odd_photos.files()
READER = photos.PhotoReader(odd_photos.BACKGROUND)
LOOK = {"background": list(odd_photos.BACKGROUND), "bits_used": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """photos/ and labels/ of all odd photographs; those without a sure map are in alone/."""
    root = tmp_path_factory.mktemp("odd")
    for name, (suffix, data, _) in ODD.items():
        sure = READER.inspect(data, name).fits_a_map
        for place in ("alone", "photos") if sure else ("alone",):
            path = root / place / f"{name}{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        if sure:
            label = root / "labels" / f"{name}.bmp"
            label.parent.mkdir(exist_ok=True)
            label.write_bytes(image_files.bmp_bytes(np.zeros(odd_photos.SHAPE, np.uint8)))
    return root


def trained(source, encoding=None):
    pipe = pipeline.ImagePipeline(
        source, list(odd_photos.SHAPE), encoding=encoding,
        cache=decoded_cache.CacheSettings("none"), **LOOK,
    )  # fmt: skip
    pipe.check()
    names, batch = pipe.examples("train")
    return pipe, dict(zip(names, contact_sheet.to_uint8(batch["image"]), strict=True))


def same(found):
    for name, pixels in found.items():
        np.testing.assert_array_equal(pixels, ODD[name][2], err_msg=name)


def test_training_reading_and_evaluation_see_the_same_pixels(folder):
    pipe, seen = trained(photo_folder.PhotoFolder(folder / "alone", splits=splits.NoSplits()))
    assert seen.keys() == ODD.keys()
    same(seen)
    paths = {path.stem: path for path in (folder / "alone").glob("[!.]*")}
    same({name: contact_sheet.to_uint8(pipe.read_image(p)) for name, p in paths.items()})  # style=
    config = SimpleNamespace(**LOOK)
    assert subjects.common_size(config, folder / "alone") == odd_photos.SHAPE
    judged = subjects.folder_data(folder / "alone", odd_photos.SHAPE, config)
    names, batch = judged.examples("train")
    same(dict(zip(names, contact_sheet.to_uint8(batch["image"]), strict=True)))


def test_pairs_and_photographs_to_be_sampled_are_the_same(folder, tmp_path):
    source = paired_folders.PairedFolders(folder, splits=splits.NoSplits())
    same(trained(source, label_maps.LabelEncoding(2))[1])
    config = SimpleNamespace(
        images=folder / "photos", count=None, masks=None, hole="center", seed=0
    )
    for find in (photograph_files.of_files, photograph_files.with_holes_of):
        found = find(READER, config, tmp_path)
        assert len(found) == len(list((folder / "photos").iterdir()))
        same({photograph.name: photograph.read()["image"] for photograph in found})


@pytest.mark.parametrize("size", [None, list(odd_photos.SHAPE)])
def test_converted_photographs_are_the_same(folder, tmp_path, monkeypatch, size):
    shown = {}
    monkeypatch.setattr(
        preview.photos.PhotoReader, "read",
        lambda self, path, read=photos.PhotoReader.read: shown.setdefault(
            Path(path).stem, read(self, path)
        ),
    )  # fmt: skip
    settings = label_sets.settings("convert", source=folder, out=tmp_path / "out", size=size)
    commands.convert({**settings, **LOOK, "preview_count": len(ODD)})
    same(shown)
    paths = list((tmp_path / "out/photos").rglob("*.*"))
    assert len(paths) == len(shown) == len(list((folder / "photos").iterdir()))
    for path in paths:
        assert photos.is_plain(path.read_bytes()), path
        same({path.stem: np.asarray(Image.open(path).convert("RGB"))})


def test_a_map_that_may_lie_otherwise_is_named(folder, tmp_path):
    """Upside down or of a square: its size does not tell which way the map was drawn."""
    unsure = sorted({p.name for p in (folder / "alone").glob("[!.]*")}
                    - {p.name for p in (folder / "photos").iterdir()})  # fmt: skip
    assert len(unsure) == 12  # orientations 2, 3 and 4, of four kinds
    for name in unsure:
        path = tmp_path / "photos/train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((folder / "alone" / name).read_bytes())
        ids = np.zeros(odd_photos.SHAPE, np.uint8)
        image_files.write_pair(tmp_path, f"train/{path.stem}", ids, photo=None, suffix=".gif")
    for path in (tmp_path / "photos").rglob("*.gif"):
        path.unlink()
    source = paired_folders.PairedFolders(tmp_path)
    encoding = label_maps.LabelEncoding(2)
    with pytest.raises(
        ValueError, match="12 pairs cannot be read.*orientation 2 .*: stored rotated"
    ):
        label_check.check_source(source, encoding, None)
    with pytest.raises(ValueError, match="orientation . .*: stored rotated or mirrored"):
        pipeline.ImagePipeline(source, list(odd_photos.SHAPE), encoding=encoding).examples("train")
    with pytest.raises(ValueError, match="orientation . .*: stored rotated or mirrored"):
        commands.convert(label_sets.settings("convert", source=tmp_path, out=tmp_path / "out"))


def test_a_map_drawn_on_the_stored_pixels_is_named(folder, tmp_path):
    name = "orientation 6 PNG"
    ids = np.zeros(odd_photos.SHAPE[::-1], np.uint8)
    image_files.write_pair(tmp_path, "train/a", ids)
    (tmp_path / "photos/train/a.png").write_bytes(ODD[name][1])
    with pytest.raises(ValueError, match="train/a.png: stored rotated or mirrored"):
        label_check.check_source(
            paired_folders.PairedFolders(tmp_path), label_maps.LabelEncoding(2), None
        )


class TestBits:
    @pytest.fixture
    def dark(self, tmp_path):
        """Twelve bits in sixteen."""
        for index in range(2):
            image_files.write_pair(tmp_path, f"train/{index}", np.zeros(odd_photos.SHAPE))
            levels = odd_photos.GREY.astype(np.uint16) * 16
            Image.fromarray(levels).save(tmp_path / f"photos/train/{index}.png")
        return tmp_path

    @pytest.mark.parametrize("command", ["check", "convert"])
    def test_the_advice_is_followed(self, dark, tmp_path, command):
        root, out = str(dark), str(tmp_path / "out")
        place = {"root": root} if command == "check" else {"source": root, "out": out}
        settings = label_sets.settings(command, **place)
        with pytest.raises(ValueError, match="nearly black.* 4000 of 65535.*Set bits_used=12 "):
            commands.run(OmegaConf.create(settings))
        commands.run(OmegaConf.create({**settings, "bits_used": 12}))
        if command == "convert":
            written = np.asarray(Image.open(tmp_path / "out/photos/train/0.png"))
            np.testing.assert_array_equal(written[..., 0], odd_photos.GREY)

    def test_more_bits_than_stated_are_refused(self, dark):
        with pytest.raises(ValueError, match="0.png: a level of 4000, more than 10 bits.*to 12"):
            photos.PhotoReader(bits_used=10).read(dark / "photos/train/0.png")
        dark = photos.PhotoReader(bits_used=16).read(dark / "photos/train/0.png")
        assert dark.max() == 4000 >> 8

    @pytest.mark.parametrize("settings", [{"bits_used": 7}, {"background": [1, 2, 300]}])
    def test_settings_that_cannot_be(self, settings):
        (name,) = settings
        with pytest.raises(ValueError, match=f"Received: data.{name}="):
            photos.PhotoReader(**settings)

    def test_levels_without_a_meaning_are_refused(self, tmp_path):
        Image.fromarray(np.full((4, 4), -0.5, np.float32)).save(tmp_path / "x.tif")
        with pytest.raises(ValueError, match="x.tif: levels from -0.5 to -0.5"):
            READER.read(tmp_path / "x.tif")


def test_earlier_runs_keep_the_colours_hidden_under_alpha():
    _, data, _ = ODD["alpha"]
    pixels = photos.PhotoReader().decode(data, "x")
    assert pixels[0, 0].tolist() == [0, 255, 0]


def test_pictures_behind_the_first_are_counted(folder, caplog):
    source = photo_folder.PhotoFolder(folder / "alone", splits=splits.NoSplits())
    with caplog.at_level(logging.WARNING):
        label_check.check_source(source, no_label_maps.NoLabelMaps(check="all"), None)
    assert "2 photographs hold several pictures" in caplog.text and "animated png" in caplog.text
