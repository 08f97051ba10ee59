"""A GAN of a few weights, with losses plain enough to check by hand."""

import keras
import numpy as np
import tensorflow as tf

from training.tasks import gan, gan_losses

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


def plain_losses(terms):
    return gan_losses.GANLosses(
        Saturating(),
        generator_terms={"distance": FeatureDistance() if terms else None},
        discriminator_terms={"mean": CriticMean()} if terms else None,
    )


def make_task(terms=True, learning_rate=0.1, generator=TinyGenerator, spec=SPEC, **settings):
    keras.utils.set_random_seed(1)
    optimizers = {
        owner: keras.optimizers.SGD(learning_rate) for owner in ("generator", "discriminator")
    }
    task = gan.GANTask(
        generator(),
        TinyDiscriminator(),
        **{"losses": plain_losses(terms), "optimizers": optimizers, **settings},
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
