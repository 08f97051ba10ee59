"""GANTask: who moves when, equal orders of computation, averages, replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import averaging, gan

SPEC = {
    "mask": tf.TensorSpec([None, 4, 4, 2], tf.float32),
    "image": tf.TensorSpec([None, 4, 4, 3], tf.float32),
}


class TinyGenerator(keras.Model):
    input_keys = ("mask", "noise")

    def __init__(self, noise_dim=5, **kwargs):
        super().__init__(**kwargs)
        self.noise_dim = noise_dim
        self.project = keras.layers.Dense(3)
        self.style = keras.layers.Dense(3)
        self.normalize = keras.layers.BatchNormalization(momentum=0.9, synchronized=True)

    def build(self, input_shape):
        self.project.build(input_shape["mask"])
        self.style.build(input_shape["noise"])
        self.normalize.build((None, 4, 4, 3))
        self.built = True

    def call(self, inputs, training=False):
        style = self.style(inputs["noise"])[:, None, None, :]
        hidden = self.normalize(self.project(inputs["mask"]) + style, training=training)
        return {"image": tf.tanh(hidden)}

    def get_config(self):
        return {"noise_dim": self.noise_dim}


class TinyDiscriminator(keras.Model):
    input_keys = ("mask", "image")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(4, activation="tanh")
        self.out = keras.layers.Dense(1)

    def build(self, input_shape):
        self.hidden.build((None, 4, 4, 5))
        self.out.build((None, 4, 4, 4))
        self.built = True

    def call(self, inputs, training=False):
        hidden = self.hidden(tf.concat([inputs["mask"], inputs["image"]], -1))
        return {"logits": [self.out(hidden)], "features": [[hidden]]}


class Saturating:
    """A plain loss: real up, fake down, and the generator against it."""

    def discriminator(self, real, fake):
        return tf.reduce_mean(tf.nn.softplus(-real[0])) + tf.reduce_mean(tf.nn.softplus(fake[0]))

    def generator(self, fake):
        return tf.reduce_mean(tf.nn.softplus(-fake[0]))


class FeatureDistance:
    weight = 2.0

    def __call__(self, *, real, fake, **_):
        return tf.reduce_mean(tf.abs(real["features"][0][0] - fake["features"][0][0]))


class CriticMean:
    weight = 0.5

    def __call__(self, *, critic, real_image, fake_image, seed, **_):
        mix = tf.random.stateless_uniform([tf.shape(real_image)[0], 1, 1, 1], seed)
        return tf.reduce_mean(critic(mix * real_image + (1 - mix) * fake_image)["logits"][0] ** 2)


def make_task(terms=True, learning_rate=0.1, generator=TinyGenerator, spec=SPEC, **settings):
    keras.utils.set_random_seed(1)
    task = gan.GANTask(
        generator(),
        TinyDiscriminator(),
        adversarial=Saturating(),
        terms={
            "generator": {"distance": FeatureDistance() if terms else None},
            "discriminator": {"mean": CriticMean()} if terms else {},
        },
        optimizers={
            "generator": keras.optimizers.SGD(learning_rate),
            "discriminator": keras.optimizers.SGD(learning_rate),
        },
        **settings,
    )
    task.build(spec)
    return task


def make_batch(seed=0, size=4):
    random = np.random.default_rng(seed)
    ids = random.integers(0, 2, [size, 4, 4])
    return {
        "mask": tf.constant(np.eye(2, dtype=np.float32)[ids]),
        "image": tf.constant(random.uniform(-1, 1, [size, 4, 4, 3]).astype(np.float32)),
    }


def snapshot(network):
    return [weight.numpy().copy() for weight in network.trainable_variables]


def changed(before, network):
    return [not np.array_equal(b, w.numpy()) for b, w in zip(before, network.trainable_variables,
                                                             strict=True)]  # fmt: skip


SEED = tf.constant([0, 7])


@pytest.mark.parametrize("order", gan.UPDATE_ORDERS)
def test_each_network_moves_in_every_variable(order):
    task = make_task(update_order=order)
    before = snapshot(task.generator), snapshot(task.discriminator)
    metrics = task.train_step([make_batch()], SEED)
    assert all(changed(before[0], task.generator)) and all(changed(before[1], task.discriminator))
    assert set(metrics) == {
        "d/adversarial", "d/logit_real", "d/logit_fake", "d/mean", "d/total",
        "g/adversarial", "g/distance", "g/total",
        "learning_rate/generator", "learning_rate/discriminator",
    }  # fmt: skip
    assert metrics["g/total"] == metrics["g/adversarial"] + 2.0 * metrics["g/distance"]
    assert metrics["d/total"] == metrics["d/adversarial"] + 0.5 * metrics["d/mean"]


def test_the_discriminator_step_moves_the_discriminator_alone():
    task = make_task()
    before = snapshot(task.generator), snapshot(task.discriminator)
    batch = make_batch()
    task._discriminator_step(batch, batch["image"] * 0.5, SEED)
    assert not any(changed(before[0], task.generator))
    assert all(changed(before[1], task.discriminator))


def test_the_generator_step_moves_the_generator_alone():
    task = make_task()
    before = snapshot(task.generator), snapshot(task.discriminator)
    task._generator_step(make_batch(), SEED)
    assert all(changed(before[0], task.generator))
    assert not any(changed(before[1], task.discriminator))


def test_the_shared_forward_equals_two_separate_passes():
    """d_then_g against the textbook order: a D step on G(z), then a G step on a new G(z)."""
    shared, separate = make_task(), make_task()
    batch = make_batch()
    shared.train_step([batch], SEED)
    inner = tf.random.experimental.stateless_fold_in(SEED, 0)
    fake = separate._generate(batch, inner)["image"]
    separate._discriminator_step(batch, fake, inner)
    separate._generator_step(batch, inner)
    for network in ("generator", "discriminator"):
        for a, b in zip(
            snapshot(getattr(shared, network)), snapshot(getattr(separate, network)), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_two_orders_differ():
    tasks = [make_task(update_order=order) for order in gan.UPDATE_ORDERS]
    for task in tasks:
        task.train_step([make_batch()], SEED)
    assert not np.allclose(*(snapshot(t.generator)[0] for t in tasks))


@pytest.mark.parametrize("order", gan.UPDATE_ORDERS)
def test_discriminator_steps_take_a_batch_each(order):
    task = make_task(discriminator_steps=3, update_order=order)
    assert task.batches_per_step == 3
    task.train_step([make_batch(i) for i in range(3)], SEED)
    assert int(task.optimizers["discriminator"].iterations) == 3
    assert int(task.optimizers["generator"].iterations) == 1


def test_terms_can_be_left_out():
    task = make_task(terms=False)
    assert task.terms == {"generator": {}, "discriminator": {}}
    assert "g/distance" not in task.train_step([make_batch()], SEED)


def test_a_step_is_a_function_of_its_seed():
    results = []
    for seed in (7, 7, 8):
        task = make_task()
        task.train_step([make_batch()], tf.constant([0, seed]))
        results.append(snapshot(task.generator)[0])
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0], results[2])


def test_missing_batch_entries_are_named():
    with pytest.raises(KeyError, match="TinyDiscriminator reads.*without \\['image'\\]"):
        make_task(spec={"mask": SPEC["mask"]})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"update_order": "both"}, "update_order must be one of.*'both'"),
        ({"discriminator_steps": 0}, "discriminator_steps must be at least 1.*=0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        make_task(**settings)


def test_a_variable_without_a_gradient_is_an_error():
    class Idle(TinyGenerator):
        def call(self, inputs, training=False):
            return {"image": tf.tanh(self.project(inputs["mask"]))}

    task = make_task(generator=Idle)
    with pytest.raises(ValueError, match="must receive a gradient.*none for"):
        task.train_step([make_batch()], SEED)


def test_seeded_noise_belongs_to_its_item():
    task = make_task(averaging=averaging.WeightAveraging())
    batch = make_batch(size=3)
    together = task.generate(batch, tf.constant([4, 5, 6]))["image"]
    alone = task.generate({k: v[1:2] for k, v in batch.items()}, tf.constant([5]))["image"]
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)
    assert set(task.previews(batch, tf.zeros([3], tf.int32))) == {"generated", "averaged"}
    assert set(make_task().previews(batch, tf.zeros([3], tf.int32))) == {"generated"}


def test_the_average_follows_the_stated_formula():
    task = make_task(averaging=averaging.WeightAveraging(0.5, start_step=2))
    expected = snapshot(task.generator)
    for step in range(1, 6):
        task.train_step([make_batch(step)], tf.constant([0, step]))
        task.after_step()
        since = step - 2
        decay = min(0.5, (1 + since) / (10 + since)) if since > 0 else 0.0
        expected = [
            decay * e + (1 - decay) * w
            for e, w in zip(expected, snapshot(task.generator), strict=True)
        ]
    averaged = task.state()["averaged_generator"]
    for a, e in zip(averaged.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), e, atol=1e-6)


def test_calibration_gives_the_weighted_mean_of_batch_statistics():
    """Against NumPy; and it depends on weights and batches alone."""
    task = make_task(averaging=averaging.WeightAveraging(calibration_batches=3))
    network = task.state()["averaged_generator"]
    batches = [make_batch(i) for i in range(5)]
    task.prepare_generation(batches)
    first = network.normalize.moving_mean.numpy(), network.normalize.moving_variance.numpy()
    task.prepare_generation(batches)
    np.testing.assert_array_equal(first[0], network.normalize.moving_mean.numpy())

    means, variances = [], []
    for number, batch in enumerate(batches[:3], start=1):
        fold = tf.random.experimental.stateless_fold_in
        noise = tf.random.stateless_normal([4, 5], fold(fold(tf.constant([0, number]), 0), 0))
        hidden = (
            batch["mask"].numpy() @ network.project.kernel.numpy()
            + (noise.numpy() @ network.style.kernel.numpy())[:, None, None]
        )
        means.append(hidden.mean((0, 1, 2)))
        variances.append(hidden.var((0, 1, 2)))
    weights = np.array([0.1 * 0.9**2, 0.1 * 0.9, 0.1]) / (1 - 0.9**3)
    np.testing.assert_allclose(first[0], weights @ np.array(means), atol=1e-5)
    np.testing.assert_allclose(first[1], weights @ np.array(variances), atol=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"decay": 1.0}, r"decay must be in \[0, 1\).*decay=1.0"),
        ({"start_step": -1}, "start_step must be >= 0.*start_step=-1"),
        ({"calibration_batches": 0}, "calibration_batches=0"),
    ],
)
def test_averaging_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        averaging.WeightAveraging(**settings)
