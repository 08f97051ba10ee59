"""One update of one network: its gradients, their sum over micro-batches, the optimizer's step."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from training.loop import schedules
from training.tasks.protocol import Metrics


def images_of(batches) -> int | tf.Tensor:
    """Items of the batches of an update, over all replicas; a tensor where no shape says so."""
    first = [next(iter(batch.values())) for batch in batches]
    sizes = [x.shape[0] if x.shape[0] is not None else tf.shape(x)[0] for x in first]
    return sum(sizes) * tf.distribute.get_replica_context().num_replicas_in_sync


def scaled(loss: tf.Tensor, optimizer, micro_batches: int = 1) -> tf.Tensor:
    """The loss whose gradients, summed over replicas and micro-batches, are those of the mean.

    To be called inside the tape, where mixed float16 needs the optimizer's own scaling as well.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    return optimizer.scale_loss(loss / (replicas * micro_batches))


def gradients(
    tape: tf.GradientTape, loss: tf.Tensor, network: keras.Model, *, partial: bool = False
) -> list[tf.Tensor]:
    """Gradients of a scaled loss in the trainable variables of one network, and of no other.

    Args:
        tape: what has seen the loss.
        loss: scalar.
        network: the network to move.
        partial: whether the loss may leave out variables, whose gradients are 0 then.

    Raises:
        ValueError: a variable gets no gradient, so that part of the network would never train.
    """
    variables = network.trainable_variables
    otherwise = tf.UnconnectedGradients.ZERO if partial else tf.UnconnectedGradients.NONE
    found = tape.gradient(loss, [v.value for v in variables], unconnected_gradients=otherwise)
    missing = [v.path for v, g in zip(variables, found, strict=True) if g is None]
    if missing:
        raise ValueError(
            f"Every trainable variable must receive a gradient. Received: none for {missing} of "
            f"network {network.name!r}. Leave the unused part out of the config, or add the loss "
            "term that trains it."
        )
    return found


def accumulated(
    gradients_of: Callable[..., tuple[list, Metrics]],
    micro_batches: Sequence,
    networks: Sequence[keras.Model],
) -> tuple[list, Metrics]:
    """Sums gradients over micro-batches, one after the other: the memory of one is enough.

    What layers name as `iterated_variables` moves once, as it would with a batch of them all.

    Args:
        gradients_of: micro-batch -> (gradients of a loss `scaled` by their number, metrics).
        micro_batches: nested structures of tensors, at least one.
        networks: all that are called.

    Returns:
        (sums of the gradients, means of the metrics).
    """
    if len(micro_batches) == 1:
        return gradients_of(micro_batches[0])
    iterated = [
        variable
        for network in networks
        for layer in network._flatten_layers()
        for variable in getattr(layer, "iterated_variables", ())
    ]
    before, sums = values(iterated), {}
    totals: Any = None
    # Unrolled, as collectives such as those of batch statistics fail in a loop within a replica.
    for micro_batch in micro_batches:
        with tf.control_dependencies(totals or []):
            assign(iterated, before)
            micro_batch = tf.nest.map_structure(tf.identity, micro_batch)
        found, metrics = gradients_of(micro_batch)
        found = [tf.convert_to_tensor(gradient) for gradient in found]
        totals = found if totals is None else [a + b for a, b in zip(totals, found, strict=True)]
        sums = {name: sums.get(name, 0.0) + value for name, value in metrics.items()}
    return totals, {name: value / len(micro_batches) for name, value in sums.items()}


def values(variables: Sequence) -> list[tf.Tensor]:
    """The values of variables now; `assign` brings them back."""
    return [tf.identity(variable.value) for variable in variables]


def assign(variables: Sequence, kept: list[tf.Tensor]) -> None:
    """Gives variables the values that they had."""
    for variable, value in zip(variables, kept, strict=True):
        variable.assign(value)


def gradient_norm(gradients: list[tf.Tensor], optimizer) -> tf.Tensor:
    """Norm of a replica's gradient of the mean loss of its share, float32 scalar.

    0 where loss scaling has overflowed: such an update is left out.

    Args:
        gradients: of a loss that is `scaled`, before they are summed over replicas.
        optimizer: what scaled it.
    """
    dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
    norm = tf.linalg.global_norm([tf.cast(gradient, tf.float32) for gradient in dense])
    norm *= tf.distribute.get_replica_context().num_replicas_in_sync
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        norm /= tf.cast(optimizer.dynamic_scale, tf.float32)
        norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
    return norm


def apply(gradients: list[tf.Tensor], network: keras.Model, optimizer) -> None:
    """Moves the trainable variables of one network; with loss scaling, unless one is not finite."""
    context = tf.distribute.get_replica_context()
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if scales and context.num_replicas_in_sync > 1:
        # Keras checks the first replica alone, before the gradients are summed.
        finite = [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]
        wrong = tf.cast(tf.logical_not(tf.reduce_all(finite)), tf.float32)
        wrong = context.all_reduce(tf.distribute.ReduceOp.SUM, wrong)
        gradients = [tf.where(wrong > 0.0, float("nan"), gradient) for gradient in gradients]
    optimizer.apply(gradients, network.trainable_variables)


def with_loss_scale(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer, with dynamic loss scaling where gradients are float16 and would underflow."""
    if keras.config.dtype_policy().compute_dtype != "float16":
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def with_schedule(
    optimizer: keras.optimizers.Optimizer,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None,
    updates_per_step: int,
) -> keras.optimizers.Optimizer:
    """The optimizer with its learning rate times a schedule of training steps; None = as it is.

    Raises:
        ValueError: the learning rate is a schedule already.
    """
    if schedule is None:
        return optimizer
    config = optimizer.get_config()
    rate = config["learning_rate"]
    if isinstance(rate, dict):
        raise ValueError(
            "Expected a number as the learning rate that a schedule multiplies. Received: "
            f"learning_rate={rate['class_name']}, schedule={type(schedule).__name__}. Set one of "
            "the two: schedule=null, or the number."
        )
    rescaled = schedules.Rescaled(schedule, rate, 1.0 / updates_per_step)
    return type(optimizer).from_config(config | {"learning_rate": rescaled})


def with_lazy_updates(
    optimizer: keras.optimizers.Optimizer, intervals: Sequence[int]
) -> keras.optimizers.Optimizer:
    """Adam and its kin, such that updates of lazy terms between the others change little.

    With c = 1 / (1 + sum 1/k) over the intervals k, k / (k + 1) for a single one, the learning
    rate is multiplied by c and the betas are raised to the power of c, so that a training step
    moves as far and forgets as fast as without those updates. A schedule is slowed down by c.
    Optimizers without betas stay as they are: they do not divide by the size of gradients.

    Source: Karras et al., CVPR 2020, arXiv 1912.04958, appendix B.
    """
    config = optimizer.get_config()
    betas = [name for name in ("beta_1", "beta_2") if name in config]
    if not intervals or not betas:
        return optimizer
    factor = 1.0 / (1.0 + sum(1.0 / every for every in intervals))
    rate = config["learning_rate"]
    if isinstance(rate, dict):
        rate = schedules.Rescaled(keras.optimizers.schedules.deserialize(rate), factor, factor)
    else:
        rate *= factor
    changed = {"learning_rate": rate} | {name: config[name] ** factor for name in betas}
    return type(optimizer).from_config(config | changed)
