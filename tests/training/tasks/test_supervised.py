"""SupervisedTask: what it learns, on images and on pixels, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import cross_entropy, differentiable_augmentation, term
from models import classifier
from tests.helpers import distribution, pixel_network
from training.tasks import averaging, supervised

SIZE, CLASSES, BATCH = 8, pixel_network.CLASSES, 4
SEED = tf.constant([0, 7])
IMAGE = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)
IMAGE_SPEC = {"image": IMAGE, "label": tf.TensorSpec([None], tf.int32)}
PIXEL_SPEC = {"image": IMAGE, "label_map": tf.TensorSpec([None, SIZE, SIZE], tf.uint8)}


def image_task(*, learning_rate=0.1, spec=IMAGE_SPEC, **settings):
    keras.utils.set_random_seed(1)
    network = classifier.ImageClassifier(CLASSES, (4, 6))
    return built(network, learning_rate, spec, **settings)


def pixel_task(*, learning_rate=0.1, spec=PIXEL_SPEC, **settings):
    keras.utils.set_random_seed(1)
    return built(pixel_network.PixelNetwork(), learning_rate, spec, target="label_map", **settings)


def built(network, learning_rate, spec, *, loss=None, **settings):
    task = supervised.SupervisedTask(
        network,
        loss=loss or cross_entropy.CrossEntropy(),
        optimizer=keras.optimizers.SGD(learning_rate),
        **settings,
    )
    task.build(spec)
    return task


def make_batch(seed=0):
    """Images whose class is their brightest channel; pixels alike, some of them ignored."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, BATCH)
    image = random.uniform(-0.5, 0.5, [BATCH, SIZE, SIZE, 3]).astype(np.float32)
    image += 0.4 * np.eye(3, dtype=np.float32)[labels][:, None, None, :]
    label_map = np.argmax(image, axis=-1)
    label_map[:2, :3] = 255
    label_map[0, 4:] = 255
    return {
        "image": tf.constant(image),
        "label": tf.constant(labels, tf.int32),
        "label_map": tf.constant(label_map, tf.uint8),
    }


def weights(network):
    return [tf.convert_to_tensor(variable).numpy() for variable in network.trainable_variables]


# --- Training ---------------------------------------------------------------------------------


