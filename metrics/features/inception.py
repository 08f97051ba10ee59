"""The Inception graph of 2015 that published FID, KID and IS are of."""

import math
import os
import re

import tensorflow as tf
from google.protobuf import message

from metrics.features import feature_network, inception_download

IMAGE, RESIZED, POOL, PRODUCT = (
    "ExpandDims",
    "ResizeBilinear",
    "pool_3",
    "softmax/logits/MatMul",
)
FEATURES, CLASSES = 2048, 1008
EXPECTED = (
    "the frozen graph classify_image_graph_def.pb of inception-2015-12-05.tgz, with the tensors "
    f"{IMAGE}:0, {RESIZED}:0, {POOL}:0 and the operation {PRODUCT}"
)
OPERATIONS = set(
    "Add AddV2 AvgPool BatchNormWithGlobalNormalization BiasAdd Cast CheckNumerics Concat ConcatV2 "
    "Const Conv2D DecodeJpeg ExpandDims Identity LRN MatMul MaxPool Mean Mul NoOp Pack Placeholder "
    "Relu Reshape ResizeBilinear Shape Softmax Squeeze StridedSlice Sub".split()
)
"""Arithmetic alone: a graph may also hold operations that read and write files or call Python."""
MAX_BYTES, MAX_VALUES = 2**28, 2**25  # The graph has 96 MB, and 24 million weights.
OTHER_NAMES = {
    "fid": "frechet_distance",
    "intra_fid": "intra_frechet_distance",
    "kid": "kernel_distance",
    "inception_score": "classifier_score",
}


class Inception2015:
    """Pool-3 features and logits of the Inception graph of 2015-12-05.

    Images enter at ExpandDims:0 in 0..255; the graph itself then resizes them to 299 x 299 with
    the bilinear kernel of its time (corner-aligned, no half-pixel centres, no antialiasing) and
    scales them by (x - 128) / 128. This kernel is part of the definition of published numbers. The
    logits are the features times the weights of the last layer, without its bias, as the original
    Inception score has them.

    Args:
        graph_path: local file, see `EXPECTED`. Default None.
        download: whether to fetch the graph, once, if no file is given; see
            `inception_download.fetched_graph`. Default False: nothing is downloaded.
        folder: where a fetched graph is kept. Default None: datasets/.cache/inception.

    Attributes:
        graph_path: str, the file that was read.
        name: "Inception-2015".
        weights_hash: SHA-256 of the file, to be kept with each number.
        resize: how images are resized, in words.

    Call arguments:
        image: float [B, H, W, 3] in [-1, 1], rounded to 8 bits first, or uint8; any H and W.

    Returns: dict "features" float32 [B, 2048], "logits" float32 [B, 1008].

    Raises:
        FileNotFoundError: no such file. ValueError: neither a file nor `download`; another graph,
            naming what it lacks or what in it is no arithmetic; images of another shape or not
            finite. ConnectionError: the graph cannot be fetched.

    Source: openai/improved-gan inception_score/model.py (tensor names, no bias);
        bioinf-jku/TTUR fid.py; openai/guided-diffusion evaluations/evaluator.py.
    """

    configurable = True
    code_file = "graph_path"  # as of SavedFeatures; a fetched graph is known by its hash

    def __init__(self, graph_path=None, *, download=False, folder=None) -> None:
        if graph_path is None and not download:
            raise ValueError(
                f"Expected {EXPECTED}. Received: graph_path=None, download=False. Give the file "
                "(feature_weights=FILE), or have it fetched (features.download=true)."
            )
        if graph_path is None:
            graph_path = inception_download.fetched_graph(folder)
        self.graph_path = str(graph_path)
        self.name = "Inception-2015"
        self.weights_hash = feature_network.weights_hash(self.graph_path)
        self.resize = "bilinear to 299x299 in the graph, corner-aligned, not antialiased"
        graph_def = _read(self.graph_path, self.weights_hash)
        graph = tf.Graph()
        with graph.as_default():
            self._image = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], "tessera")
            self._outputs = _connect(graph_def, self._image, self.graph_path)
        # Not tf.function: the graph holds BatchNormWithGlobalNormalization, which TensorFlow runs
        # only in a graph of version 8 or older, and functions are always of the newest.
        self._session = tf.compat.v1.Session(graph=graph)

    def __call__(self, image) -> dict:
        pixels = feature_network.saved_pixels(image)
        return self._session.run(self._outputs, {self._image: pixels})


