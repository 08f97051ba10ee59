"""Forward passes of a GAN's two networks, as far as the terms of an update read them."""

import dataclasses

import keras
import tensorflow as tf

from losses import term
from training.tasks import network_inputs, objective, protocol, steps

Made = tuple[dict, dict | None]  # what the generator was given, and returned where it was called


@dataclasses.dataclass
class Passes:
    """The networks of a GAN in training mode, and what their inputs are made of.

    Args:
        generator, discriminator: networks with `input_keys`.
        augment: losses.term.Augmentation or None.
        sample_labels: whether fakes are made and judged under classes drawn uniformly.
    """

    generator: keras.Model
    discriminator: keras.Model
    augment: term.Augmentation | None = None
    sample_labels: bool = False

    def make(self, batch: protocol.Batch, seed: tf.Tensor, generate: bool = True) -> Made:
        """Inputs of the generator, and its outputs or None."""
        inputs = network_inputs.for_training(self.generator, self._conditions(batch, seed), seed)
        return inputs, self.generator(inputs, training=True) if generate else None

    def for_generator(
        self, update: objective.Update, batch: protocol.Batch, seed: tf.Tensor, made: Made, tape
    ) -> term.Step:
        """What the generator's terms read; the tape does not see the pass of the real images."""
        step = self._step(update, batch, seed, made)
        if update.reads("real.outputs"):
            with tape.stop_recording():
                step = _with_outputs(step, real=step.discriminate(step.real.inputs))
        if update.reads("fake.outputs"):
            step = _with_outputs(step, fake=step.discriminate(step.fake.inputs))
        return step

    def for_discriminator(
        self, update: objective.Update, batch: protocol.Batch, seed: tf.Tensor, made: Made
    ) -> tuple[term.Step, dict]:
        """What the discriminator's terms read, and all of its outputs.

        Real and fake images pass as one batch, so that statistics agree.
        """
        step = self._step(update, batch, seed, made)
        names = [name for name in ("real", "fake") if update.reads(f"{name}.outputs")]
        if not names:
            return step, {}
        inputs = [getattr(step, name).inputs for name in names]
        keys = self.discriminator.input_keys
        outputs = step.discriminate({key: tf.concat([i[key] for i in inputs], 0) for key in keys})
        parts = [tf.split(output, len(names)) for output in tf.nest.flatten(outputs)]
        sides = [tf.nest.pack_sequence_as(outputs, side) for side in zip(*parts, strict=True)]
        return _with_outputs(step, **dict(zip(names, sides, strict=True))), outputs

    def _step(self, update, batch, seed, made) -> term.Step:
        """A step without outputs of the discriminator."""
        inputs, generated = made

        def augment(entries) -> dict:
            return network_inputs.augmented(self.augment, entries, seed)

        real = fake = term.Side()
        if update.reads("real"):
            seen = augment(batch)
            real = term.Side(network_inputs.with_random(self.discriminator, seen, seed))
        if update.reads("fake"):
            seen = augment(self._conditions(batch, seed) | {"image": generated["image"]})
            purpose = network_inputs.FAKE_SAMPLING
            fake = term.Side(network_inputs.with_random(self.discriminator, seen, seed, purpose))
        return term.Step(
            batch, generated, real, fake, self.generator, self.discriminator, inputs,
            seed=steps.replica_seed(seed, network_inputs.TERMS), augment=augment,
        )  # fmt: skip

    def _conditions(self, batch, seed) -> dict:
        """The batch with the classes that its fakes are made and judged under."""
        if not self.sample_labels:
            return batch
        count = self.generator.num_classes
        return batch | {"label": network_inputs.uniform_labels(batch["label"], count, seed)}


def _with_outputs(step, **outputs) -> term.Step:
    """The step with outputs of the discriminator: real=..., fake=..."""
    sides = {
        name: dataclasses.replace(getattr(step, name), outputs=found)
        for name, found in outputs.items()
    }
    return dataclasses.replace(step, **sides)
