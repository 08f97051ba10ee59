"""A GAN of a few weights, with losses plain enough to check by hand."""

import keras
import numpy as np
import tensorflow as tf

from losses import term
from training.tasks import gan, objective

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


class Saturating(term.AdversarialLoss):
    """A plain loss: real up, fake down, and the generator against it."""

    def discriminator(self, step):
        (real,), (fake,) = step.real.outputs["logits"], step.fake.outputs["logits"]
        return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))

    def generator(self, step):
        return tf.reduce_mean(tf.nn.softplus(-step.fake.outputs["logits"][0]))


class FeatureDistance(term.Term):
    weight = 2.0
    needs = ("real.outputs", "fake.outputs")

    def __call__(self, step):
        real, fake = step.real.outputs["features"], step.fake.outputs["features"]
        return tf.reduce_mean(tf.abs(real[0][0] - fake[0][0]))


class CriticMean(term.Term):
    weight = 0.5
    needs = ("real.inputs", "fake.inputs", "discriminator")

    def __call__(self, step):
        real, fake = step.real.inputs["image"], step.fake.inputs["image"]
        mix = tf.random.stateless_uniform([tf.shape(real)[0], 1, 1, 1], step.seed)
        image = mix * real + (1 - mix) * fake
        return tf.reduce_mean(
            step.discriminate(step.real.inputs | {"image": image})["logits"][0] ** 2
        )


def plain_objective(terms):
    return objective.Objective(
        Saturating(),
        generator_terms={"distance": FeatureDistance() if terms else None},
        discriminator_terms={"mean": CriticMean()} if terms else None,
    )


def make_task(
    terms=True,
    learning_rate=0.1,
    generator=TinyGenerator,
    discriminator=TinyDiscriminator,
    spec=SPEC,
    **settings,
):
    keras.utils.set_random_seed(1)
    optimizers = {
        owner: keras.optimizers.SGD(learning_rate) for owner in ("generator", "discriminator")
    }
    task = gan.GANTask(
        generator(),
        discriminator(),
        **{"objective": plain_objective(terms), "optimizers": optimizers, **settings},
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


def take_noise_from_batch(task):
    """Lets a task use the "noise" of its batches, which is the same however they are divided."""

    def make(batch, seed, generate=True):
        inputs = {key: batch[key] for key in task.generator.input_keys}
        return inputs, task.generator(inputs, training=True) if generate else None

    task._updates.make = make


def snapshot(network):
    return [weight.numpy().copy() for weight in network.trainable_variables]


def changed(before, network):
    return [not np.array_equal(b, w.numpy()) for b, w in zip(before, network.trainable_variables,
                                                             strict=True)]  # fmt: skip


SEED = tf.constant([0, 7])
