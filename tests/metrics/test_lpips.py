"""LPIPS against loops in float64, its files, and what it refuses."""

import hashlib
import os
from pathlib import Path

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf

from metrics import lpips
from tests.helpers import numpy_lpips, tiny
from tests.helpers import torch_file_writer as writer
from training.runs import run_config

WIDTHS = {"alex": [4, 5, 6, 3, 4], "vgg": [3, 4] * 2 + [3, 4, 5] * 3, "squeeze": [4] + [2, 3] * 4}
HEADS = {
    "alex": [64, 192, 384, 256, 256],
    "vgg": [64, 128, 256, 512, 512],
    "squeeze": [64, 128, 256, 384, 384, 512, 512],
}
DRAW = np.random.default_rng(1)
LEVELS = DRAW.integers(0, 256, [3, 36, 41, 3]).astype(np.uint8)
OTHERS = np.clip(LEVELS + DRAW.integers(-80, 80, LEVELS.shape), 0, 255).astype(np.uint8)


def unit(levels):
    return levels.astype(np.float32) / 127.5 - 1.0


@pytest.fixture(scope="module", params=["alex", "vgg", "squeeze"])
def case(request, tmp_path_factory):
    """Network, its files and the random weights in them."""
    network, folder = request.param, tmp_path_factory.mktemp("lpips")
    state, heads = numpy_lpips.random_weights(network, WIDTHS[network])
    backbone = writer.write(folder / "backbone.pth", state)
    return network, backbone, writer.write(folder / "heads.pth", heads, legacy=True), state, heads


@pytest.fixture(scope="module")
def alex(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alex")
    state, heads = numpy_lpips.random_weights("alex", WIDTHS["alex"])
    return lpips.LPIPS(
        writer.write(folder / "backbone.pth", state), writer.write(folder / "heads.pth", heads)
    )


def test_the_distance_by_loops_from_config(case):
    network, backbone, heads_file, state, heads = case
    root = OmegaConf.create({"lpips_backbone": str(backbone), "lpips_heads": str(heads_file)})
    root.lpips = OmegaConf.load(tiny.ROOT / "configs" / "lpips" / f"{network}.yaml")
    run_config.check_targets(root)
    metric = hydra.utils.instantiate(root.lpips, _convert_="all")
    expected = [
        numpy_lpips.distance(a, b, network, state, heads)
        for a, b in zip(LEVELS, OTHERS, strict=True)
    ]
    assert min(expected) > 0.01
    np.testing.assert_allclose(metric(LEVELS, OTHERS), expected, rtol=1e-4)
    metric.update_state({"image": unit(LEVELS[:2])}, {"image": unit(OTHERS[:2])})
    metric.update_state({"image": unit(LEVELS[2:])}, {"image": unit(OTHERS[2:])})
    metric.update_state({"image": unit(LEVELS[:0])}, {"image": unit(OTHERS[:0])})
    (name, value), *rest = metric.result().items()
    assert (name, rest) == (f"lpips_{network}", [])
    np.testing.assert_allclose(value, np.mean(expected), rtol=1e-4)
    assert metric.weights_hashes == {
        "backbone": hashlib.sha256(backbone.read_bytes()).hexdigest(),
        "heads": hashlib.sha256(heads_file.read_bytes()).hexdigest(),
    }


def test_equal_images_are_at_no_distance_and_sides_do_not_matter(alex):
    np.testing.assert_array_equal(alex(LEVELS, LEVELS), np.zeros(3))
    np.testing.assert_allclose(alex(LEVELS, OTHERS), alex(OTHERS, LEVELS), rtol=1e-6)


def test_images_are_rounded_to_8_bits(alex):
    np.testing.assert_array_equal(alex(LEVELS, unit(OTHERS) + 0.4 / 127.5), alex(LEVELS, OTHERS))


def test_each_image_is_alone_in_its_batch(alex):
    alone = [alex(LEVELS[i : i + 1], OTHERS[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(alex(LEVELS, OTHERS), alone, rtol=1e-5)


def test_what_cannot_be_measured_is_refused(alex):
    alex.update_state({"image": LEVELS}, {"image": OTHERS})
    alex.reset_state()
    with pytest.raises(ValueError, match="at least one image. Received: none"):
        alex.result()
    for first, second in ((LEVELS, OTHERS[:, 1:]), (LEVELS[:, :31], OTHERS[:, :31])):
        with pytest.raises(ValueError, match="images of one shape, at least 32 pixels wide"):
            alex(first, second)
    with pytest.raises(ValueError, match="finite images"):
        alex(LEVELS, np.full(LEVELS.shape, np.nan))


def test_other_weights_are_refused(alex, case, tmp_path):
    network, backbone, heads, *_ = case
    with pytest.raises(ValueError, match="\\['alex', 'vgg', 'squeeze'\\]. Received: network='res'"):
        lpips.LPIPS(backbone, heads, network="res")
    with pytest.raises(FileNotFoundError, match="nowhere.pth', where there is no file"):
        lpips.LPIPS(backbone, tmp_path / "nowhere.pth", network=network)
    if network != "alex":
        for files in ((alex.backbone_path, heads), (backbone, alex.heads_path)):
            with pytest.raises(ValueError, match="which do not fit: "):
                lpips.LPIPS(*files, network=network)


@pytest.mark.parametrize("network", HEADS)
def test_published_heads(network, tmp_path):
    """Needs TESSERA_DATA, a folder with feature_net/lpips_v0.1_alex.pth, ..._vgg, ..._squeeze."""
    heads_file = Path(os.environ.get("TESSERA_DATA", "")) / f"feature_net/lpips_v0.1_{network}.pth"
    if not os.environ.get("TESSERA_DATA") or not heads_file.is_file():
        pytest.skip(f"TESSERA_DATA names no folder with feature_net/lpips_v0.1_{network}.pth")
    heads = lpips.torch_files.read_state_dict(heads_file)
    assert [values.shape for values in heads.values()] == [(1, c, 1, 1) for c in HEADS[network]]
    assert all(np.all(values >= 0) and values.max() > 0.01 for values in heads.values())
    widths = {"alex": HEADS["alex"], "squeeze": [64, 64, 64, 128, 128, 192, 192, 256, 256],
              "vgg": [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6}[network]  # fmt: skip
    state, _ = numpy_lpips.random_weights(network, widths)
    metric = lpips.LPIPS(writer.write(tmp_path / "b.pth", state), heads_file, network=network)
    expected = numpy_lpips.distance(LEVELS[0], OTHERS[0], network, state, heads)
    np.testing.assert_allclose(metric(LEVELS[:1], OTHERS[:1]), expected, rtol=1e-4)
