"""Feature networks: architecture, preprocessing and weight files."""

import hashlib
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import perceptual, term
from models import feature_networks, feature_weights
from tests.helpers import feature_files, mutations

SQUEEZENET_SHA256 = "17154246284f555591549ac2c83e127abfbf4307dc4b0060fdaa2931d0fa38da"
IMAGE = np.random.default_rng(0).uniform(-1, 1, (2, 48, 40, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def vgg():
    keras.utils.set_random_seed(1)
    return keras.applications.VGG19(weights=None, include_top=False, input_shape=(None, None, 3))


@pytest.fixture(scope="module")
def vgg_file(vgg, tmp_path_factory):
    layers = {layer.name: layer.get_weights() for layer in vgg.layers}
    layers["predictions"] = [np.zeros((4, 10), np.float32), np.zeros(10, np.float32)]
    return feature_files.write_legacy_file(tmp_path_factory.mktemp("vgg") / "vgg19.h5", layers)


@pytest.fixture(scope="module")
def squeezenet_file(tmp_path_factory):
    return feature_files.write_legacy_file(
        tmp_path_factory.mktemp("squeeze") / "sq.h5", feature_files.squeezenet_layers()
    )


def test_vgg19_is_that_of_keras_applications(vgg, vgg_file):
    network = feature_networks.VGG19Features(vgg_file)
    names = [f"block{b}_conv1" for b in range(1, 6)]
    reference = keras.Model(vgg.input, [vgg.get_layer(name).output for name in names])
    pixels = (IMAGE.astype(np.float64) + 1) / 2 * 255
    prepared = keras.applications.vgg19.preprocess_input(pixels)
    for ours, theirs in zip(network(IMAGE), reference(prepared), strict=True):
        assert ours.dtype == tf.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    # All convolutions up to relu5_1: 64 ... 512 channels, counted by hand.
    sizes = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256)] + 3 * [(256, 256)]
    sizes += [(256, 512)] + 4 * [(512, 512)]
    assert network.count_params() == sum(9 * a * b + b for a, b in sizes)


def test_squeezenet_against_direct_convolutions(squeezenet_file):
    weights = feature_files.squeezenet_layers()

    def relu_conv(x, name, stride=1, padding="SAME"):
        kernel, bias = weights[name]
        return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, padding) + bias)

    x = (IMAGE[..., ::-1] + 1) * 127.5 - np.array([103.939, 116.779, 123.68], np.float32)
    x = relu_conv(x, "conv1", 2, "VALID")
    expected = [x]
    for fire in range(2, 10):
        if fire in (2, 4, 6):
            x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        squeezed = relu_conv(x, f"fire{fire}/squeeze1x1")
        parts = [relu_conv(squeezed, f"fire{fire}/expand{k}x{k}") for k in (1, 3)]
        x = tf.concat(parts, -1)
        expected += [x] if fire % 2 else []
    network = feature_networks.SqueezeNetFeatures(squeezenet_file)
    for ours, reference in zip(network(IMAGE), expected, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-3, atol=1e-3)
    assert network.count_params() == 722_496


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_frozen_and_float32_under_every_policy(squeezenet_file, policy):
    keras.config.set_dtype_policy(policy)
    network = feature_networks.SqueezeNetFeatures(squeezenet_file, ["fire4", "conv1"])
    assert network.trainable_variables == [] and network.count_params() > 0
    maps = network(IMAGE, training=True)
    assert [m.shape[-1] for m in maps] == [256, 64]
    assert {m.dtype for m in maps} == {tf.float32}


def test_configuration_round_trip(squeezenet_file):
    network = feature_networks.SqueezeNetFeatures(squeezenet_file, ["fire3"])
    clone = feature_networks.SqueezeNetFeatures.from_config(network.get_config())
    assert network.get_config()["feature_layers"] == ["fire3"]
    np.testing.assert_array_equal(network(IMAGE)[0], clone(IMAGE)[0])
    assert clone.trainable_variables == []


def test_perceptual_gradient_reaches_the_image_and_nothing_else(squeezenet_file):
    network = feature_networks.SqueezeNetFeatures(squeezenet_file)
    loss = perceptual.Perceptual(network)

    @tf.function
    def loss_and_gradient(real, fake):
        with tf.GradientTape() as tape:
            tape.watch(fake)
            value = loss(term.Step(batch={"image": real}, generated={"image": fake}))
        return value, tape.gradient(value, fake)

    value, gradient = loss_and_gradient(tf.constant(IMAGE), tf.constant(IMAGE[::-1].copy()))
    assert value > 0 and np.any(gradient != 0) and np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(loss_and_gradient(tf.constant(IMAGE), tf.constant(IMAGE))[0], 0)


