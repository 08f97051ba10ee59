"""What real images are known by, that each is read once, and whose features are kept."""

import io
import types

import numpy as np
import pytest
from PIL import Image

from data import transforms
from data.images import decoded_cache
from scripts.evaluating import real_images, subjects

READING = types.SimpleNamespace(background=[255, 255, 255], bits_used=None)


class Mean:
    """The mean colour, counted as it is called."""

    name, weights_hash, resize = "Mean", "0" * 64, "none"

    def __init__(self):
        self.seen = 0

    def __call__(self, image):
        self.seen += len(image)
        return {"features": np.mean(image, axis=(1, 2), dtype=np.float32)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, [6, 8, 3]).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    return tmp_path / "images"


def test_a_passport_says_how_much_of_a_picture_was_seen(folder):
    """Whole pictures compare with those of runs that cut no crops; the crop keeps its protocol."""
    found = {}
    for rule, load_size in (("whole", None), ("whole", [12, 16]), ("crop", [12, 16])):
        real = read(folder)
        real.data.resize = transforms.Resize(load_size, evaluate=rule)
        found[rule, load_size is None] = real.seen(), real.protocol()["resize"]["load_size"]
    assert found["whole", True] == found["whole", False] == ("whole at 6x8", [6, 8])
    assert found["crop", False] == ("the middle 6x8 of 12x16", [12, 16])


def read(folder, network=None, size=(6, 8), **settings):
    data = subjects.folder_data(folder, size, READING)
    return real_images.RealImages(data, "train", 2, network=network, **settings)


def test_images_are_known_by_their_pixels(folder):
    first = read(folder).protocol()
    assert first["n_real"] == 5 and first["image_size"] == [6, 8] and first["split"] == "train"
    for path in folder.glob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    assert read(folder).protocol()["content_sha256"] == first["content_sha256"]
    pixels = np.asarray(Image.open(folder / "3.bmp")).copy()
    pixels[2, 3, 1] ^= 1
    Image.fromarray(pixels).save(folder / "3.bmp")
    assert read(folder).protocol()["content_sha256"] != first["content_sha256"]


def test_label_maps_and_holes_belong_to_the_content_but_not_to_what_is_seen():
    def known(**more):
        batch = {"image": np.zeros([2, 4, 4, 3], np.float32), **more, "valid": np.array([1, 1]) > 0}
        data = types.SimpleNamespace(
            evaluation_dataset=lambda split, batch_size: [dict(batch)],
            num_examples=lambda split: 2, preprocess=lambda batch: batch, image_size=(4, 4),
            load_size=(4, 4), resize=transforms.Resize(),
        )  # fmt: skip
        return real_images.RealImages(data, "any", 2).protocol()

    plain, mapped = known(), known(label_map=np.zeros([2, 4, 4], np.uint8))
    assert plain["seen_sha256"] == mapped["seen_sha256"]
    assert plain["content_sha256"] != mapped["content_sha256"]
    assert known(label=np.array([0, 1]))["seen_sha256"] != plain["seen_sha256"]


class Column:
    def reset_state(self):
        self.seen = 0

    def update_state(self, batch, generated):
        assert generated == {}
        self.seen += len(batch["image"])


@pytest.mark.parametrize("used", [0, 1, 2, 3])
def test_everything_is_found_out_in_one_reading(folder, monkeypatch, used):
    """However many batches someone else has taken before."""
    monkeypatch.setattr(decoded_cache.CacheSettings, "choose", lambda *_: "none")
    network, column = Mean(), Column()
    real = read(folder, network, columns=[column], num_images=3)
    datasets, whole = [], real.data.evaluation_dataset
    real.data.evaluation_dataset = lambda *args: datasets.append(args) or whole(*args)
    batches = real.batches()
    taken = [next(batches) for _ in range(used)]
    assert all(batch["image"].dtype == "float32" for batch in taken)
    assert real.protocol()["n_real"] == 5 and len(real.features()["features"]) == 5
    assert network.seen == 5 and column.seen == 3 and datasets == [("train", 2)]
    assert len(list(real.batches())) == 3  # others may read them again, unnoted
    assert network.seen == 5 and len(datasets) == 2 and real.protocol()["n_real"] == 5


