"""A class-conditional GAN of 8 x 8 pixels with attention, and a look at what it reads."""

import keras
import numpy as np
import tensorflow as tf

from losses import adversarial
from models.discriminators import projection
from models.generators import class_conditional
from models.layers import attentive_normalization
from training.tasks import gan, objective

SIZE, CLASSES, BATCH = 8, 3, 4
SPEC = {
    "image": tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32),
    "label": tf.TensorSpec([None], tf.int32),
}
SEED = tf.constant([0, 7])
# N(0, 1): orthogonal regions would leave the orthogonality term nothing to measure.
ATTENTION = attentive_normalization.AttentiveNormalization(
    3, temperature=1.0, entity_initializer=None
)


def make_task(
    spec=SPEC,
    *,
    block=1,
    penalty=None,
    generator=None,
    discriminator=None,
    augment=None,
    **settings,
):
    keras.utils.set_random_seed(1)
    attention = {"attentive_norm_block": block, "attentive_norm": ATTENTION}
    generator = generator or class_conditional.ClassConditionalGenerator(
        CLASSES, (4, 6), noise_dim=5, **attention
    )
    discriminator = discriminator or projection.ProjectionDiscriminator(
        CLASSES, (4, 6), downsample=(True, False), spectral_norm=penalty is None, **attention
    )
    task = gan.GANTask(
        generator,
        discriminator,
        objective=objective.Objective(
            adversarial.Wasserstein() if penalty else adversarial.Hinge(),
            discriminator_terms={"penalty": penalty},
            augment=augment,
        ),
        optimizers={name: keras.optimizers.SGD(1e-3) for name in ("generator", "discriminator")},
        **settings,
    )
    task.build(spec)
    for network in (generator, discriminator):
        for variable in network.trainable_variables:
            if variable.path.endswith("gate"):
                variable.assign(0.5)
    return task


def make_batch(seed=0, label=None):
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, BATCH) if label is None else np.full(BATCH, label)
    return {
        "image": tf.constant(random.uniform(-1, 1, [BATCH, SIZE, SIZE, 3]).astype("float32")),
        "label": tf.constant(labels.astype("int32")),
    }


def watch(network, seen):
    """Notes what a network is called with."""
    original = network.call

    def call(inputs, training=False):
        seen.append(inputs)
        return original(inputs, training=training)

    network.call = call
