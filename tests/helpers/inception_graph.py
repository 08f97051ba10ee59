"""A frozen graph with the names, versions and noted shapes of the Inception graph of 2015."""

import numpy as np
import tensorflow as tf

KERNEL = np.random.default_rng(0).normal(size=[3, 2048]).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=[2048, 1008]).astype(np.float32) / 64
MEAN, VARIANCE, OFFSET, SCALE = (
    np.array(values, np.float32)
    for values in ([0.1, 0.2, -0.3], [0.5, 1.0, 2.0], [0.0, 1.0, -1.0], [1.0, 2.0, 0.5])
)


def graph_def(weights=WEIGHTS):
    """Channel means of the normalised image times a matrix, instead of the convolutions."""
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.uint8, [None, None, 3], "DecodeJpeg")
        image = tf.expand_dims(tf.cast(image, tf.float32, "Cast"), 0, "ExpandDims")
        resize = tf.raw_ops.ResizeBilinear
        image = resize(images=image, size=[299, 299], name="ResizeBilinear")
        image = tf.multiply(tf.subtract(image, 128.0, "Sub"), 1.0 / 128.0, "Mul")
        for name, values in zip("mvbg", (MEAN, VARIANCE, OFFSET, SCALE), strict=True):
            tf.constant(values, name=name)
        image = tf.identity(image, "conv/batchnorm")
        image = tf.nn.avg_pool2d(image, 299, 1, "VALID")
        pool = tf.nn.conv2d(image, KERNEL[None, None], 1, "VALID", name="pool_3")
        features = tf.reshape(pool, [1, 2048], "pool_3/_reshape")[:, : len(weights)]
        product = tf.matmul(features, weights, name="softmax/logits/MatMul")
        tf.add(product, 100.0, "softmax/logits")
    frozen = graph.as_graph_def(add_shapes=True)
    # This operation can be read from a file, but no longer be made.
    (node,) = (node for node in frozen.node if node.name == "conv/batchnorm")
    node.op = "BatchNormWithGlobalNormalization"
    node.input.extend("mvbg")
    node.attr["variance_epsilon"].f = 0.001
    node.attr["scale_after_normalization"].b = True
    frozen.versions.producer = 8
    return frozen


def expected_features(pixels):
    """The same by hand, for one image float [H, W, 3] in 0..255."""
    resized = pixels.astype(np.float64)
    for axis in (0, 1):
        length = resized.shape[axis]
        place = np.arange(299) * length / 299  # no half pixels
        low = np.floor(place).astype(int)
        high, part = np.minimum(low + 1, length - 1), place - low
        part = part[:, None, None] if axis == 0 else part[:, None]
        resized = resized.take(low, axis) * (1 - part) + resized.take(high, axis) * part
    scaled = (resized - 128.0) / 128.0
    scaled = (scaled - MEAN) / np.sqrt(VARIANCE + 0.001) * SCALE + OFFSET
    return scaled.mean(axis=(0, 1)) @ KERNEL.astype(np.float64)