def test_a_step_moves_the_weights_down_the_gradient_of_the_loss():
    task, batch = pixel_task(), make_batch()
    kernel, bias = weights(task.network)
    metrics = task.train_step([batch], SEED)
    image = batch["image"].numpy().reshape(-1, 3).astype(np.float64)
    labels = batch["label_map"].numpy().ravel()
    image, labels = image[labels != 255], labels[labels != 255]
    logits = image @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = -np.log(shares[np.arange(len(labels)), labels]).mean()
    penalty = 0.01 * (kernel.astype(np.float64) ** 2).sum()
    np.testing.assert_allclose(metrics["loss/regularization"], penalty, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/total"], entropy + penalty, rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], (logits.argmax(-1) == labels).mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["learning_rate/network"], 0.1)
    slope = (shares - np.eye(3)[labels]) / len(labels)
    moved_kernel, moved_bias = weights(task.network)
    np.testing.assert_allclose(moved_bias, bias - 0.1 * slope.sum(0), rtol=1e-4, atol=1e-6)
    expected = kernel - 0.1 * (image.T @ slope + 0.02 * kernel)
    np.testing.assert_allclose(moved_kernel, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("make", "rate"), [(image_task, 0.3), (pixel_task, 10.0)])
def test_what_can_be_learned_is_learned(make, rate):
    task = make(learning_rate=rate, averaging=averaging.WeightAveraging(0.5, calibration_batches=4))
    step = tf.function(task.train_step)
    for number in range(60):
        step([make_batch(number)], tf.constant([0, number]))
        task.after_step({})
    task.prepare_generation([make_batch(number) for number in range(4)])
    batch = make_batch(99)
    outputs = task.generate(batch, tf.zeros([BATCH], tf.int32))
    target = batch[task.target].numpy()
    assert outputs["prediction"].shape == target.shape and outputs["prediction"].dtype == tf.int32
    assert outputs["logits"].shape == (*target.shape, CLASSES)
    right = (outputs["prediction"].numpy() == target)[target != 255]
    assert right.mean() > 0.8


@pytest.mark.parametrize("make", [image_task, pixel_task])
def test_two_replicas_move_as_one(make):
    """Also where replicas hold unequal numbers of pixels that count, and classes have weights."""
    strategy, batch = distribution.two_replicas(), make_batch()
    halves = [{k: v[part] for k, v in batch.items()} for part in (slice(0, 2), slice(2, 4))]
    assert len({np.sum(half["label_map"].numpy() == 255) for half in halves}) == 2
    loss = cross_entropy.CrossEntropy(0.1, class_weights=[0.2, 1.0, 3.0])
    single = make(loss=loss)
    alone = single.train_step([batch], SEED)
    with strategy.scope():
        double = make(loss=loss)
        shares = {
            key: strategy.experimental_distribute_values_from_function(
                lambda context, key=key: halves[context.replica_id_in_sync_group][key]
            )
            for key in batch
        }
        metrics = tf.function(lambda: strategy.run(double.train_step, ([shares], SEED)))()
        both = {k: strategy.reduce("MEAN", v, axis=None) for k, v in metrics.items()}
    distribution.assert_equal_metrics(both, alone, rtol=1e-4)
    for one, two in zip(weights(single.network), weights(double.network), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


def test_a_batch_in_which_nothing_counts_moves_nothing():
    task = image_task()
    before = weights(task.network)
    batch = make_batch() | {"label": tf.fill([BATCH], 255)}
    metrics = task.train_step([batch], SEED)
    assert float(metrics["loss/total"]) == 0.0 and float(metrics["accuracy"]) == 0.0
    for old, new in zip(before, weights(task.network), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_augmentation_sees_training_images_alone_and_draws_by_step():
    seen = []

    class Negative(term.Augmentation):
        def __call__(self, inputs, seed):
            seen.append(tuple(seed.numpy()))
            return inputs | {"image": -inputs["image"]}

    augment = Negative()
    plain, task = image_task(), image_task(augment=augment)
    batch = make_batch()
    task.train_step([batch], SEED)
    task.train_step([batch], tf.constant([0, 8]))
    task.train_step([batch], SEED)
    assert seen[0] == seen[2] != seen[1]
    task.generate(batch, tf.zeros([BATCH], tf.int32))
    assert len(seen) == 3
    turned = batch | {"image": -batch["image"]}
    expected = plain.train_step([turned], SEED)["loss/total"]
    again = image_task(augment=augment)
    np.testing.assert_allclose(again.train_step([batch], SEED)["loss/total"], expected, rtol=1e-6)


# --- Prediction -------------------------------------------------------------------------------


def test_averaged_weights_predict_and_are_what_is_restored():
    plain, averaged = image_task(), image_task(averaging=averaging.WeightAveraging(0.9))
    assert set(plain.generation_state()) == {"network"}
    assert set(averaged.generation_state()) == {"averaged_network"}
    assert set(averaged.state()) == {"network", "optimizer", "step", "averaged_network"}
    averaged.train_step([make_batch()], SEED)
    averaged.after_step({})
    start = weights(image_task().network)
    kept = weights(averaged.generation_state()["averaged_network"])
    for first, now, mean in zip(start, weights(averaged.network), kept, strict=True):
        np.testing.assert_allclose(mean, first * 2 / 11 + now * 9 / 11, rtol=1e-4, atol=1e-6)


class Fixed(pixel_network.PixelNetwork):
    """The colours themselves as logits: the brightest channel is what is predicted."""

    def call(self, inputs, training=False):
        return {"logits": inputs["image"]}


def test_previews_tint_what_is_wrong_and_not_what_is_ignored():
    task = built(Fixed(), 0.1, PIXEL_SPEC, target="label_map")
    image = np.full([1, SIZE, SIZE, 3], -0.5, np.float32)
    image[..., 1] = 0.5  # predicted: 1
    label_map = np.ones([1, SIZE, SIZE], np.uint8)
    label_map[0, 0, 0], label_map[0, 0, 1] = 2, 255
    batch = {"image": tf.constant(image), "label_map": tf.constant(label_map)}
    shown = task.previews(batch, tf.zeros([1], tf.int32))
    expected = image.copy()
    expected[0, 0, 0] = [0.25, -0.25, -0.75]
    assert list(shown) == ["predicted", "wrong"]
    np.testing.assert_allclose(shown["wrong"], expected)
    np.testing.assert_array_equal(shown["predicted"], np.ones([1, SIZE, SIZE], np.int32))


def test_previews_tint_the_whole_of_an_image():
    task, batch = image_task(), make_batch()
    prediction = task.generate(batch, tf.zeros([BATCH], tf.int32))["prediction"].numpy()
    labels = prediction.copy()
    labels[1] = (labels[1] + 1) % CLASSES
    batch |= {"label": tf.constant(labels)}
    (shown,) = task.previews(batch, tf.zeros([BATCH], tf.int32)).values()
    image = batch["image"].numpy()
    np.testing.assert_allclose(shown[1], (image[1] + [1.0, -1.0, -1.0]) / 2, atol=1e-6)
    np.testing.assert_array_equal(np.delete(shown, 1, 0), np.delete(image, 1, 0))


# --- What does not go together ----------------------------------------------------------------


def test_data_without_the_target_are_refused():
    with pytest.raises(KeyError, match="target='label', data with \\('image',\\)"):
        image_task(spec={"image": IMAGE})
    with pytest.raises(KeyError, match="target='label_map', data with \\('image', 'label'\\)"):
        pixel_task(spec=IMAGE_SPEC)
    with pytest.raises(KeyError, match="without \\['image'\\]"):
        image_task(spec={"label": IMAGE_SPEC["label"]})


def test_targets_of_pixels_move_along_or_nothing_does():
    augment = differentiable_augmentation.DifferentiableAugmentation()
    image_task(augment=augment)
    pixel_task(augment=augment)
    augment.moves = ("image",)
    image_task(augment=augment)
    with pytest.raises(ValueError, match="DifferentiableAugmentation that moves.*label_map"):
        pixel_task(augment=augment)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "at least two classes.*num_classes=1"),
        ({"num_classes": 2, "channels": ()}, "one block.*channels=\\(\\)"),
    ],
)
def test_a_classifier_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        classifier.ImageClassifier(**settings)


def test_an_image_too_small_for_the_blocks():
    with pytest.raises(ValueError, match="at least 8 px, which 3 blocks.*\\(16, 7\\)"):
        classifier.ImageClassifier(2).build({"image": (None, 16, 7, 3)})


def test_the_classifier_has_the_size_its_config_states():
    network = classifier.ImageClassifier(10)
    network.build({"image": (None, 32, 32, 3)})
    assert round(network.count_params() / 1e6, 1) == 0.2
