"""One task for every conditional GAN: kinds differ by batch keys and loss terms alone."""

import inspect
from typing import Any

import keras
import tensorflow as tf

from training import averaging as weight_averaging
from training import task as steps

UPDATE_ORDERS = ("d_then_g", "g_then_d")
NOISE, TERMS = 0, 1  # purposes of the seeds within a step


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

    Raises:
        ValueError: unknown update order, fewer than one discriminator step, terms or optimizers
            of another owner.
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
        for network in (self.generator, self.discriminator):
            shapes = self._input_shapes(network, spec)
            network.build(shapes)
        self.optimizers["generator"].build(self.generator.trainable_variables)
        self.optimizers["discriminator"].build(self.discriminator.trainable_variables)
        # Counted here and not read off an optimizer, whose count depends on the D:G ratio.
        self._step = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            name="step",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        if self.averaging is not None:
            self._averaged = self.averaging.copy_of(
                self.generator, self._input_shapes(self.generator, spec)
            )

    def _input_shapes(self, network: keras.Model, spec: dict[str, tf.TensorSpec]) -> dict:
        noise_dim = getattr(network, "noise_dim", None)
        available = {key: tuple(entry.shape) for key, entry in spec.items()}
        if noise_dim:
            available["noise"] = (None, noise_dim)
        missing = [key for key in network.input_keys if key not in available]
        if missing:
            raise KeyError(
                f"{type(network).__name__} reads the batch entries {tuple(network.input_keys)}. "
                f"Received: data with {tuple(spec)}, without {missing}. Choose data that provide "
                "them, or a network that does not need them."
            )
        return {key: available[key] for key in network.input_keys}

    def state(self) -> dict[str, Any]:
        """Owners of variables, by the name under which a checkpoint keeps them."""
        owners = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.optimizers["generator"],
            "discriminator_optimizer": self.optimizers["discriminator"],
            "step": _Variables([self._step]),
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
            loss, generator_metrics = self._generator_loss(batch, generated, tape)
        steps.apply_gradients(tape, loss, self.generator, self.optimizers["generator"])
        return metrics | generator_metrics

    def _generator_step(self, batch, seed):
        with tf.GradientTape() as tape:
            generated = self._generate(batch, seed)
            loss, metrics = self._generator_loss(batch, generated, tape)
        steps.apply_gradients(tape, loss, self.generator, self.optimizers["generator"])
        return metrics

    def _generate(self, batch, seed):
        inputs = dict(batch)
        if getattr(self.generator, "noise_dim", None):
            size = tf.shape(batch["image"])[0]
            inputs["noise"] = tf.random.stateless_normal(
                [size, self.generator.noise_dim], steps.replica_seed(seed, NOISE)
            )
        return self.generator(_pick(inputs, self.generator), training=True)

    def _generator_loss(self, batch, generated, tape):
        """The scaled total for the tape and the unweighted terms for the log."""
        real = None
        if self._compares_features:
            with tape.stop_recording():
                real = self.discriminator(_pick(batch, self.discriminator), training=True)
        fake_inputs = batch | {"image": generated["image"]}
        fake = self.discriminator(_pick(fake_inputs, self.discriminator), training=True)
        total = self.adversarial.generator(fake["logits"])
        metrics = {"g/adversarial": total}
        for name, term in self.terms.get("generator", {}).items():
            value = term(batch=batch, generated=generated, real=real, fake=fake)
            metrics[f"g/{name}"] = value
            total += term.weight * value
        metrics["g/total"] = total
        return steps.scale_for_replicas(total, self.optimizers["generator"]), metrics

    def _discriminator_step(self, batch, fake_image, seed):
        """One update on a real and a fake batch, which pass as one so that statistics agree."""
        optimizer = self.optimizers["discriminator"]
        fake_image = tf.stop_gradient(fake_image)
        real_inputs = _pick(batch, self.discriminator)
        fake_inputs = real_inputs | {"image": fake_image}
        both = {key: tf.concat([real_inputs[key], fake_inputs[key]], 0) for key in real_inputs}

        def critic(image):
            return self.discriminator(real_inputs | {"image": image}, training=True)

        with tf.GradientTape() as tape:
            logits = self.discriminator(both, training=True)["logits"]
            real, fake = zip(*(tf.split(scale, 2) for scale in logits), strict=True)
            total = self.adversarial.discriminator(list(real), list(fake))
            metrics = {
                "d/adversarial": total,
                "d/logit_real": _mean_over_scales(real),
                "d/logit_fake": _mean_over_scales(fake),
            }
            for name, term in self.terms.get("discriminator", {}).items():
                value = term(
                    critic=critic,
                    real_image=batch["image"],
                    fake_image=fake_image,
                    seed=steps.replica_seed(seed, TERMS),
                )
                metrics[f"d/{name}"] = value
                total += term.weight * value
            metrics["d/total"] = total
            loss = steps.scale_for_replicas(total, optimizer)
        steps.apply_gradients(tape, loss, self.discriminator, optimizer)
        return metrics

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
        inputs = dict(batch)
        if getattr(self._averaged, "noise_dim", None):
            size = tf.shape(batch["image"])[0]
            seed = steps.replica_seed(tf.stack([0, number]), NOISE)
            inputs["noise"] = tf.random.stateless_normal([size, self._averaged.noise_dim], seed)
        self._averaged(_pick(inputs, self._averaged), training=True)

    def generate(self, batch: steps.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Outputs of the averaged generator (of the raw one without averaging)."""
        network = self.generator if self._averaged is None else self._averaged
        return self._infer(network, batch, seeds)

    def previews(self, batch: steps.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """The raw and the averaged generator's images side by side."""
        columns = {"generated": self._infer(self.generator, batch, seeds)["image"]}
        if self._averaged is not None:
            columns["averaged"] = self._infer(self._averaged, batch, seeds)["image"]
        return columns

    def _infer(self, network, batch, seeds):
        inputs = dict(batch)
        if getattr(network, "noise_dim", None):
            inputs["noise"] = steps.noise_from_seeds(seeds, network.noise_dim)
        keys = set(network.input_keys) | set(getattr(network, "optional_keys", ()))
        return network({key: inputs[key] for key in keys if key in inputs}, training=False)


class _Variables:
    """Owner of loose variables, as `GANTask.state` names owners."""

    def __init__(self, variables):
        self.variables = variables


def _pick(inputs, network):
    return {key: inputs[key] for key in network.input_keys}


def _mean_over_scales(logits):
    return tf.add_n([tf.reduce_mean(tf.cast(scale, tf.float32)) for scale in logits]) / len(logits)
