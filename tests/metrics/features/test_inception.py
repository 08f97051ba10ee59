"""The loader of the 2015 Inception graph, on a small graph with its names."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from metrics.distances import frechet, inception_score, kernel_distance, neighbourhoods
from metrics.features import feature_store, inception
from tests.helpers import inception_graph


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "classify_image_graph_def.pb"
    path.write_bytes(inception_graph.graph_def().SerializeToString())
    return path


@pytest.fixture(scope="module")
def network(graph_file):
    return inception.Inception2015(graph_file)


@pytest.mark.parametrize("size", [(5, 8), (320, 301)])
def test_scaling_resize_and_outputs_by_hand(network, size):
    pixels = np.random.default_rng(2).integers(0, 256, [2, *size, 3])
    outputs = network(pixels / 127.5 - 1.0)
    features = np.stack([inception_graph.expected_features(image) for image in pixels])
    np.testing.assert_allclose(outputs["features"], features, rtol=1e-3, atol=1e-4)
    logits = features @ inception_graph.WEIGHTS  # and no 100 of bias
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-3, atol=1e-3)
    assert outputs["features"].shape == (2, 2048) and outputs["logits"].shape == (2, 1008)
    assert {values.dtype for values in outputs.values()} == {np.dtype("float32")}


def test_the_kernel_is_the_old_one(network):
    """Half-pixel centres, as `tf.image.resize` has them, give other features."""
    pixels = np.random.default_rng(3).integers(0, 256, [1, 4, 4, 3])
    half = tf.image.resize(pixels.astype(np.float32), [299, 299]).numpy()[0]
    ours = network(pixels / 127.5 - 1.0)["features"][0]
    assert np.abs(inception_graph.expected_features(half) - ours).max() > 0.1


def test_images_are_rounded_and_clipped_as_saved(network):
    image = np.random.default_rng(4).uniform(-1.2, 1.2, [1, 6, 6, 3]).astype(np.float32)
    saved = np.round((np.clip(image, -1, 1) + 1) * 127.5) / 127.5 - 1
    np.testing.assert_array_equal(network(image)["features"], network(saved)["features"])


def test_each_image_is_alone_in_its_batch(network):
    images = np.random.default_rng(5).uniform(-1, 1, [3, 7, 7, 3])
    together = network(tf.constant(images))["features"]
    alone = np.concatenate([network(images[i : i + 1])["features"] for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
    # The file notes a batch of 1, on which TensorFlow might build.
    assert network._outputs["features"].shape == (None, 2048)


def test_what_it_is_is_on_record(network, graph_file):
    assert network.name == "Inception-2015"
    assert network.weights_hash == hashlib.sha256(graph_file.read_bytes()).hexdigest()
    assert "299x299" in network.resize and network.graph_path == str(graph_file)


def test_only_this_graph_gives_an_fid(network):
    metrics = ["fid", "intra_fid", "kid", "inception_score"]
    assert [inception.metric_name(metric, network) for metric in metrics] == metrics
    other = SimpleNamespace(name="SqueezeNet v1.1")
    assert [inception.metric_name(metric, other) for metric in metrics] == [
        "frechet_distance_squeezenet_v1_1",
        "intra_frechet_distance_squeezenet_v1_1",
        "kernel_distance_squeezenet_v1_1",
        "classifier_score_squeezenet_v1_1",
    ]
    other.name = "Inception-2015 (look--alike)"
    assert inception.metric_name("fid", other) == "frechet_distance_inception_2015_look_alike"
    with pytest.raises(ValueError, match="'inception_score'\\]. Received: metric='FID'"):
        inception.metric_name("FID", network)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="'nowhere.pb', where there is nothing"):
        inception.Inception2015("nowhere.pb")
    with pytest.raises(ValueError, match="graph_path=None, download=False. Give the file"):
        inception.Inception2015()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "graph.pb"
    path.write_bytes(b"\xff\xffno graph")
    with pytest.raises(ValueError, match="classify_image_graph_def.pb .*which is no graph of this"):
        inception.Inception2015(path)
    with pytest.raises(ValueError, match="which is no graph"):
        inception.Inception2015(tmp_path)
    frozen = inception_graph.graph_def()
    for node in frozen.node:
        node.name = "pool_4" if node.name == "pool_3" else node.name
    path.write_bytes(frozen.SerializeToString())
    with pytest.raises(ValueError, match="tensors ExpandDims:0.*nodes without \\['pool_3'\\]"):
        inception.Inception2015(path)
    for node in frozen.node:
        node.name = "pool_3" if node.name == "pool_4" else node.name
        node.op = "AddV2" if node.name == "Cast" else node.op
    path.write_bytes(frozen.SerializeToString())
    with pytest.raises(ValueError, match="which TensorFlow refuses: .*AddV2"):
        inception.Inception2015(path)
    small = inception_graph.graph_def(inception_graph.WEIGHTS[:64, :10])
    path.write_bytes(small.SerializeToString())
    with pytest.raises(ValueError, match=r"\[2048, 1008\].*where they are \(64, 10\)"):
        inception.Inception2015(path)


@pytest.mark.parametrize("operation", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "Unheard"])
def test_a_graph_of_more_than_arithmetic_is_refused(tmp_path, operation):
    frozen, path = inception_graph.graph_def(), tmp_path / "graph.pb"
    frozen.node.add(name="more", op=operation)
    path.write_bytes(frozen.SerializeToString())
    with pytest.raises(ValueError, match=f"graph.pb', .*it holds \\['{operation}'\\]"):
        inception.Inception2015(path)


def test_the_published_graph_is_known_by_its_hash(tmp_path, monkeypatch):
    """Whatever it holds: here an operation that TensorFlow, and not the list, refuses."""
    frozen, path = inception_graph.graph_def(), tmp_path / "graph.pb"
    frozen.node.add(name="more", op="Unheard")
    path.write_bytes(frozen.SerializeToString())
    published = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(inception.inception_download, "SHA256", published)
    with pytest.raises(ValueError, match="which TensorFlow refuses"):
        inception.Inception2015(path)


def test_functions_and_huge_constants_are_refused(tmp_path):
    frozen, path = inception_graph.graph_def(), tmp_path / "graph.pb"
    frozen.library.function.add().signature.name = "f"
    path.write_bytes(frozen.SerializeToString())
    with pytest.raises(ValueError, match="graph.pb', .*it holds functions"):
        inception.Inception2015(path)
    frozen = inception_graph.graph_def()
    (node,) = (node for node in frozen.node if node.name == "m")
    for _ in range(3):
        node.attr["value"].tensor.tensor_shape.dim.add(size=10**5)
    path.write_bytes(frozen.SerializeToString())
    with pytest.raises(ValueError, match="constants of .* numbers, more than 33,554,432"):
        inception.Inception2015(path)


@pytest.mark.parametrize("shape", [[4, 4, 3], [1, 4, 4, 1]])
def test_other_shapes_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"images \[B, H, W, 3\]. Received: shape"):
        network(np.zeros(shape))


def test_one_pass_serves_every_metric(network):
    """Features and logits of two sets of images, collected once, with a padded last batch."""
    draw = np.random.default_rng(6)
    stores = {name: feature_store.FeatureStore() for name in ("real", "generated")}
    for name, store in stores.items():
        for valid in ([True] * 4, [True, True, False, False]):
            bright = np.array([-0.5, 0.5, -0.5, 0.5])[:, None, None, None]
            images = draw.uniform(-0.5, 0.5, [4, 6, 6, 3]) + bright
            store.update_state({**network(images), "label": np.array([0, 1, 0, 1])}, valid)
        assert store.count == 6, name
    real, made = (store.result() for store in stores.values())
    distance = frechet.frechet_distance_of_features(real["features"], made["features"])
    by_class = frechet.intra_class_frechet_distance(
        real["features"], real["label"], made["features"], made["label"], 2
    )

    assert np.isfinite(by_class["per_class"]).all() and 0.0 < by_class["mean"] and 0.0 < distance
    kernel = kernel_distance.kernel_distance(real["features"], made["features"], subsets=2)
    assert kernel["subset_size"] == 6 and np.isfinite(kernel["mean"])
    same = neighbourhoods.precision_recall(made["features"], made["features"])
    assert same == {"precision": 1.0, "recall": 1.0}
    assert neighbourhoods.density_coverage(made["features"], made["features"])["coverage"] == 1.0
    score = inception_score.inception_score(inception_score.softmax(made["logits"]), splits=1)
    assert 1.0 <= score["mean"] <= 6.0
