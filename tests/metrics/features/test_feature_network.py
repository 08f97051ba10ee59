"""Feature networks from functions, files and keras.applications, against what they hold."""

import hashlib

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from metrics.features import feature_network
from tests.helpers import feature_files

IMAGES = np.random.default_rng(0).integers(0, 256, [2, 4, 4, 3])
SCALED = (IMAGES / 127.5 - 1.0).astype(np.float32)


def channel_network(outputs=1):
    """Maps x * [1, 2] of the red channel; with two outputs also logits."""
    inputs = keras.Input([None, None, 3])
    kernel = np.zeros([1, 1, 3, 2], np.float32)
    kernel[0, 0, 0] = [1.0, 2.0]
    maps = keras.layers.Conv2D(2, 1, use_bias=False, name="maps")(inputs)
    if outputs == 2:
        pooled = keras.layers.GlobalAveragePooling2D()(maps)
        maps = {"features": pooled, "logits": keras.layers.Rescaling(3.0)(pooled)}
    network = keras.Model(inputs, maps)
    network.get_layer("maps").set_weights([kernel])
    return network


def red(low=-1.0, high=1.0):
    """Features that `channel_network` gives for IMAGES."""
    mean = (IMAGES[..., 0] / 255.0 * (high - low) + low).mean(axis=(1, 2))
    return np.stack([mean, 2 * mean], axis=1)


def test_maps_are_averaged_and_lists_put_side_by_side():
    network = feature_network.FeatureFunction(
        lambda image: [image, tf.reduce_max(image, axis=(1, 2))], name="both", weights_hash="ab"
    )
    features = network(SCALED)["features"]
    expected = [SCALED.mean(axis=(1, 2), dtype=float), SCALED.max(axis=(1, 2))]
    np.testing.assert_allclose(features, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-6)
    assert features.dtype == np.float32
    assert (network.name, network.weights_hash, network.resize) == ("both", "ab", "none")


def test_a_function_sees_images_of_its_size_and_its_weights_are_hashed(tmp_path):
    """Halved with half-pixel centres and the widened kernel: weights 3, 3, 1 of a row of four."""
    seen, path = [], tmp_path / "weights"
    path.write_bytes(b"weights")

    def function(image):
        seen.append(np.asarray(image))
        return image

    function.weights_path = path
    network = feature_network.FeatureFunction(function, name="n", size=(4, 2))
    network(SCALED)
    rows = IMAGES.astype(float)
    left = (rows[:, :, 0] * 3 + rows[:, :, 1] * 3 + rows[:, :, 2]) / 7
    right = (rows[:, :, 1] + rows[:, :, 2] * 3 + rows[:, :, 3] * 3) / 7
    expected = np.stack([left, right], axis=2) / 127.5 - 1.0
    np.testing.assert_allclose(seen[0], expected, atol=1e-5)
    assert network.resize == "bilinear to 4x2, half-pixel centres, antialiased"
    assert network.weights_hash == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(
        ValueError, match="Expected weights_hash, or a function with a weights_path"
    ):
        feature_network.FeatureFunction(lambda x: x, name="n")


def test_pixels_of_a_file_are_those_of_the_floats_they_became():
    levels = np.arange(256 * 3).reshape(1, 16, 16, 3).astype(np.uint8)
    np.testing.assert_array_equal(feature_network.saved_pixels(levels), levels)
    floats = levels.astype(np.float32) / 127.5 - 1.0
    np.testing.assert_array_equal(feature_network.saved_pixels(floats), levels)
    assert feature_network.saved_pixels(tf.constant(levels)).dtype == np.float32
    with pytest.raises(ValueError, match="floats in .*, or uint8. Received: images of int64"):
        feature_network.saved_pixels(levels.astype(np.int64))


def test_a_function_sees_what_would_be_saved():
    seen = []
    network = feature_network.FeatureFunction(
        lambda image: seen.append(image) or {"features": image, "logits": [[1.0, 2.0]]},
        name="n",
        weights_hash="h",
    )
    outputs = network(tf.constant([[[[-1.5, 0.0, 0.9999]]]]))
    np.testing.assert_allclose(seen[0], [[[[-1.0, 128 / 127.5 - 1, 1.0]]]], atol=1e-7)
    np.testing.assert_array_equal(outputs["logits"], [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"logits": 0, "pool": 0}, "Received: outputs \\['logits', 'pool'\\]"),
        (np.zeros([2, 3, 4]), "Received: shapes \\[\\(2, 3, 4\\)\\]"),
        ([], "features \\[B, D\\] or maps .* Received: shapes \\[\\]"),
    ],
)
def test_other_outputs_are_refused(returned, message):
    network = feature_network.FeatureFunction(lambda _: returned, name="n", weights_hash="h")
    with pytest.raises(ValueError, match=message):
        network(SCALED)


def test_images_of_another_shape_or_not_finite_are_refused():
    network = feature_network.FeatureFunction(lambda x: x, name="n", weights_hash="h")
    with pytest.raises(ValueError, match=r"images \[B, H, W, 3\]. Received: shape \(4, 4, 3\)"):
        network(SCALED[0])
    broken = SCALED.copy()
    broken[0, 1, 2] = np.nan, np.inf, 0.0  # a clipped infinity is white
    with pytest.raises(ValueError, match="finite images. Received: 1 values that are not"):
        network(broken)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("kind", ["keras", "folder"])
