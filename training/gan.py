"""One task for every conditional GAN: kinds differ by batch keys and loss terms alone."""

import inspect
from typing import Any

import keras
import tensorflow as tf

from training import averaging as weight_averaging
from training import gan_checks, monitoring, network_inputs
from training import task as steps

UPDATE_ORDERS = ("d_then_g", "g_then_d")


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
            "features" (a list of tensors a scale).
        adversarial: object with `discriminator(real_logits, fake_logits)` and
            `generator(fake_logits)`.
        terms: {"generator": {name: term}, "discriminator": {name: term}}; a term has a `weight`
            and returns a scalar, see losses/. A null term is left out.
        optimizers: {"generator": ..., "discriminator": ...}, Keras optimizers.
        update_order: "d_then_g" or "g_then_d" (the order of Park et al. 2019, arXiv 1903.07291).
        discriminator_steps: discriminator updates per generator update.
        averaging: WeightAveraging of the generator, or null for none.
        sample_labels: whether fakes are made and judged under classes drawn uniformly, instead of
            the labels of the batch.
        augment: callable (images, seed) -> images, applied to all that the discriminator sees, with
            the same draws for the real and the fake batch; or null for none.

    A step logs, beside losses, what the networks' attention layers do (see monitoring.py), and
    "regularization", the sum of Keras `losses` of a network, which is part of its total.

    Raises:
        ValueError: unknown update order, fewer than one discriminator step, terms or optimizers
            of another owner; in `build`, networks, terms or data that do not go together (see
            gan_checks.py).
        KeyError: in `build`, a network reads a batch entry that the data do not have.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        adversarial,
        terms: dict[str, dict],
        optimizers: dict[str, keras.optimizers.Optimizer],
        update_order: str = "d_then_g",
        discriminator_steps: int = 1,
        averaging: weight_averaging.WeightAveraging | None = None,
        sample_labels: bool = False,
        augment=None,
    ):
        if update_order not in UPDATE_ORDERS:
            raise ValueError(
                f"update_order must be one of {UPDATE_ORDERS}. Received: "
                f"update_order={update_order!r}"
            )
        if discriminator_steps < 1:
            raise ValueError(
                "discriminator_steps must be at least 1. Received: "
                f"discriminator_steps={discriminator_steps}"
            )
        for name, owned in (("terms", terms), ("optimizers", optimizers)):
            if set(owned) - {"generator", "discriminator"}:
                raise ValueError(
                    f"{name} belong to the generator or the discriminator. Received: "
                    f"{name} of {sorted(owned)}"
                )
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial = adversarial
        self.terms = {
            owner: {name: term for name, term in (of_owner or {}).items() if term is not None}
            for owner, of_owner in terms.items()
        }
        self.optimizers = {o: steps.with_loss_scale(opt) for o, opt in optimizers.items()}
        self.update_order = update_order
        self.discriminator_steps = discriminator_steps
        self.averaging = averaging
        self.sample_labels = sample_labels
        self.augment = augment
        self.batches_per_step = discriminator_steps
        # Only some terms compare with the discriminator's view of the real image.
        self._compares_features = any(
            "real" in inspect.signature(term).parameters
            for term in self.terms.get("generator", {}).values()
        )
        self._averaged = None
        self._step = None

    # --- Life cycle --------------------------------------------------------------------------

    def build(self, spec: dict[str, tf.TensorSpec]) -> None:
        """Creates the variables of networks, optimizers and averaged generator."""
        networks = (self.generator, self.discriminator)
        shapes = [network_inputs.shapes(network, spec) for network in networks]
        gan_checks.check_before_build(
            *networks, spec, sample_labels=self.sample_labels, augment=self.augment
        )
        for network, input_shapes in zip(networks, shapes, strict=True):
            network.build(input_shapes)
        gan_checks.check_statistics(self.discriminator, self.terms.get("discriminator", {}))
        self.optimizers["generator"].build(self.generator.trainable_variables)
        self.optimizers["discriminator"].build(self.discriminator.trainable_variables)
        # Counted here and not read off an optimizer, whose count depends on the D:G ratio.
        self._step = steps.step_counter()
        if self.averaging is not None:
            self._averaged = self.averaging.copy_of(self.generator, shapes[0])

    def state(self) -> dict[str, Any]:
        """Owners of variables, by the name under which a checkpoint keeps them."""
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
        name = "generator" if self._averaged is None else "averaged_generator"
        return {name: self.state()[name]}

    # --- Training ----------------------------------------------------------------------------

    def train_step(self, batches: list[steps.Batch], seed: tf.Tensor) -> steps.Metrics:
        """`discriminator_steps` discriminator updates and one generator update on one replica."""
        metrics = {}
        seeds = [tf.random.experimental.stateless_fold_in(seed, i) for i in range(len(batches))]
        if self.update_order == "g_then_d":
            metrics |= self._generator_step(batches[-1], seeds[-1])
            for batch, batch_seed in zip(batches, seeds, strict=True):
                fake = self._generate(batch, batch_seed)["image"]
                metrics |= self._discriminator_step(batch, fake, batch_seed)
        else:
            for batch, batch_seed in zip(batches[:-1], seeds[:-1], strict=True):
                fake = self._generate(batch, batch_seed)["image"]
                self._discriminator_step(batch, fake, batch_seed)
            metrics |= self._shared_forward_step(batches[-1], seeds[-1])
        self._step.assign_add(1)
        for owner, optimizer in self.optimizers.items():
            metrics[f"learning_rate/{owner}"] = tf.cast(optimizer.learning_rate, tf.float32)
        return metrics

    def _shared_forward_step(self, batch, seed):
        with tf.GradientTape() as tape:
            generated = self._generate(batch, seed)
            with tape.stop_recording():
                metrics = self._discriminator_step(batch, generated["image"], seed)
            loss, generator_metrics = self._generator_loss(batch, generated, seed, tape)
        steps.apply_gradients(tape, loss, self.generator, self.optimizers["generator"])
        return metrics | generator_metrics

    def _generator_step(self, batch, seed):
        with tf.GradientTape() as tape:
            generated = self._generate(batch, seed)
            loss, metrics = self._generator_loss(batch, generated, seed, tape)
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
        seen = batch | {"image": self._augmented(batch["image"], seed)}
        return network_inputs.for_training(self.discriminator, seen, seed)

    def _fake_inputs(self, batch, image, seed):
        """What the discriminator reads of the fakes made for a batch."""
        seen = self._conditions(batch, seed) | {"image": self._augmented(image, seed)}
        purpose = network_inputs.FAKE_SAMPLING
        return network_inputs.for_training(self.discriminator, seen, seed, purpose)

    def _augmented(self, image, seed):
        if self.augment is None:
            return image
        return self.augment(image, steps.replica_seed(seed, network_inputs.AUGMENTATION))

    def _generator_loss(self, batch, generated, seed, tape):
        """The scaled total for the tape and the unweighted terms for the log."""
        real = None
        if self._compares_features:
            with tape.stop_recording():
                real = self.discriminator(self._real_inputs(batch, seed), training=True)
        fake_inputs = self._fake_inputs(batch, generated["image"], seed)
        fake = self.discriminator(fake_inputs, training=True)
        total = self.adversarial.generator(fake["logits"])
        metrics = {"g/adversarial": total}
        for name, term in self.terms.get("generator", {}).items():
            value = term(batch=batch, generated=generated, real=real, fake=fake)
            metrics[f"g/{name}"] = value
            total += term.weight * value
        total = steps.add_regularization(total, self.generator, metrics, "g")
        metrics |= monitoring.scalars("g", self.generator, generated)
        return steps.scale_for_replicas(total, self.optimizers["generator"]), metrics

    def _discriminator_step(self, batch, fake_image, seed):
        """One update on a real and a fake batch, which pass as one so that statistics agree."""
        optimizer = self.optimizers["discriminator"]
        real_inputs = self._real_inputs(batch, seed)
        fake_inputs = self._fake_inputs(batch, tf.stop_gradient(fake_image), seed)
        both = {key: tf.concat([real_inputs[key], fake_inputs[key]], 0) for key in real_inputs}

        def critic(image):
            return self.discriminator(real_inputs | {"image": image}, training=True)

        with tf.GradientTape() as tape:
            outputs = self.discriminator(both, training=True)
            real, fake = zip(*(tf.split(scale, 2) for scale in outputs["logits"]), strict=True)
            total = self.adversarial.discriminator(list(real), list(fake))
            metrics = {
                "d/adversarial": total,
                "d/logit_real": _mean_over_scales(real),
                "d/logit_fake": _mean_over_scales(fake),
            }
            for name, term in self.terms.get("discriminator", {}).items():
                value = term(
                    critic=critic,
                    real_image=real_inputs["image"],
                    fake_image=fake_inputs["image"],
                    seed=steps.replica_seed(seed, network_inputs.TERMS),
                )
                metrics[f"d/{name}"] = value
                total += term.weight * value
            total = steps.add_regularization(total, self.discriminator, metrics, "d")
            loss = steps.scale_for_replicas(total, optimizer)
        steps.apply_gradients(tape, loss, self.discriminator, optimizer)
        return metrics | monitoring.scalars("d", self.discriminator, outputs)

    def after_step(self) -> None:
        """Moves the averaged generator."""
        if self.averaging is not None:
            self.averaging.update(self._averaged, self.generator, self._step)

    # --- Generation --------------------------------------------------------------------------

    def prepare_generation(self, batches) -> None:
        """Estimates the batch statistics of the averaged generator."""
        if self.averaging is not None:
            self.averaging.calibrate(self._averaged, self._calibration_forward, batches)

    @tf.function
    def _calibration_forward(self, batch, number):
        strategy = tf.distribute.get_strategy()
        strategy.run(self._calibration_forward_on_replica, (batch, number))

    def _calibration_forward_on_replica(self, batch, number):
        inputs = network_inputs.for_training(self._averaged, batch, tf.stack([0, number]))
        self._averaged(inputs, training=True)

    def generate(self, batch: steps.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outputs of the averaged generator (of the raw one without averaging)."""
        network = self.generator if self._averaged is None else self._averaged
        return self._infer(network, batch, seeds)

    def previews(self, batch: steps.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Images of the raw and the averaged generator; the layout of the last, if it has one.

        The layout is laid over the image, and its masks are a sheet of their own, "masks/00", ...
        """
        outputs = self._infer(self.generator, batch, seeds)
        columns = {"generated": outputs["image"]}
        if self._averaged is not None:
            outputs = self._infer(self._averaged, batch, seeds)
            columns["averaged"] = outputs["image"]
        if "layout" in outputs:
            columns["layout"] = monitoring.overlay(outputs["image"], outputs["layout"])
            tiles = monitoring.mask_tiles(outputs["layout"])
            columns |= {f"masks/{number}": tile for number, tile in tiles.items()}
        return columns

    def _infer(self, network, batch, seeds):
        return network(network_inputs.for_inference(network, batch, seeds), training=False)


def _mean_over_scales(logits):
    return tf.add_n([tf.reduce_mean(tf.cast(scale, tf.float32)) for scale in logits]) / len(logits)
