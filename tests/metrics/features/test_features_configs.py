"""The feature networks of configs/features: composed, checked, and called."""

import hashlib
import inspect

import hydra
import keras
import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf, errors

from metrics.features import inception
from models import feature_networks, feature_weights
from tests.helpers import feature_files, inception_graph, tiny
from training.runs import run_config

FOLDER = tiny.ROOT / "configs" / "features"
NAMES = ["efficientnet_lite0", "inception_2015", "keras_application", "saved", "squeezenet"]
PIXELS = np.random.default_rng(0).integers(0, 256, [2, 40, 36, 3]).astype(np.uint8)


def composed(name, weights, /, **settings):
    """The root config of a command with such a network, as far as networks are concerned."""
    root = OmegaConf.create({"feature_weights": str(weights), "features": None})
    root.features = OmegaConf.merge(OmegaConf.load(FOLDER / f"{name}.yaml"), settings)
    run_config.check_targets(root)
    return root.features


def called(name, weights, /, **settings):
    """The network, and what it makes of an image file; floats make the same."""
    config = composed(name, weights, **settings)
    network = hydra.utils.instantiate(config, _convert_="all")
    outputs = network(PIXELS)
    floats = network(PIXELS.astype(np.float32) / 127.5 - 1.0)
    assert sorted(outputs) == sorted(floats)
    for key, values in outputs.items():
        np.testing.assert_array_equal(values, floats[key])
    if weights.is_file():
        assert network.weights_hash == hashlib.sha256(weights.read_bytes()).hexdigest()
    return network, outputs["features"]


def test_each_file_is_known_and_writes_out_every_argument():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == NAMES
    for name in NAMES:
        text = (FOLDER / f"{name}.yaml").read_text()
        installed = name == "efficientnet_lite0"
        assert f"# features={name}{'' if installed else ' feature_weights='}" in text
        assert (": ${feature" in text) != installed
        config = composed(name, "weights")
        target = hydra.utils.get_class(config._target_)
        assert set(config) - {"_target_"} == set(inspect.signature(target).parameters), name


def test_inception_2015(tmp_path):
    path = tmp_path / "classify_image_graph_def.pb"
    path.write_bytes(inception_graph.graph_def().SerializeToString())
    network, features = called("inception_2015", path)
    expected = [inception_graph.expected_features(image) for image in PIXELS]
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    assert inception.metric_name("fid", network) == "fid"


def test_efficientnet_lite0():
    path = feature_weights.lite0_file()
    network, features = called("efficientnet_lite0", path)
    resized = tf.image.resize(PIXELS, [224, 224], antialias=True)
    (maps,) = feature_networks.EfficientNetLite0(["head"])(resized / 127.5 - 1.0)
    np.testing.assert_allclose(features, np.mean(maps, axis=(1, 2)), rtol=1e-3, atol=1e-3)
    assert inception.metric_name("kid", network) == "kernel_distance_efficientnet_lite0"
    assert "/" not in str(composed("efficientnet_lite0", None))


def test_squeezenet(tmp_path):
    path = feature_files.write_legacy_file(tmp_path / "s.h5", feature_files.squeezenet_layers())
    network, features = called("squeezenet", path)
    resized = tf.image.resize(PIXELS, [224, 224], antialias=True)
    (maps,) = feature_networks.SqueezeNetFeatures(path, ["fire9"])(resized / 127.5 - 1.0)
    assert maps.shape[1:] == (13, 13, 512)
    np.testing.assert_allclose(features, np.mean(maps, axis=(1, 2)), rtol=1e-3, atol=1e-3)
    assert inception.metric_name("fid", network) == "frechet_distance_squeezenet_v1_1"
    assert network.resize == "bilinear to 224x224, half-pixel centres, antialiased"


def test_keras_application(tmp_path):
    """A small one instead of InceptionV3, as a command line may ask for."""
    assert composed("keras_application", "w").application == "InceptionV3"
    keras.utils.set_random_seed(0)
    direct = keras.applications.MobileNet(
        weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg"
    )
    path = tmp_path / "mobilenet.weights.h5"
    direct.save_weights(path)
    network, features = called("keras_application", path, application="MobileNet", size=[32, 32])
    resized = tf.image.resize(PIXELS, [32, 32], antialias=True)
    expected = direct(resized / 127.5 - 1.0, training=False)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(features / scale, expected / scale, atol=1e-4)
    assert inception.metric_name("kid", network) == "kernel_distance_keras_mobilenet"


def test_saved(tmp_path):
    inputs = keras.Input([None, None, 3])
    keras.Model(inputs, keras.layers.Rescaling(2.0)(inputs)).save(tmp_path / "network.keras")
    network, features = called("saved", tmp_path / "network.keras", name="My Network")
    expected = 2 * (PIXELS / 127.5 - 1.0).mean(axis=(1, 2))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-6)
    name = inception.metric_name("inception_score", network)
    assert name == "classifier_score_my_network"
    with pytest.raises(errors.MissingMandatoryValue, match="features.name"):
        called("saved", tmp_path / "network.keras")