def metric_name(metric, network) -> str:
    """The key of a number in files, TensorBoard and tables: "fid" is of the 2015 graph alone.

    Args:
        metric: "fid", "intra_fid", "kid" or "inception_score".
        network: what made the features, with `name`.

    Returns: the metric for an `Inception2015`, else for example
        "frechet_distance_keras_inceptionv3".

    Raises:
        ValueError: another metric.
    """
    if metric not in OTHER_NAMES:
        raise ValueError(f"Expected one of {list(OTHER_NAMES)}. Received: metric={metric!r}")
    if isinstance(network, Inception2015):
        return metric
    slug = re.sub("[^a-z0-9]+", "_", network.name.lower()).strip("_")
    return f"{OTHER_NAMES[metric]}_{slug}"


def _read(path, sha256) -> tf.compat.v1.GraphDef:
    """The graph, free of the batch size 1 it was written with."""
    graph_def = tf.compat.v1.GraphDef()
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        with open(path, "rb") as file:
            graph_def.ParseFromString(file.read())
        if sha256 != inception_download.SHA256:
            _refuse_more_than_arithmetic(graph_def)
    except (message.DecodeError, IsADirectoryError, ValueError) as error:
        raise ValueError(
            f"Expected {EXPECTED}. Received: graph_path={path!r}, which is no graph of this kind: "
            f"{error}"
        ) from error
    names = {node.name for node in graph_def.node}
    missing = [name for name in (IMAGE, RESIZED, POOL, PRODUCT) if name not in names]
    if missing:
        raise ValueError(
            f"Expected {EXPECTED}. Received: graph_path={path!r}, a graph of {len(names)} nodes "
            f"without {missing}."
        )
    for node in graph_def.node:
        # Noted shapes would override the shape of what is fed.
        node.attr.pop("_output_shapes", None)
    return graph_def


def _refuse_more_than_arithmetic(graph_def) -> None:
    """Raises ValueError for operations that are none, and for constants of too many numbers."""
    found = {node.op for node in graph_def.node}
    if graph_def.library.function or not found <= OPERATIONS:
        raise ValueError(
            f"it holds {sorted(found - OPERATIONS) or 'functions'}, which it does not need. Do not "
            "use a file that you do not trust"
        )
    # A constant of one repeated number is written as this number and a shape.
    shapes = [node.attr["value"].tensor.tensor_shape for node in graph_def.node]
    sizes = [math.prod(max(0, dim.size) for dim in shape.dim) for shape in shapes]
    if sum(sizes) > MAX_VALUES:
        raise ValueError(f"it has constants of {sum(sizes):,} numbers, more than {MAX_VALUES:,}")


def _connect(graph_def, image, path) -> dict[str, tf.Tensor]:
    """Outputs of the graph for an image, in the default graph."""
    try:
        pool, product = tf.import_graph_def(
            graph_def,
            input_map={f"{IMAGE}:0": image},
            return_elements=[f"{POOL}:0", PRODUCT],
            name="",
        )
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ValueError(
            f"Expected {EXPECTED}. Received: graph_path={path!r}, which TensorFlow refuses: {error}"
        ) from error
    weights = product.inputs[1]
    if weights.shape != (FEATURES, CLASSES):
        raise ValueError(
            f"Expected {EXPECTED}, whose last layer has weights [{FEATURES}, {CLASSES}]. "
            f"Received: graph_path={path!r}, where they are {weights.shape}."
        )
    features = tf.reshape(pool, [-1, FEATURES])
    return {"features": features, "logits": tf.matmul(features, weights)}
