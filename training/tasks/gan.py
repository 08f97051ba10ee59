"""One task for every conditional GAN: kinds differ by batch keys and loss terms alone."""

from typing import Any

import keras
import tensorflow as tf

from training.kinds import kind as kinds
from training.tasks import averaging as weight_averaging
from training.tasks import gan_checks, gan_losses, network_inputs, protocol, steps
from training.watch import monitoring


class GANTask:
    """A generator against a discriminator, each fed the batch entries it names in `input_keys`.

    `update_order="d_then_g"` computes one fake batch, updates the discriminator on it, and sends
    the generator's loss through the updated discriminator back into that same forward pass: equal
    to the two separate passes, as the generator has not moved in between. `"g_then_d"` updates
    the generator first and gives the discriminator fakes of the updated generator. With
    `discriminator_steps` n, a step takes n batches; the generator uses the last one.

    Args:
        generator: keras.Model, dict -> dict with "image" float32 [B,H,W,3] in [-1, 1].
        discriminator: keras.Model, dict -> dict with "logits" (one tensor a scale) and
            "features" (a list of tensors a scale). It, `losses` and `optimizers` may be None where
            only `build_for_inference` is called.
        kind: what the generator makes of what, see training/kinds; sheets and commands ask it.
        losses: GANLosses, the adversarial loss, the terms beside it, and the augmentation.
        optimizers: {"generator": ..., "discriminator": ...}, Keras optimizers.
        update_order: "d_then_g" or "g_then_d" (the order of Park et al. 2019, arXiv 1903.07291).
        discriminator_steps: discriminator updates per generator update.
        averaging: WeightAveraging of the generator, or null for none.
        sample_labels: whether fakes are made and judged under classes drawn uniformly, instead of
            the labels of the batch.

    A step logs, beside losses, what the networks' attention layers do (see monitoring.py), and
    "regularization", the sum of Keras `losses` of a network, which is part of its total.

    Raises:
        ValueError: unknown update order, fewer than one discriminator step, optimizers of others
            than the two networks; in `build`, networks, terms or data that do not go together (see
            gan_checks.py).
        KeyError: in `build`, a network reads a batch entry that the data do not have.
    """

    training_only = ("discriminator", "losses", "optimizers")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model | None = None,
        *,
        losses: gan_losses.GANLosses | None = None,
        kind: kinds.Kind | None = None,
        optimizers: dict[str, keras.optimizers.Optimizer] | None = None,
        update_order: str = "d_then_g",
        discriminator_steps: int = 1,
        averaging: weight_averaging.WeightAveraging | None = None,
        sample_labels: bool = False,
    ):
        gan_checks.check_settings(update_order, discriminator_steps, optimizers)
        self.generator = generator
        self.discriminator = discriminator
        self.losses = losses
        self.kind = kind or kinds.Kind()
        self.optimizers = {o: steps.with_loss_scale(opt) for o, opt in (optimizers or {}).items()}
        self.update_order = update_order
        self.discriminator_steps = discriminator_steps
        self.averaging = averaging
        self.sample_labels = sample_labels
        self.batches_per_step = discriminator_steps
        self._averaged = None
        self._step = None

    # --- Life cycle --------------------------------------------------------------------------

    def build(self, spec: dict[str, tf.TensorSpec]) -> None:
        """Creates the variables of networks, optimizers and averaged generator."""
        steps.require_parts(**{name: getattr(self, name) for name in self.training_only})
        networks = (self.generator, self.discriminator)
        shapes = [network_inputs.shapes(network, spec) for network in networks]
        gan_checks.check_before_build(
            *networks, spec, sample_labels=self.sample_labels, augment=self.losses.augment
        )
        for network, input_shapes in zip(networks, shapes, strict=True):
            network.build(input_shapes)
        gan_checks.check_terms(self.discriminator, self.losses.discriminator_terms)
        self.optimizers["generator"].build(self.generator.trainable_variables)
        self.optimizers["discriminator"].build(self.discriminator.trainable_variables)
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
        }
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
    def phases(self):
        """Where the adversarial loss starts late, the generator first trains on its terms alone."""
        # At 0 the second entry takes the place of the first.
        return {0: self.warm_up_step, self.losses.adversarial_start_step: self.train_step}

    def warm_up_step(self, batches: list[protocol.Batch], seed: tf.Tensor) -> protocol.Metrics:
        """A generator update on the last of the batches; the discriminator rests."""
        seed = _seeds(seed, len(batches))[-1]
        metrics = self._generator_step(batches[-1], seed, self._warm_up_total)
        return self._counted(metrics, ["generator"])

    def train_step(self, batches: list[protocol.Batch], seed: tf.Tensor) -> protocol.Metrics:
        """`discriminator_steps` discriminator updates and one generator update on one replica."""
        metrics = {}
        seeds = _seeds(seed, len(batches))
        if self.update_order == "g_then_d":
            metrics |= self._generator_step(batches[-1], seeds[-1], self._generator_total)
            for batch, batch_seed in zip(batches, seeds, strict=True):
                generated = self._generate(batch, batch_seed)
                metrics |= self._discriminator_step(batch, generated, batch_seed)
        else:
            for batch, batch_seed in zip(batches[:-1], seeds[:-1], strict=True):
                generated = self._generate(batch, batch_seed)
                self._discriminator_step(batch, generated, batch_seed)
            metrics |= self._shared_forward_step(batches[-1], seeds[-1])
        return self._counted(metrics, self.optimizers)

    def _counted(self, metrics, owners):
        """Ends a step: counts it and logs the learning rates of those that it moved."""
        self._step.assign_add(1)
        rates = {owner: self.optimizers[owner].learning_rate for owner in owners}
        return metrics | {f"learning_rate/{o}": tf.cast(r, tf.float32) for o, r in rates.items()}

    def _shared_forward_step(self, batch, seed):
        with tf.GradientTape() as tape:
            generated = self._generate(batch, seed)
            with tape.stop_recording():
                metrics = self._discriminator_step(batch, generated, seed)
            loss, generator_metrics = self._generator_loss(
                batch, generated, seed, tape, self._generator_total
            )
        steps.apply_gradients(tape, loss, self.generator, self.optimizers["generator"])
        return metrics | generator_metrics

    def _generator_step(self, batch, seed, total_of):
        with tf.GradientTape() as tape:
            generated = self._generate(batch, seed)
            loss, metrics = self._generator_loss(batch, generated, seed, tape, total_of)
        steps.apply_gradients(tape, loss, self.generator, self.optimizers["generator"])
        return metrics

    def _generate(self, batch, seed):
        inputs = network_inputs.for_training(self.generator, self._conditions(batch, seed), seed)
        return self.generator(inputs, training=True)

    def _conditions(self, batch, seed):
        """The batch with the classes that its fakes are made and judged under."""
        if not self.sample_labels:
            return batch
        count = self.generator.num_classes
        return batch | {"label": network_inputs.uniform_labels(batch["label"], count, seed)}

    def _real_inputs(self, batch, seed):
        """What the discriminator reads of a real batch."""
        seen = batch | {"image": self.losses.augmented(batch["image"], seed)}
        return network_inputs.for_training(self.discriminator, seen, seed)

    def _fake_inputs(self, batch, generated, seed):
        """What the discriminator reads of the fakes made for a batch."""
        image = self.losses.augmented(generated["image"], seed)
        seen = self._conditions(batch, seed) | {"image": image}
        purpose = network_inputs.FAKE_SAMPLING
        return network_inputs.for_training(self.discriminator, seen, seed, purpose)

    def _generator_loss(self, batch, generated, seed, tape, total_of):
        """The scaled total for the tape and the unweighted terms for the log."""
        total, metrics = total_of(batch, generated, seed, tape)
        metrics |= monitoring.scalars("g", self.generator, generated)
        return steps.scale_for_replicas(total, self.optimizers["generator"]), metrics

    def _warm_up_total(self, batch, generated, seed, tape):
        return self.losses.warm_up_total(self.generator, batch=batch, generated=generated)

    def _generator_total(self, batch, generated, seed, tape):
        real = None
        if self.losses.compares_features:
            with tape.stop_recording():
                real = self.discriminator(self._real_inputs(batch, seed), training=True)
        fake = self.discriminator(self._fake_inputs(batch, generated, seed), training=True)
        return self.losses.generator_total(
            self.generator, batch=batch, generated=generated, real=real, fake=fake
        )

    def _discriminator_step(self, batch, generated, seed):
        """One update on a real and a fake batch, which pass as one so that statistics agree."""
        optimizer = self.optimizers["discriminator"]
        real_inputs = self._real_inputs(batch, seed)
        fake_inputs = self._fake_inputs(batch, generated, seed)
        both = {key: tf.concat([real_inputs[key], fake_inputs[key]], 0) for key in real_inputs}
        with tf.GradientTape() as tape:
            outputs = self.discriminator(both, training=True)
            total, metrics = self.losses.discriminator_total(
                self.discriminator,
                logits=outputs["logits"],
                real_inputs=real_inputs,
                fake_inputs=fake_inputs,
                seed=seed,
            )
            loss = steps.scale_for_replicas(total, optimizer)
        steps.apply_gradients(tape, loss, self.discriminator, optimizer)
        return metrics | monitoring.scalars("d", self.discriminator, outputs)

    def after_step(self) -> None:
        """Moves the averaged generator."""
        if self.averaging is not None:
            self.averaging.update(self._averaged, self.generator, self._step)

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

    def previews(self, batch: protocol.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images of the raw and the averaged generator; all that the last returns beside them."""
        outputs = self._infer(self.generator, batch, seeds)
        title, stages = self.kind.image_title, self.kind.stages
        if self._averaged is None:
            return monitoring.preview_columns(outputs, title, stages)
        averaged = self._infer(self._averaged, batch, seeds)
        shown = monitoring.preview_columns(averaged, "averaged", stages)
        return {title: outputs["image"]} | shown

    def _infer(self, network, batch, seeds):
        return network(network_inputs.for_inference(network, batch, seeds), training=False)


def _seeds(seed, count):
    """A seed for each batch of a step."""
    return [tf.random.experimental.stateless_fold_in(seed, index) for index in range(count)]
