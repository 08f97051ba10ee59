"""Variety within classes: ratios of mean distances, and the class that varies least."""

import itertools

import numpy as np
import pytest

from metrics.class_diversity import ClassDiversity

LABELS = np.array([0, 0, 0, 1, 1, 1, 2])  # one image of class 2: no pair


def measured(real, generated, size=3):
    metric = ClassDiversity()
    metric.update_state({"label": np.zeros([1], int), "image": real[:1]}, {"image": real[:1]})
    metric.reset_state()
    for first in range(0, len(LABELS), size):
        part = slice(first, first + size)
        batch = {"label": LABELS[part], "image": real[part]}
        metric.update_state(batch, {"image": generated[part]})
    return metric.result()


def distance(images):
    pairs = itertools.combinations(images.reshape(len(images), -1), 2)
    return np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])


def test_values_are_ratios_of_mean_distances():
    draw = np.random.default_rng(0)
    real, generated = draw.uniform(-1, 1, [2, 7, 8, 12, 3]).astype(np.float32)
    generated[3:6] *= 0.25
    ratios = [distance(generated[p]) / distance(real[p]) for p in (slice(0, 3), slice(3, 6))]
    for size in (3, 7):
        found = measured(real, generated, size)
        assert found["class_diversity"] == pytest.approx(np.mean(ratios), rel=1e-5)
        assert found["class_diversity_min"] == pytest.approx(ratios[1], rel=1e-5)


def test_one_image_for_all_noise_is_zero_and_fine_noise_is_little():
    draw = np.random.default_rng(1)
    coarse = draw.uniform(-1, 1, [7, 1, 1, 3]).astype(np.float32)
    real = np.broadcast_to(coarse, [7, 64, 64, 3])
    collapsed = np.repeat(real[:1], 7, axis=0)
    found = measured(real, collapsed)
    assert found == {"class_diversity": 0.0, "class_diversity_min": 0.0}
    noisy = collapsed + draw.normal(0.0, 0.1, collapsed.shape)
    pixels = distance(noisy[:3]) / distance(real[:3])
    assert measured(real, noisy)["class_diversity"] < 0.35 * pixels


def test_without_two_of_a_class_there_is_nothing_to_measure():
    metric = ClassDiversity()
    assert np.isnan(list(metric.result().values())).all()
    image = np.zeros([2, 8, 8, 3], np.float32)
    metric.update_state({"label": np.array([0, 1]), "image": image}, {"image": image})
    assert np.isnan(list(metric.result().values())).all()
