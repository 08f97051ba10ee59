"""The task of every GAN: kinds differ by batch keys and loss terms alone."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from training.kinds import kind as kinds
from training.tasks import averaging as weight_averaging
from training.tasks import (
    gan_checks,
    gan_updates,
    initial_weights,
    network_inputs,
    protocol,
    steps,
    updates,
)  # fmt: skip
from training.watch import monitoring


class GANTask:
    """A generator against a discriminator, each fed the batch entries it names in `input_keys`.

    `update_order="d_then_g"` computes one fake batch, updates the discriminator on it, and sends
    the generator's loss through the updated discriminator back into that same forward pass: equal
    to the two separate passes, as the generator has not moved in between. `"g_then_d"` updates
    the generator first and gives the discriminator fakes of the updated generator. With
    `discriminator_steps` n, a step has n discriminator updates; the generator uses the data of the
    last one.

    With `accumulate_steps` m, every update sums its gradients over m micro-batches and moves once:
    as one batch of m times `trainer.batch_size` items would, but for batch statistics, at the
    memory of a micro-batch. A step takes n * m batches; all that counts steps (schedules,
    averages, lazy terms, checkpoints) counts these. `"d_then_g"` then has two forward passes.

    Args:
        generator: keras.Model, dict -> dict with "image" float32 [B,H,W,3] in [-1, 1].
        discriminator: keras.Model, dict -> dict with "logits" (one tensor a scale; or whatever the
            adversarial loss reads) and "features" (a list of tensors a scale). It,
            `objective` and `optimizers` may be None where only `build_for_inference` is called.
        kind: what the generator reads and makes, see training/kinds; sheets and commands use it.
        objective: Objective, the adversarial loss, the terms beside it, and the augmentation.
        optimizers: {"generator": ..., "discriminator": ...}, Keras optimizers; corrected where
            there are lazy terms, see `updates.with_lazy_updates`.
        update_order: "d_then_g" or "g_then_d" (the order of Park et al. 2019, arXiv 1903.07291).
        discriminator_steps: discriminator updates per generator update.
        averaging: WeightAveraging of the generator, or null for none.
        sample_labels: whether fakes are made and judged under classes drawn uniformly, instead of
            the labels of the batch.
        accumulate_steps: micro-batches in each update. Default 1.
        initializer: Keras initialiser of all convolutions and dense layers of both networks without
            spectral norm, in the place of their own; null (default) = their own, Glorot's.
        schedule: Keras learning-rate schedule of the training step, 1 = the rates of `optimizers`,
            which it multiplies; null (default) = they are constant or have schedules of their own.
        conditioning_ramp: [first, last] step, for few images by class: a share of the batch keeps
            its class, rising from 0 to 1 between them; the others have one drawn uniformly, which
            tells both networks nothing. Default null: all have their own. After Shahbazi et al.,
            arXiv 2201.06578, where weights in the networks rise.

    A step logs, beside losses, what the networks' attention layers do (see monitoring.py),
    "regularization", the sum of Keras `losses` of a network, which is part of its total, and
    "gradient_norm/generator" and "gradient_norm/discriminator" of the updates that are not lazy.

    Raises:
        ValueError: unknown update order, fewer than one discriminator step or micro-batch,
            optimizers of others than the two networks; in `build`, networks, terms or data that do
            not go together (see gan_checks.py).
        KeyError: in `build`, a network reads a batch entry that the data do not have.
    """

    configurable = True

    training_only = ("discriminator", "objective", "optimizers")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model | None = None,
        *,
        objective: Any = None,
        kind: kinds.Kind | None = None,
        optimizers: dict[str, keras.optimizers.Optimizer] | None = None,
        update_order: str = "d_then_g",
        discriminator_steps: int = 1,
        averaging: weight_averaging.WeightAveraging | None = None,
        sample_labels: bool = False,
        accumulate_steps: int = 1,
        initializer: Any = None,
        schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
        conditioning_ramp: Sequence[int] | None = None,
    ) -> None:
        gan_checks.check_settings(update_order, discriminator_steps, accumulate_steps, optimizers)
        gan_checks.check_ramp(conditioning_ramp, generator)
        self.generator = generator
        self.discriminator: Any = discriminator
        self.objective = objective  # an Objective; like the discriminator None without training
        self.kind = kind or kinds.Kind()
        self.optimizers = {
            owner: self._corrected(owner, optimizer, schedule, discriminator_steps)
            for owner, optimizer in (optimizers or {}).items()
        }
        self.update_order = update_order
        self.discriminator_steps = discriminator_steps
        self.averaging = averaging
        self.sample_labels = sample_labels
        self.accumulate_steps = accumulate_steps
        self.initializer = initializer
        self.conditioning_ramp = conditioning_ramp
        self.batches_per_step = discriminator_steps * accumulate_steps
        self._updates: Any = None
        self._averaged = None
        self._step: Any = None
        self._images: int | tf.Tensor = 0  # of a step, over all replicas; known when one is traced

    def _corrected(self, owner, optimizer, schedule, discriminator_steps) -> Any:
        """An optimizer with the schedule, corrected for lazy updates, with loss scaling."""
        updates_per_step = discriminator_steps if owner == "discriminator" else 1
        intervals = self.objective.intervals(owner) if self.objective else ()
        optimizer = updates.with_schedule(optimizer, schedule, updates_per_step)
        return updates.with_loss_scale(updates.with_lazy_updates(optimizer, intervals))

    # --- Life cycle --------------------------------------------------------------------------

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The networks by the names of their variables in a checkpoint; see protocol.Task."""
        found = {"generator": self.generator, "discriminator": self.discriminator}
        return {name: network for name, network in found.items() if network is not None}

    def build(
        self, spec: dict[str, tf.TensorSpec], prepare: Callable[[dict], None] | None = None
    ) -> None:
        """Creates the variables of networks, optimizers, objective and averaged generator."""
        steps.require_parts(**{name: getattr(self, name) for name in self.training_only})
        networks = (self.generator, self.discriminator)
        shapes = [network_inputs.shapes(network, spec) for network in networks]
        gan_checks.check_before_build(*networks, spec, self.objective, self.sample_labels)
        for network, input_shapes in zip(networks, shapes, strict=True):
            network.build(input_shapes)
        initial_weights.draw(networks, self.initializer)
        if prepare is not None:
            prepare(self.networks)
        gan_checks.check_terms(self.discriminator, self.objective.discriminator_terms)
        self.optimizers["generator"].build(self.generator.trainable_variables)
        self.optimizers["discriminator"].build(self.discriminator.trainable_variables)
        self.objective.build(lambda: network_inputs.output_specs(self.discriminator, spec))
        self._updates = gan_updates.GANUpdates(
            *networks, self.objective, self.optimizers, self.sample_labels
        )
        self._step = steps.step_counter()
        if self.averaging is not None:
            self._averaged = self.averaging.copy_of(self.generator, shapes[0])

    def build_for_inference(self, spec: dict[str, tf.TensorSpec]) -> None:
        """Creates the variables of the generator that `generate` reads: the averaged one's."""
        self.generator.build(network_inputs.shapes(self.generator, spec))
        self._averaged = None if self.averaging is None else self.generator

    def state(self) -> dict[str, Any]:
        """Owners of variables, by the name under which a checkpoint keeps them."""
        if self._step is None:  # built for inference
            return self.generation_state()
        owners = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.optimizers["generator"],
            "discriminator_optimizer": self.optimizers["discriminator"],
            "step": steps.Variables([self._step]),
        } | self.objective.state()
        if self._averaged is not None:
            owners["averaged_generator"] = self._averaged
        return owners

    def generation_state(self) -> dict[str, Any]:
        """The owners that `generate` reads."""
        if self._averaged is None:
            return {"generator": self.generator}
        return {"averaged_generator": self._averaged}

    # --- Training ----------------------------------------------------------------------------

    @property
    def phases(self) -> dict:
        """Where the adversarial loss starts late, the generator first trains on its terms alone."""
        start = self.objective.adversarial_start_step
        return {0: self.warm_up_step, start: self.train_step} if start else {0: self.train_step}

    @property
    def intervals(self) -> tuple[int, ...]:
        """Those of the lazy terms."""
        return tuple(
            sorted({k for owner in self.optimizers for k in self.objective.intervals(owner)})
        )

    def warm_up_step(
        self, batches: list[protocol.Batch], seed: tf.Tensor, due: Sequence[int] = ()
    ) -> protocol.Metrics:
        """A generator update on the last of the batches; the discriminator rests."""
        last = self._micro_batches(batches, seed)[-1]
        return self._counted(self._updates.update_generator(last, due, alone=True), ["generator"])

    def train_step(
        self, batches: list[protocol.Batch], seed: tf.Tensor, due: Sequence[int] = ()
    ) -> protocol.Metrics:
        """`discriminator_steps` discriminator updates and one generator update on one replica."""
        metrics = {}
        *first, last = self._micro_batches(batches, seed)
        if self.update_order == "g_then_d":
            metrics |= self._updates.update_generator(last, due)
        for micro_batches in first:
            metrics |= self._updates.update_discriminator(micro_batches, due)
        if self.update_order == "g_then_d":
            metrics |= self._updates.update_discriminator(last, due)
        elif self.accumulate_steps == 1:
            metrics |= self._updates.update_generator(last, due, both=True)
        else:
            statistics = updates.values(self.generator.non_trainable_variables)
            metrics |= self._updates.update_discriminator(last, due)
            updates.assign(self.generator.non_trainable_variables, statistics)
            metrics |= self._updates.update_generator(last, due)  # by the same forward passes
        return self._counted(metrics, self.optimizers)

    def _micro_batches(self, batches, seed) -> list:
        """The (batch, seed) of each micro-batch of each update."""
        count = self.accumulate_steps
        self._images = updates.images_of(batches[-count:])
        seeds = [tf.random.experimental.stateless_fold_in(seed, i) for i in range(len(batches))]
        pairs = [(self._conditioned(b, s), s) for b, s in zip(batches, seeds, strict=True)]
        return [pairs[first : first + count] for first in range(0, len(pairs), count)]

    def _conditioned(self, batch, seed) -> protocol.Batch:
        """The batch with the classes that this step trains with."""
        if self.conditioning_ramp is None:
            return batch
        first, last = self.conditioning_ramp
        done = tf.cast(self._step - first, tf.float32) / (last - first)
        weight, count = tf.clip_by_value(done, 0.0, 1.0), self.generator.num_classes
        return network_inputs.partly_conditioned(batch, weight, count, seed)

    def _counted(self, metrics, owners) -> protocol.Metrics:
        """Ends a step: counts it and logs the learning rates of those that it moved."""
        self._step.assign_add(1)
        rates = {owner: self.optimizers[owner].learning_rate for owner in owners}
        return metrics | {f"learning_rate/{o}": tf.cast(r, tf.float32) for o, r in rates.items()}

    def after_step(self, metrics: protocol.Metrics) -> None:
        """Moves the averaged generator and the state of the objective."""
        if self.averaging is not None:
            self.averaging.update(self._averaged, self.generator, self._step, self._images)
        self.objective.after_step(metrics)

    # --- Generation --------------------------------------------------------------------------

    @property
    def generating_network(self) -> keras.Model:
        """The averaged generator; the raw one without averaging."""
        return self.generator if self._averaged is None else self._averaged

    def prepare_generation(self, batches) -> None:
        """Estimates the batch statistics of the averaged generator."""
        if self.averaging is not None:
            self.averaging.calibrate(self._averaged, batches)

    def generate(self, batch: protocol.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outputs of the averaged generator (of the raw one without averaging)."""
        return self._infer(self.generating_network, batch, seeds)

    def judge(self, batch: protocol.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """`generate`, and what the discriminator says, means over patches and scales.

        Returns:
            the outputs with "logit_real" and "logit_fake", float32 [B]; without, where the
            discriminator gives no list of logits or the batch no image.
        """
        made = self.generate(batch, seeds)

        def scores(entries) -> list[tf.Tensor]:
            logits = self._infer(self.discriminator, entries, seeds)["logits"]
            scales = logits if isinstance(logits, list | tuple) else []
            return [tf.reduce_mean(tf.cast(x, tf.float32), range(1, len(x.shape))) for x in scales]

        if "image" not in batch:
            return made
        found = {
            "logit_real": scores(batch),
            "logit_fake": scores(batch | {"image": made["image"]}),
        }
        return made | {name: tf.add_n(x) / len(x) for name, x in found.items() if x}

    def previews(self, batch: protocol.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images of the raw and the averaged generator; all that the last returns beside them."""
        outputs = self._infer(self.generator, batch, seeds)
        title, stages = self.kind.image_title, self.kind.stages
        if self._averaged is None:
            return monitoring.preview_columns(outputs, title, stages)
        averaged = self._infer(self._averaged, batch, seeds)
        shown = monitoring.preview_columns(averaged, "averaged", stages)
        return {title: outputs["image"]} | shown

    def _infer(self, network, batch, seeds) -> dict:
        return network(network_inputs.for_inference(network, batch, seeds), training=False)
