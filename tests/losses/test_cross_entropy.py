"""Cross entropy against float64 loops and closed forms."""

import math

import numpy as np
import pytest
import tensorflow as tf

from losses import cross_entropy

LABELS = np.array([[0, 2, 255], [1, 255, 2]], np.int32)
LOGITS = np.random.default_rng(3).normal(0, 2, [2, 3, 3]).astype(np.float32)


def by_loop(logits, labels, smoothing=0.0, weights=(1.0, 1.0, 1.0), ignore=255):
    total, weight = 0.0, 0.0
    for row, label in zip(logits.reshape(-1, 3).astype(np.float64), labels.ravel(), strict=True):
        if label == ignore:
            continue
        probability = [math.exp(value) / sum(map(math.exp, row)) for value in row]
        for index in range(3):
            share = (1 - smoothing) * (index == label) + smoothing / 3
            total -= weights[label] * share * math.log(probability[index])
        weight += weights[label]
    return total / weight


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0]])
def test_the_mean_over_what_counts(smoothing, weights):
    loss = cross_entropy.CrossEntropy(smoothing, class_weights=weights)
    expected = by_loop(LOGITS, LABELS, smoothing, weights or (1.0, 1.0, 1.0))
    np.testing.assert_allclose(loss(LOGITS_TENSOR, LABELS_TENSOR), expected, rtol=1e-5)
    uint8 = tf.constant(LABELS.astype(np.uint8))  # as label maps are
    np.testing.assert_allclose(loss(LOGITS_TENSOR, uint8), expected, rtol=1e-5)


LOGITS_TENSOR, LABELS_TENSOR = tf.constant(LOGITS), tf.constant(LABELS)


def test_closed_forms():
    even = tf.zeros([4, 5])
    np.testing.assert_allclose(
        cross_entropy.cross_entropy(even, tf.range(4)), math.log(5), rtol=1e-6
    )
    # Sure of the right one of two: only what smoothing gives to the other costs, 20 * 0.1 / 2.
    sure = tf.constant([[20.0, 0.0]])
    smoothed = cross_entropy.cross_entropy(sure, tf.constant([0]), label_smoothing=0.1)
    np.testing.assert_allclose(smoothed, 1.0, rtol=1e-5)


def test_what_is_ignored_has_no_part_even_where_it_is_infinite():
    logits = tf.constant([[1.0, 2.0], [np.inf, 0.0]])
    labels = tf.constant([0, 255])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = cross_entropy.CrossEntropy()(logits, labels)
    np.testing.assert_allclose(value, math.log(1 + math.e), rtol=1e-6)
    total, weight = cross_entropy.CrossEntropy().sums(logits, labels)
    assert float(weight) == 1.0 and float(total) == float(value)
    plain = tf.constant([[1.0, 2.0], [9.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(plain)
        value = cross_entropy.CrossEntropy()(plain, labels)
    gradient = tape.gradient(value, plain).numpy()
    right = 1 / (1 + math.e)
    np.testing.assert_allclose(gradient, [[right - 1, 1 - right], [0, 0]], atol=1e-6)


def test_nothing_that_counts_costs_nothing():
    logits = tf.Variable(tf.ones([2, 3]))
    with tf.GradientTape() as tape:
        value = cross_entropy.CrossEntropy()(logits, tf.constant([255, 255]))
    assert float(value) == 0.0
    assert not tape.gradient(value, logits).numpy().any()


def test_all_labels_count_without_an_ignore_index():
    logits = np.random.default_rng(0).normal(size=[3, 300]).astype(np.float32)
    loss = cross_entropy.CrossEntropy(ignore_index=None)
    labels = np.array([255, 0, 299])
    exact = logits.astype(np.float64)
    expected = np.mean(
        [np.log(np.exp(row).sum()) - row[label] for row, label in zip(exact, labels, strict=True)]
    )
    np.testing.assert_allclose(loss(tf.constant(logits), tf.constant(labels)), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_lower_precision_is_computed_in_float32(dtype):
    logits = tf.cast(LOGITS_TENSOR, dtype)
    value = cross_entropy.CrossEntropy(0.1)(logits, LABELS_TENSOR)
    assert value.dtype == tf.float32
    expected = by_loop(logits.numpy().astype(np.float64), LABELS, 0.1)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, "in \\[0, 1\\). Received: label_smoothing=1.0"),
        ({"class_weights": [1.0, -1.0]}, "at least 0.*class_weights=\\[1.0, -1.0\\]"),
        ({"class_weights": [0.0, 0.0]}, "not all 0"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy.CrossEntropy(**settings)


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        ({}, [0], "a label for each vector.*logits \\(2, 3\\), labels \\(1,\\)"),
        ({}, [[0], [1]], "labels \\(2, 1\\)"),
        ({"class_weights": [1.0, 2.0]}, [0, 1], "each of the 3 classes. Received: 2 class_weights"),
        ({"ignore_index": 2}, [0, 1], "none of the 3 classes. Received: ignore_index=2"),
    ],
)
def test_shapes_and_settings_that_do_not_go_together(settings, labels, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy.CrossEntropy(**settings)(tf.zeros([2, 3]), tf.constant(labels))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_an_error(label):
    with pytest.raises(tf.errors.InvalidArgumentError, match="label value"):
        cross_entropy.CrossEntropy()(tf.zeros([1, 3]), tf.constant([label]))
