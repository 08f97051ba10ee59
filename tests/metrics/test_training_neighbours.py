"""Nearness to training photographs, against plain distances."""

import math

import numpy as np
import pytest

from metrics import class_diversity, discriminator_scores, training_neighbours

RNG = np.random.default_rng(0)
TRAINING = RNG.uniform(-1, 1, [9, 16, 16, 3]).astype(np.float32)


def ratio(samples, training=TRAINING):
    metric = training_neighbours.TrainingNeighbours()
    for part in np.split(training, len(training)):
        metric.remember({"image": part})
    metric.update_state({}, {"image": samples})
    return metric.result()["nearest_training_ratio"]


def rms(a, b):
    return np.sqrt(np.mean((a - b) ** 2))


def test_copies_have_a_ratio_of_zero_mirrored_or_not():
    assert ratio(TRAINING[2:5]) < 1e-6
    assert ratio(TRAINING[2:5, :, ::-1]) < 1e-6
    assert ratio(TRAINING[2:5] + RNG.normal(0, 0.01, [3, 16, 16, 3])) < 0.05


def test_the_ratio_is_that_of_medians_of_nearest_distances():
    samples = RNG.uniform(-1, 1, [5, 16, 16, 3])
    both = [TRAINING, TRAINING[:, :, ::-1]]
    nearest = [min(rms(s, t) for side in both for t in side) for s in samples]
    among = [
        min(rms(t, o) for side in both for j, o in enumerate(side) if j != i)
        for i, t in enumerate(TRAINING)
    ]
    assert ratio(samples) == pytest.approx(np.median(nearest) / np.median(among), rel=1e-5)


def test_a_symmetric_photograph_is_no_neighbour_of_itself():
    half = TRAINING[:, :, :8]
    symmetric = np.concatenate([half, half[:, :, ::-1]], 2)
    assert 0.5 < ratio(RNG.uniform(-1, 1, [5, 16, 16, 3]), symmetric) < 2.0


def test_nothing_is_measured_without_photographs_and_samples():
    assert math.isnan(training_neighbours.TrainingNeighbours().result()["nearest_training_ratio"])
    assert math.isnan(ratio(TRAINING, TRAINING[:1]))
    assert math.isnan(ratio(TRAINING, np.repeat(TRAINING[:1], 5, 0)))  # all the same


def test_photographs_stay_known_when_samples_are_forgotten():
    metric = training_neighbours.TrainingNeighbours(num_training=7)
    metric.remember({"image": TRAINING})
    metric.update_state({}, {"image": TRAINING})
    metric.reset_state()
    assert metric.remembered == 9 and math.isnan(metric.result()["nearest_training_ratio"])


def test_overall_diversity_takes_all_images_as_one_class():
    def of(metric, images):
        batch = {"image": TRAINING, "label": np.zeros(9, int)}
        metric.update_state(batch, {"image": images})
        return metric.result()

    one_class = of(class_diversity.ClassDiversity(), 0.3 * TRAINING)["class_diversity"]
    assert of(class_diversity.Diversity(), 0.3 * TRAINING) == {"diversity": one_class}
    assert one_class == pytest.approx(0.3, rel=1e-5)
    alike = np.repeat(TRAINING[:1], 9, 0)
    assert of(class_diversity.Diversity(), alike) == {"diversity": 0.0}


def scores(real, fake):
    metric = discriminator_scores.DiscriminatorScores()
    metric.update_state({}, {"logit_real": np.array(real), "logit_fake": np.array(fake)})
    return metric, metric.result()


def test_overfitting_is_the_place_of_unseen_photographs_between_training_and_generated():
    _, training = scores([2.0, 2.2], [-2.0, -2.2])
    metric, here = scores([1.0, 1.1], [-2.0, -2.2])
    assert here == {"logit_real": 1.05, "logit_fake": -2.1}
    assert metric.gap(here, training) == {"overfitting": pytest.approx(1.05 / 4.2)}
    assert metric.gap(training, training) == {"overfitting": 0.0}


def test_overfitting_is_not_measured_where_the_discriminator_tells_nothing_apart():
    _, training = scores([1.0, -1.0], [0.9, -1.1])
    metric, here = scores([1.0, -1.0], [0.0, 0.0])
    assert math.isnan(metric.gap(here, training)["overfitting"])
    metric, here = scores([], [])
    metric.update_state({}, {"image": TRAINING})  # of a discriminator without a list of logits
    assert math.isnan(metric.result()["logit_real"])
    assert math.isnan(metric.gap(metric.result(), metric.result())["overfitting"])
