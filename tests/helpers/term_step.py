"""What a loss term reads, made by hand."""

import tensorflow as tf

from losses import term


class Critic:
    """A function of the image alone as a discriminator."""

    input_keys = ("image",)

    def __init__(self, function):
        self.function = function

    def __call__(self, inputs, training=False):
        return self.function(inputs["image"])


def with_images(critic, real, fake, *, seed=(1, 2), **entries):
    """A step whose discriminator is a function of the image; `entries` are inputs beside it."""
    sides = [term.Side(entries | {"image": tf.constant(image)}) for image in (real, fake)]
    return term.Step(
        real=sides[0], fake=sides[1], discriminator=Critic(critic), seed=tf.constant(seed, tf.int32)
    )


def with_outputs(real, fake):
    """A step with outputs of the discriminator."""
    return term.Step(real=term.Side(outputs=real), fake=term.Side(outputs=fake))
