"""The task of networks that predict a class: of each image, or of each of its pixels."""

from typing import Any

import keras
import tensorflow as tf

from training.kinds import kind as kinds
from training.tasks import averaging as weight_averaging
from training.tasks import network_inputs, protocol, steps

WRONG = (1.0, -1.0, -1.0)  # red


class SupervisedTask:
    """A network trained to predict an integer entry of the batch.

    Loss and accuracy are means over all targets of the step that count, on whichever replica.

    Args:
        network: keras.Model, dict -> dict with "logits" float32 [B, ..., K].
        kind: what the network makes of what, see training/kinds; sheets and commands ask it.
        loss: object with `sums(logits, target)` -> (sum, weight), of which the loss is the
            quotient, and `ignore_index`, a target that does not count (or None).
        optimizer: Keras optimizer.
        target: batch entry to predict, int [B, ...]; "label" or "label_map".
        augment: callable (images, seed) -> images, applied to the "image" of training batches; or
            null for none. Augmentations of the data come before it. It, `loss` and `optimizer` may
            be None where only `build_for_inference` is called.
        averaging: WeightAveraging of the network, or null for none.

    A step logs "loss/total", "loss/regularization" where the network has Keras `losses`,
    "accuracy" of the batch, and "learning_rate/network".

    Raises:
        KeyError: in `build`, the data lack the target or an entry that the network reads.
        ValueError: in `build`, the augmentation moves pixels and the target has some.
    """

    batches_per_step = 1
    training_only = ("loss", "optimizer", "augment")

    def __init__(
        self,
        network: keras.Model,
        *,
        loss=None,
        kind: kinds.Kind | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        target: str = "label",
        augment=None,
        averaging: weight_averaging.WeightAveraging | None = None,
    ):
        self.network = network
        self.loss = loss
        self.kind = kind or kinds.Kind()
        self.optimizer = None if optimizer is None else steps.with_loss_scale(optimizer)
        self.target = target
        self.augment = augment
        self.averaging = averaging
        self._averaged = None
        self._step = None

    # --- Life cycle --------------------------------------------------------------------------

    def build(self, spec: dict[str, tf.TensorSpec]) -> None:
        """Creates the variables of network, optimizer and averaged network."""
        steps.require_parts(loss=self.loss, optimizer=self.optimizer)
        if self.target not in spec:
            raise KeyError(
                f"Expected data with the target of the task. Received: target={self.target!r}, "
                f"data with {tuple(spec)}. Choose data that provide it, such as "
                "data=class_folders for classes of images."
            )
        if len(spec[self.target].shape) > 1 and getattr(self.augment, "moves_pixels", False):
            raise ValueError(
                "Expected an augmentation that keeps pixels in place, since each has a target. "
                f"Received: {type(self.augment).__name__} that moves pixels, target="
                f"{self.target!r}. Set its translation and cutout to 0, or augment in the data."
            )
        shapes = network_inputs.shapes(self.network, spec)
        self.network.build(shapes)
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
    def phases(self):
        """One: every step is a `train_step`."""
        return {0: self.train_step}

    def train_step(self, batches: list[protocol.Batch], seed: tf.Tensor) -> protocol.Metrics:
        """One update on one replica."""
        (batch,) = batches
        target, metrics = batch[self.target], {}
        seen = batch | {"image": network_inputs.augmented(self.augment, batch["image"], seed)}
        inputs = network_inputs.for_training(self.network, seen, seed)
        with tf.GradientTape() as tape:
            logits = self.network(inputs, training=True)["logits"]
            total = _mean_over_replicas(*self.loss.sums(logits, target))
            total = steps.add_regularization(total, self.network, metrics, "loss")
            scaled = steps.scale_for_replicas(total, self.optimizer)
        steps.apply_gradients(tape, scaled, self.network, self.optimizer)
        self._step.assign_add(1)
        counted = self._counted(target)
        right = tf.logical_and(counted, _equal(target, predicted(logits)))
        metrics["accuracy"] = _mean_over_replicas(_count(right), _count(counted))
        metrics["learning_rate/network"] = tf.cast(self.optimizer.learning_rate, tf.float32)
        return metrics

    def _counted(self, target):
        """bool, which targets count."""
        if self.loss.ignore_index is None:
            return tf.ones_like(target, tf.bool)
        return tf.not_equal(tf.cast(target, tf.int32), self.loss.ignore_index)

    def after_step(self) -> None:
        """Moves the averaged network."""
        if self.averaging is not None:
            self.averaging.update(self._averaged, self.network, self._step)

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


def _equal(target, prediction):
    return tf.equal(tf.cast(target, tf.int32), prediction)


def _count(flags):
    return tf.reduce_sum(tf.cast(flags, tf.float32))


def _mean_over_replicas(total, weight):
    """What, averaged over replicas, is the sum of their totals by the sum of their weights.

    Each replica's own quotient would not do where some of its targets do not count.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas > 1:
        weight = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(weight))
    return tf.math.divide_no_nan(total * replicas, weight)
