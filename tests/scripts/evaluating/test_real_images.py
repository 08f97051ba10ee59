"""What real images are known by, and that changed ones never meet the features of others."""

import io
import types

import numpy as np
import pytest
from PIL import Image

from data import transforms
from scripts.evaluating import evaluation_data, real_images


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


def facts(folder):
    data = evaluation_data.of_folder(folder, (6, 8))
    return data, real_images.facts(data, evaluation_data.ALL, 2)


def test_images_are_known_by_their_pixels(folder):
    _, first = facts(folder)
    assert first["n_real"] == 5 and first["image_size"] == [6, 8]
    for path in folder.glob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    _, same = facts(folder)
    assert same["content_sha256"] == first["content_sha256"]
    pixels = np.asarray(Image.open(folder / "3.bmp")).copy()
    pixels[2, 3, 1] ^= 1
    Image.fromarray(pixels).save(folder / "3.bmp")
    _, other = facts(folder)
    assert other["content_sha256"] != first["content_sha256"]


def test_label_maps_and_holes_belong_to_the_content_but_not_to_what_is_seen():
    def known(**more):
        batch = {"image": np.zeros([2, 4, 4, 3], np.float32), **more}
        tensors = {key: types.SimpleNamespace(numpy=lambda v=v: v) for key, v in batch.items()}
        valid = types.SimpleNamespace(numpy=lambda: np.array([True, True]))
        data = types.SimpleNamespace(
            evaluation_dataset=lambda split, batch_size: [tensors | {"valid": valid}],
            preprocess=lambda batch: batch, image_size=(4, 4), load_size=(4, 4),
            resize=transforms.Resize(),
        )  # fmt: skip
        return real_images.facts(data, "any", 2)

    plain, mapped = known(), known(label_map=np.zeros([2, 4, 4], np.uint8))
    assert plain["seen_sha256"] == mapped["seen_sha256"]
    assert plain["content_sha256"] != mapped["content_sha256"]
    assert known(label=np.array([0, 1]))["seen_sha256"] != plain["seen_sha256"]


def test_features_are_kept_until_images_or_network_change(folder):
    def features(network):
        data, known = facts(folder)
        return real_images.features(data, known, network, 2)["features"], network.seen

    first, seen = features(Mean())
    assert seen == 5 and first.shape == (5, 3)
    kept, seen = features(Mean())
    assert seen == 0
    np.testing.assert_array_equal(kept, first)
    other = Mean()
    other.weights_hash = "1" * 64
    assert features(other)[1] == 5
    path = next((folder / ".cache").glob("features-*"))
    path.write_bytes(b"torn")
    Image.fromarray(np.zeros([6, 8, 3], np.uint8)).save(folder / "3.png")
    changed, seen = features(Mean())
    assert seen == 5 and (changed[3] == 0).all()


def test_the_same_bytes_in_another_shape_are_other_images(folder):
    for path in folder.glob("*.png"):
        Image.fromarray(np.zeros([6, 8, 3], np.uint8)).save(path)
    names = set()
    for size in ((6, 8), (8, 6), (12, 4)):
        data = evaluation_data.of_folder(folder, size)
        known = real_images.facts(data, evaluation_data.ALL, 2)
        real_images.features(data, known, Mean(), 2)
        names |= {path.name for path in (folder / ".cache").glob("features-*")}
    assert len(names) == 3


def test_a_damaged_or_forbidden_cache_costs_time_alone(folder):
    data, known = facts(folder)
    real_images.features(data, known, Mean(), 2)
    (path,) = (folder / ".cache").glob("features-*")
    whole, other = path.read_bytes(), io.BytesIO()
    np.savez(other, features=np.zeros([4, 3], np.float32))
    flipped = whole[:150] + bytes(20) + whole[170:]
    for damaged in (b"torn", b"", whole[: len(whole) // 2], flipped, other.getvalue()):
        path.write_bytes(damaged)
        network = Mean()
        real_images.features(data, known, network, 2)
        assert network.seen == 5
        assert path.read_bytes() == whole
    path.unlink()
    data.cache.kind = "none"
    real_images.features(data, known, Mean(), 2)
    assert not path.exists()


def test_one_size_or_a_size_that_is_said(folder):
    assert evaluation_data.common_size(folder, folder) == (6, 8)
    Image.fromarray(np.zeros([7, 8, 3], np.uint8)).save(folder / "odd.png")
    with pytest.raises(ValueError, match="0.png of 6x8, .*odd.png of 7x8. Say .*image_size=\\["):
        evaluation_data.common_size(folder)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        evaluation_data.common_size(folder / "nowhere")
