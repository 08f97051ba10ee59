"""The task of networks that predict a class: of each image, or of each of its pixels."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from losses import term
from training.kinds import kind as kinds
from training.tasks import averaging as weight_averaging
from training.tasks import network_inputs, protocol, steps, updates

WRONG = (1.0, -1.0, -1.0)  # red


class SupervisedTask:
    """A network trained to predict an integer entry of the batch.

    Loss and accuracy are means over all targets of the step that count, on whichever replica and
    in whichever micro-batch.

    Args:
        network: keras.Model, dict -> dict with "logits" float32 [B, ..., K].
        kind: what the network makes of what, see training/kinds; sheets and commands ask it.
        loss: object with `sums(logits, target)` -> (sum, weight), of which the loss is the
            quotient, `total_weight(target)` -> weight, and `ignore_index`, a target that does not
            count (or None).
        optimizer: Keras optimizer.
        target: batch entry to predict, int [B, ...]; "label" or "label_map".
        augment: losses.term.Augmentation of training batches, target included; or null for none.
            Augmentations of the data come before it. It, `loss` and `optimizer` may be None where
            only `build_for_inference` is called.
        averaging: WeightAveraging of the network, or null for none.
        accumulate_steps: micro-batches, of `trainer.batch_size` items each, whose gradients are
            summed for one update; a step takes them all, and averages and schedules count steps.
            Default 1.

    A step logs "loss/total", "loss/regularization" where the network has Keras `losses`,
    "accuracy" of the batch, "gradient_norm/network" and "learning_rate/network".

    Raises:
        KeyError: in `build`, the data lack the target or an entry that the network reads.
        ValueError: fewer than one micro-batch; in `build`, the augmentation moves pixels of the
            image and not those of the target.
    """

    configurable = True

    intervals = ()
    training_only = ("loss", "optimizer", "augment")

    def __init__(
        self,
        network: keras.Model,
        *,
        loss=None,
        kind: kinds.Kind | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        target: str = "label",
        augment: term.Augmentation | None = None,
        averaging: weight_averaging.WeightAveraging | None = None,
        accumulate_steps: int = 1,
    ) -> None:
        if accumulate_steps < 1:
            raise ValueError(
                "accumulate_steps must be at least 1. Received: "
                f"accumulate_steps={accumulate_steps}"
            )
        self.network = network
        self.loss = loss
        self.kind = kind or kinds.Kind()
        self.optimizer: Any = None if optimizer is None else updates.with_loss_scale(optimizer)
        self.target = target
        self.augment = augment
        self.averaging = averaging
        self.accumulate_steps = self.batches_per_step = accumulate_steps
        self._averaged = None
        self._step: Any = None
        self._images: int | tf.Tensor = 0  # of a step, over all replicas; known when one is traced

    # --- Life cycle --------------------------------------------------------------------------

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The network by the name of its variables in a checkpoint; see protocol.Task."""
        return {"network": self.network}

    def build(
        self, spec: dict[str, tf.TensorSpec], prepare: Callable[[dict], None] | None = None
    ) -> None:
        """Creates the variables of network, optimizer and averaged network."""
        steps.require_parts(loss=self.loss, optimizer=self.optimizer)
        if self.target not in spec:
            raise KeyError(
                f"Expected data with the target of the task. Received: target={self.target!r}, "
                f"data with {tuple(spec)}. Choose data that provide it, such as "
                "data=class_folders for classes of images."
            )
        moves = getattr(self.augment, "moves", ())
        if len(spec[self.target].shape) > 1 and "image" in moves and self.target not in moves:
            raise ValueError(
                "Expected an augmentation that keeps pixels in place, since each has a target, or "
                f"moves the target along. Received: {type(self.augment).__name__} that moves "
                f"pixels of {tuple(moves)}, target={self.target!r}. Choose another one, or "
                "augment in the data."
            )
        shapes = network_inputs.shapes(self.network, spec)
        self.network.build(shapes)
        if prepare is not None:
            prepare(self.networks)
        self.optimizer.build(self.network.trainable_variables)
        self._step = steps.step_counter()
        if self.averaging is not None:
            self._averaged = self.averaging.copy_of(self.network, shapes)

    def build_for_inference(self, spec: dict[str, tf.TensorSpec]) -> None:
        """Creates the variables of the network that `generate` reads: the averaged one's."""
        self.network.build(network_inputs.shapes(self.network, spec))
        self._averaged = None if self.averaging is None else self.network

    def state(self) -> dict[str, Any]:
        """Owners of variables, by the name under which a checkpoint keeps them."""
        if self._step is None:  # built for inference
            return self.generation_state()
        owners = {
            "network": self.network,
            "optimizer": self.optimizer,
            "step": steps.Variables([self._step]),
        }
        if self._averaged is not None:
            owners["averaged_network"] = self._averaged
        return owners

    def generation_state(self) -> dict[str, Any]:
        """The owners that `generate` reads."""
        if self._averaged is None:
            return {"network": self.network}
        return {"averaged_network": self._averaged}

    # --- Training ----------------------------------------------------------------------------

    @property
    def phases(self) -> dict:
        """One: every step is a `train_step`."""
        return {0: self.train_step}

    def train_step(
        self, batches: list[protocol.Batch], seed: tf.Tensor, due: Sequence[int] = ()
    ) -> protocol.Metrics:
        """One update on one replica."""
        self._images = updates.images_of(batches)
        fold_in = tf.random.experimental.stateless_fold_in
        seeds = [seed, *(fold_in(seed, index) for index in range(1, len(batches)))]
        micro_batches = [
            (network_inputs.augmented(self.augment, batch, of_batch), of_batch)
            for batch, of_batch in zip(batches, seeds, strict=True)
        ]
        targets = [batch[self.target] for batch, _ in micro_batches]
        weights = _sum_over_replicas(
            tf.add_n([self.loss.total_weight(target) for target in targets]),
            tf.add_n([_count(self._counted(target)) for target in targets]),
        )
        gradients_of = functools.partial(self._gradients, weights)
        gradients, metrics = updates.accumulated(gradients_of, micro_batches, [self.network])
        metrics["gradient_norm/network"] = updates.gradient_norm(gradients, self.optimizer)
        updates.apply(gradients, self.network, self.optimizer)
        self._step.assign_add(1)
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        return metrics | {"learning_rate/network": rate}

    def _gradients(self, weights, micro_batch) -> tuple:
        """Gradients and metrics of a micro-batch, by the weight and number of all targets."""
        (batch, seed), (weight, count), metrics = micro_batch, weights, {}
        target = batch[self.target]
        # The mean over replicas and micro-batches of these shares is the quotient over all.
        context = tf.distribute.get_replica_context()
        shares = context.num_replicas_in_sync * self.accumulate_steps
        with tf.GradientTape() as tape:
            inputs = network_inputs.for_training(self.network, batch, seed)
            logits = self.network(inputs, training=True)["logits"]
            total = tf.math.divide_no_nan(self.loss.sums(logits, target)[0] * shares, weight)
            total = steps.add_regularization(total, self.network, metrics, "loss")
            scaled = updates.scaled(total, self.optimizer, self.accumulate_steps)
        gradients = updates.gradients(tape, scaled, self.network)
        right = tf.logical_and(self._counted(target), _equal(target, predicted(logits)))
        metrics["accuracy"] = tf.math.divide_no_nan(_count(right) * shares, count)
        return gradients, metrics

    def _counted(self, target) -> tf.Tensor:
        """bool, which targets count."""
        if self.loss.ignore_index is None:
            return tf.ones_like(target, tf.bool)
        return tf.not_equal(tf.cast(target, tf.int32), self.loss.ignore_index)

    def after_step(self, metrics: protocol.Metrics) -> None:
        """Moves the averaged network."""
        if self.averaging is not None:
            self.averaging.update(self._averaged, self.network, self._step, self._images)

    # --- Prediction --------------------------------------------------------------------------

    @property
    def generating_network(self) -> keras.Model:
        """The averaged network; the raw one without averaging."""
        return self.network if self._averaged is None else self._averaged

    def prepare_generation(self, batches) -> None:
        """Estimates the batch statistics of the averaged network."""
        if self.averaging is not None:
            self.averaging.calibrate(self._averaged, batches)

    def generate(self, batch: protocol.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """{"logits": float32 [B, ..., K], "prediction": int32 [B, ...]} of the averaged network
        (of the raw one without averaging)."""
        network = self.generating_network
        inputs = network_inputs.for_inference(network, batch, seeds)
        logits = network(inputs, training=False)["logits"]
        return {"logits": logits, "prediction": predicted(logits)}

    def previews(self, batch: protocol.Batch, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """ "wrong": the image with what is predicted wrongly, all of it or pixel by pixel, in red;
        where pixels have classes also "predicted", their ids."""
        prediction, target = self.generate(batch, seeds)["prediction"], batch[self.target]
        wrong = tf.logical_and(self._counted(target), ~_equal(target, prediction))
        tint = 0.5 * tf.cast(wrong, tf.float32)
        while len(tint.shape) < 4:
            tint = tint[..., None]
        columns = {"predicted": prediction} if len(prediction.shape) == 3 else {}
        return columns | {"wrong": (1.0 - tint) * batch["image"] + tint * tf.constant(WRONG)}


def predicted(logits: tf.Tensor) -> tf.Tensor:
    """int32 [B, ...], the most probable class."""
    return tf.argmax(logits, -1, output_type=tf.int32)


def _equal(target, prediction) -> tf.Tensor:
    return tf.equal(tf.cast(target, tf.int32), prediction)


def _count(flags) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(flags, tf.float32))


def _sum_over_replicas(*values) -> list[tf.Tensor]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return list(values)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.stop_gradient(v) for v in values])