def test_one_layer_of_a_network_is_one_map(squeezenet_file):
    assert len(feature_networks.SqueezeNetFeatures(squeezenet_file, ["fire9"])(IMAGE)) == 1


def test_a_whole_model_file_is_read(tmp_path):
    path = feature_files.write_legacy_file(
        tmp_path / "whole.h5", feature_files.squeezenet_layers(), root="model_weights"
    )
    assert len(feature_networks.SqueezeNetFeatures(path)(IMAGE)) == 5


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected the VGG19 .*notop.h5.*Nothing is down"):
        feature_networks.VGG19Features(tmp_path / "none.h5")


def test_wrong_files(tmp_path, squeezenet_file):
    with pytest.raises(ValueError, match="Expected the VGG19.*no layer 'block1/conv1'"):
        feature_networks.VGG19Features(squeezenet_file)
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(ValueError, match="Expected SqueezeNet v1.1.*which does not fit"):
        feature_networks.SqueezeNetFeatures(text)
    layers = feature_files.squeezenet_layers()
    layers["fire2/expand3x3"][0] = np.zeros((3, 3, 8, 64), np.float32)
    path = feature_files.write_legacy_file(tmp_path / "shape.h5", layers)
    with pytest.raises(ValueError, match=r"'fire2/expand3x3' has shapes .*instead of"):
        feature_networks.SqueezeNetFeatures(path)


@pytest.mark.parametrize("damage", feature_files.HOSTILE)
def test_weights_that_are_not_in_the_file_are_refused(tmp_path, damage):
    layers = feature_files.squeezenet_layers()
    path = feature_files.write_legacy_file(tmp_path / "weights.h5", layers)
    feature_files.HOSTILE[damage](path, "fire2/expand3x3")
    with pytest.raises(ValueError, match=r"weights.h5', .*'fire2/expand3x3'"):
        feature_networks.SqueezeNetFeatures(path)


def test_unknown_layers(squeezenet_file):
    for wrong in (["fire10"], []):
        with pytest.raises(ValueError, match="Expected layers out of .*Received: feature_layers="):
            feature_networks.SqueezeNetFeatures(squeezenet_file, wrong)


def test_published_squeezenet_weights():
    """Needs TESSERA_DATA, a folder with feature_net/squeezenet_v1.1_notop_tf.h5."""
    path = Path(os.environ.get("TESSERA_DATA", "")) / "feature_net/squeezenet_v1.1_notop_tf.h5"
    if not os.environ.get("TESSERA_DATA") or not path.is_file():
        pytest.skip("TESSERA_DATA names no folder with feature_net/squeezenet_v1.1_notop_tf.h5")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SQUEEZENET_SHA256
    network = feature_networks.SqueezeNetFeatures(path)
    assert network.count_params() == 722_496
    # A photograph-like picture is nearer to its noisy copy than to another picture.
    ramp = np.linspace(-1, 1, 64, dtype=np.float32)
    picture = np.stack([np.outer(np.sin(3 * ramp), np.ones(64))] * 3, -1)[None].astype(np.float32)
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 0.02, picture.shape), -1, 1)
    loss = perceptual.Perceptual(network)
    near, far = (
        float(loss(term.Step(batch={"image": picture}, generated={"image": other})))
        for other in (noisy, picture.transpose(0, 2, 1, 3))
    )
    assert 0 < near < far / 2


def test_damaged_files_are_refused_or_read(tmp_path):
    """2,000. Those that crash libhdf5 in other ways of reading are among them."""
    inputs = keras.Input((4, 4, 3))
    outputs = {"conv": keras.layers.Conv2D(4, 3, name="conv")(inputs)}
    values = [np.ones([3, 3, 3, 4], np.float32), np.ones([4], np.float32)]
    path = str(feature_files.write_legacy_file(tmp_path / "w.h5", {"conv": values}))
    whole, outcomes = [Path(path).read_bytes()], []
    for number in range(2000):
        damaged = mutations.mutated(whole[0], np.random.default_rng(number), whole)
        Path(path).write_bytes(damaged)
        try:
            network = keras.Model(inputs, outputs)
            feature_weights.of_hdf5(path, "weights")(network)
            outcomes.append(network.layers[-1].kernel.shape == (3, 3, 3, 4))
        except ValueError as error:
            assert f"Received: weights_path='{path}'" in str(error), number
            outcomes.append(False)
    assert 0 < outcomes.count(True) < 2000