def test_saved_networks(tmp_path, kind, outputs):
    path = tmp_path / ("network.keras" if kind == "keras" else "network")
    if kind == "keras":
        channel_network(outputs).save(path)
    else:
        channel_network(outputs).export(path, verbose=False)
    network = feature_network.SavedFeatures(path, name="mine")
    result = network(SCALED)
    np.testing.assert_allclose(result["features"], red(), rtol=1e-4, atol=1e-6)
    assert ("logits" in result) == (outputs == 2)
    if outputs == 2:
        np.testing.assert_allclose(result["logits"], 3 * red(), rtol=1e-4, atol=1e-6)
    assert network.name == "mine" and network.resize == "none"
    assert network.weights_hash == feature_network.weights_hash(path)


def test_a_saved_network_with_its_range_and_size(tmp_path):
    channel_network().save(tmp_path / "network.keras")
    network = feature_network.SavedFeatures(
        tmp_path / "network.keras", name="n", size=(2, 2), antialias=False, pixel_range=(0, 255)
    )
    # Halved with half-pixel centres: a mean of each 2 x 2, whose mean is that of all.
    np.testing.assert_allclose(network(SCALED)["features"], red(0, 255), rtol=1e-5)
    assert network.resize == "bilinear to 2x2, half-pixel centres, not antialiased"
    network = feature_network.SavedFeatures(tmp_path / "network.keras", name="n", size=(3, 2))
    assert network.resize == "bilinear to 3x2, half-pixel centres, antialiased"


def test_what_is_no_saved_network_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="where there is nothing. Nothing is downloaded"):
        feature_network.SavedFeatures(tmp_path / "none.keras", name="n")
    (tmp_path / "text.keras").write_text("no network")
    with pytest.raises(ValueError, match="a .keras file, or a SavedModel folder.*text.keras"):
        feature_network.SavedFeatures(tmp_path / "text.keras", name="n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty', which cannot be loaded"):
        feature_network.SavedFeatures(tmp_path / "empty", name="n")
    bare = tf.Module()
    bare.call = tf.function(lambda x, y: {"features": x + y})
    spec = tf.TensorSpec([None, 2])
    signature = bare.call.get_concrete_function(spec, spec)
    tf.saved_model.save(bare, tmp_path / "two", signatures={"serving_default": signature})
    with pytest.raises(ValueError, match="of one input, the image. Received: .*'x', 'y'"):
        feature_network.SavedFeatures(tmp_path / "two", name="n")


def write_published_layout(path, layers):
    """The HDF5 layout of the files that Keras publishes: a group for each layer, in order."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{i}" for i in range(len(layer.weights))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, layer.get_weights(), strict=True):
                group[name] = values


def test_an_application_scales_as_it_was_trained_whatever_the_policy(tmp_path):
    published, path = tmp_path / "mobilenet_notop.h5", tmp_path / "mobilenet.weights.h5"
    draw = np.random.default_rng(1)
    direct = keras.applications.MobileNet(
        weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg"
    )
    for kernel in (v for v in direct.weights if len(v.shape) == 4):
        # As drawn by Keras the features would be 1e-20, and any two networks alike.
        height, width, channels, per_channel = kernel.shape
        inputs = height * width * (1 if per_channel == 1 else channels)
        kernel.assign(draw.normal(0.0, np.sqrt(2 / inputs), kernel.shape))
    direct.save_weights(path)
    write_published_layout(published, direct.layers)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        networks = [
            feature_network.KerasApplication("MobileNet", file, size=(32, 32))
            for file in (path, published)
        ]
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    images = SCALED.repeat(8, axis=1).repeat(8, axis=2)
    expected = direct(images, training=False)  # MobileNet takes [-1, 1]
    assert np.mean(expected) > 1e-3
    for network, file in zip(networks, (path, published), strict=True):
        np.testing.assert_allclose(network(images)["features"], expected, rtol=1e-3, atol=1e-6)
        assert network.name == "Keras MobileNet"
        assert network.weights_hash == hashlib.sha256(file.read_bytes()).hexdigest()
    write_published_layout(published, direct.layers[:5])
    with pytest.raises(ValueError, match="weights of MobileNet without its classifier.*size="):
        feature_network.KerasApplication("MobileNet", published, size=(32, 32))


@pytest.mark.parametrize("damage", [*feature_files.HOSTILE, "cycle"])
def test_weights_that_are_not_in_the_file_are_refused(tmp_path, damage):
    path = tmp_path / "hostile.h5"
    feature_files.write_legacy_file(path, {"conv": [np.zeros([3, 3], np.float32)] * 2})
    if damage == "cycle":
        with h5py.File(path, "r+") as file:
            file["conv/around"] = file["conv"]
    else:
        feature_files.HOSTILE[damage](path, "conv")
    with pytest.raises(ValueError, match="hostile.h5'.* which do not fit: .*(place|of this|holds)"):
        feature_network.KerasApplication("MobileNet", path, size=(32, 32))


@pytest.mark.parametrize("application", ["Mobile", "mobilenet"])
def test_an_unknown_application_is_refused(tmp_path, application):
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=f"'InceptionV3'.*Received: application='{application}'"):
        feature_network.KerasApplication(application, tmp_path / "weights.h5")


def test_the_hash_of_a_folder_knows_names_and_contents(tmp_path):
    hashes = set()
    for index, files in enumerate(
        [{"a": "1", "b/c": "2"}, {"a": "2", "b/c": "1"}, {"a": "1", "b/d": "2"}, {"a": "1"}]
    ):
        for name, text in files.items():
            file = tmp_path / str(index) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        hashes.add(feature_network.weights_hash(tmp_path / str(index)))
    assert len(hashes) == 4 and {len(value) for value in hashes} == {64}