def test_features_are_kept_until_images_or_network_change(folder):
    def features(network):
        return read(folder, network).features()["features"], network.seen

    first, seen = features(Mean())
    assert seen == 5 and first.shape == (5, 3)
    kept, seen = features(Mean())
    assert seen == 0
    np.testing.assert_array_equal(kept, first)
    other = Mean()
    other.weights_hash = "1" * 64
    assert features(other)[1] == 5
    Image.fromarray(np.zeros([6, 8, 3], np.uint8)).save(folder / "3.png")
    changed, seen = features(Mean())
    assert seen == 2 and (changed[3] == 0).all()  # the batch of the one that has changed
    np.testing.assert_array_equal(np.delete(changed, 3, 0), np.delete(first, 3, 0))
    assert features(Mean())[1] == 0
    (folder / "0.png").rename(folder / "5.png")
    moved, seen = features(Mean())
    np.testing.assert_array_equal(moved, np.roll(changed, -1, 0))
    assert seen == 0


def test_the_same_bytes_in_another_shape_are_other_images(folder):
    for path in folder.glob("*.png"):
        Image.fromarray(np.zeros([6, 8, 3], np.uint8)).save(path)
    names = set()
    for size in ((6, 8), (8, 6), (12, 4)):
        read(folder, Mean(), size).features()
        names |= {path.name for path in (folder / ".cache").glob("features-*")}
    assert len(names) == 3


def test_a_damaged_or_forbidden_cache_costs_time_alone(folder):
    expected = read(folder, Mean()).features()["features"]
    (path,) = (folder / ".cache").glob("features-*")
    whole, other, short = path.read_bytes(), io.BytesIO(), io.BytesIO()
    np.savez(other, features=np.zeros([5, 3], np.float32))
    np.savez(short, **{**np.load(path), "features": np.zeros([4, 3], np.float32)})
    flipped = whole[:150] + bytes(20) + whole[170:]
    for damaged in (b"torn", b"", whole[: len(whole) // 2], flipped, other.getvalue(),
                    short.getvalue()):  # fmt: skip
        path.write_bytes(damaged)
        network = Mean()
        np.testing.assert_array_equal(read(folder, network).features()["features"], expected)
        assert network.seen == 5
        assert path.read_bytes() == whole
    path.unlink()
    data = subjects.folder_data(folder, (6, 8), READING)
    data.cache.kind = "none"
    real_images.RealImages(data, "train", 2, network=Mean()).features()
    assert not path.exists()


def test_one_size_or_a_size_that_is_said(folder):
    assert subjects.common_size(READING, folder, folder) == (6, 8)
    Image.fromarray(np.zeros([7, 8, 3], np.uint8)).save(folder / "odd.png")
    with pytest.raises(ValueError, match="0.png of 6x8, .*odd.png of 7x8. Say .*image_size=\\["):
        subjects.common_size(READING, folder)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        subjects.common_size(READING, folder / "nowhere")


@pytest.mark.parametrize("kind", ["memory", "none"])
def test_a_file_that_breaks_before_it_is_read_is_named(folder, kind):
    real = read(folder)
    real.data.cache = decoded_cache.CacheSettings(kind)
    (folder / "4.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(ValueError, match=r"4\.png"):
        list(real.batches())


def test_a_file_that_breaks_before_it_is_read_is_skipped_where_that_is_asked_for(folder, caplog):
    real = read(folder)
    real.data.cache, real.data.on_bad_item = decoded_cache.CacheSettings("none"), "skip"
    (folder / "3.png").write_bytes(b"\x89PNG broken")
    images = np.concatenate([batch["image"] for batch in real.batches()])
    assert "3.png" in caplog.text and real.protocol()["n_real"] == 5
    np.testing.assert_array_equal(images[3], images[4])
