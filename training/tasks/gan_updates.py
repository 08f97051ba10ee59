"""The updates of a GAN's two networks: the passes that their terms read, and the gradients."""

import dataclasses
import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from losses import term
from training.tasks import network_inputs, protocol, steps, updates
from training.tasks import objective as objectives
from training.watch import monitoring

Made = tuple[dict, dict | None]  # what the generator was given, and returned where it was called


@dataclasses.dataclass
class GANUpdates:
    """How each network of a GAN moves; see GANTask for the arguments.

    A micro-batch is (batch, seed): dict of tensors, int32 [2] of its own.
    """

    generator: keras.Model
    discriminator: keras.Model
    objective: objectives.Objective
    optimizers: dict[str, keras.optimizers.Optimizer]
    sample_labels: bool = False

    def update_generator(
        self,
        micro_batches: Sequence,
        due: Sequence[int],
        *,
        alone: bool = False,
        both: bool = False,
    ) -> protocol.Metrics:
        """The generator's update and its lazy ones.

        Args:
            micro_batches: whose gradients are summed.
            due: intervals of the lazy terms that are due.
            alone: whether only terms that need nothing of the discriminator count.
            both: whether the discriminator is updated first, on the fakes of the same pass.
        """
        metrics = {}
        for update in self.objective.updates("generator", due, alone=alone):
            first = functools.partial(self.update_discriminator, micro_batches, due)
            between = first if both and update.every == 1 else None
            gradients_of = functools.partial(
                self._generator_gradients, update, len(micro_batches), between
            )
            metrics |= self._apply("generator", update, gradients_of, micro_batches)
        return metrics

    def update_discriminator(
        self, micro_batches: Sequence, due: Sequence[int], made: Made | None = None
    ) -> protocol.Metrics:
        """The discriminator's update and its lazy ones.

        Args:
            micro_batches: whose gradients are summed.
            due: intervals of the lazy terms that are due.
            made: what `make` returned for the only micro-batch; None = it is made here.
        """
        metrics, statistics = {}, self.generator.non_trainable_variables
        main, *lazy = self.objective.updates("discriminator", due)
        before = updates.values(statistics) if lazy and made is None else []
        for update in (main, *lazy):
            if update is not main and made is None and update.generates:
                updates.assign(statistics, before)  # for the same fakes
            gradients_of = functools.partial(
                self._discriminator_gradients, update, len(micro_batches), made
            )
            metrics |= self._apply("discriminator", update, gradients_of, micro_batches)
        return metrics

    def _apply(self, owner, update, gradients_of, micro_batches) -> protocol.Metrics:
        """Moves a network by the gradients of all micro-batches; returns what is logged."""
        networks, optimizer = (self.generator, self.discriminator), self.optimizers[owner]
        gradients, metrics = updates.accumulated(gradients_of, micro_batches, networks)
        if update.every == 1:
            metrics[f"gradient_norm/{owner}"] = updates.gradient_norm(gradients, optimizer)
        updates.apply(gradients, getattr(self, owner), optimizer)
        return metrics

    def _generator_gradients(self, update, count, between, micro_batch) -> tuple:
        (batch, seed), metrics = micro_batch, {}
        with tf.GradientTape() as tape:
            made = self.make(batch, seed, update.generates or between is not None)
            if between is not None:
                with tape.stop_recording():
                    metrics |= between(made)
            step = self._for_generator(update, batch, seed, made, tape)
            total, found = update.total(step, self.generator)
            if update.every == 1:
                found |= monitoring.scalars("g", self.generator, step.generated or {})
            loss = updates.scaled(total, self.optimizers["generator"], count)
        gradients = updates.gradients(tape, loss, self.generator, partial=update.every > 1)
        return gradients, metrics | found

    def _discriminator_gradients(self, update, count, made, micro_batch) -> tuple:
        batch, seed = micro_batch
        if made is None:
            made = self.make(batch, seed, update.generates)
        with tf.GradientTape() as tape:
            step, outputs = self._for_discriminator(update, batch, seed, made)
            total, metrics = update.total(step, self.discriminator)
            loss = updates.scaled(total, self.optimizers["discriminator"], count)
        if update.every == 1:
            metrics |= monitoring.scalars("d", self.discriminator, outputs)
        gradients = updates.gradients(tape, loss, self.discriminator, partial=update.every > 1)
        return gradients, metrics

    # --- Passes ------------------------------------------------------------------------------

    def make(self, batch: protocol.Batch, seed: tf.Tensor, generate: bool = True) -> Made:
        """Inputs of the generator, and its outputs or None."""
        inputs = network_inputs.for_training(self.generator, self._conditions(batch, seed), seed)
        return inputs, self.generator(inputs, training=True) if generate else None

    def _for_generator(
        self, update: objectives.Update, batch: protocol.Batch, seed: tf.Tensor, made: Made, tape
    ) -> term.Step:
        """What the generator's terms read; the tape does not see the pass of the real images."""
        step = self._step(update, batch, seed, made)
        if update.reads("real.outputs"):
            with tape.stop_recording():
                step = _with_outputs(step, real=step.discriminate(step.real.inputs))
        if update.reads("fake.outputs"):
            step = _with_outputs(step, fake=step.discriminate(step.fake.inputs))
        return step

    def _for_discriminator(
        self, update: objectives.Update, batch: protocol.Batch, seed: tf.Tensor, made: Made
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
            return network_inputs.augmented(self.objective.augment, entries, seed)

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
