"""The pieces that every task's step is made of."""

import tensorflow as tf

from training.tasks.protocol import Metrics


def spec_after(op, spec: dict[str, tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    """The specification of batches once an op has been applied to them."""
    traced = tf.function(op).get_concrete_function(spec)
    return {key: tf.TensorSpec(t.shape, t.dtype) for key, t in traced.structured_outputs.items()}


def replica_seed(seed: tf.Tensor, purpose: int) -> tf.Tensor:
    """A seed of this replica's own for one purpose within the step; int32 [2]."""
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(replica, tf.int32))
    return tf.random.experimental.stateless_fold_in(seed, purpose)


def noise_from_seeds(seeds: tf.Tensor, noise_dim: int, draw: tf.Tensor | int = 0) -> tf.Tensor:
    """N(0, 1) noise in which a row depends on its own seed only, not on its batch mates.

    Args:
        seeds: int32 [B].
        noise_dim: length of a row.
        draw: int32 scalar; another number gives another row of the same seed.

    Returns:
        float32 [B, noise_dim].
    """

    def row(seed) -> tf.Tensor:
        return tf.random.stateless_normal([noise_dim], tf.stack([seed, draw]))

    return tf.map_fn(row, seeds, fn_output_signature=tf.TensorSpec([noise_dim], tf.float32))


@tf.function(reduce_retracing=True)
def truncated_noise(seeds: tf.Tensor, noise_dim: int, threshold: float) -> tf.Tensor:
    """`noise_from_seeds` with every value beyond +-threshold drawn again until it lies within.

    Values within are those of `noise_from_seeds`; a row depends on its own seed only.

    Args:
        seeds: int32 [B].
        noise_dim: length of a row.
        threshold: > 0; the smaller, the more draws it takes.

    Returns:
        float32 [B, noise_dim].

    Source: the truncation trick of Brock, Donahue, Simonyan, arXiv 1809.11096, section 3.1.
    """
    noise, draw = noise_from_seeds(seeds, noise_dim), 0
    while tf.reduce_any(tf.abs(noise) > threshold):
        draw += 1
        again = noise_from_seeds(seeds, noise_dim, draw)
        noise = tf.where(tf.abs(noise) > threshold, again, noise)
    return noise


def require_parts(**parts) -> None:
    """Raises ValueError for parts without which a task generates but cannot be trained."""
    missing = [f"{name}=null" for name, part in parts.items() if not part]
    if missing:
        raise ValueError(
            f"Expected a task with {', '.join(parts)}, which training needs. Received: "
            f"{', '.join(missing)}. Choose them in the config, as those in configs/task do."
        )


class Variables:
    """Owner of loose variables, as `Task.state` names owners."""

    def __init__(self, variables) -> None:
        self.variables = variables


def step_counter() -> tf.Variable:
    """A count of steps, for tasks to keep: that of an optimizer depends on updates per step."""
    return tf.Variable(
        0,
        trainable=False,
        dtype=tf.int64,
        name="step",
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def add_regularization(total: tf.Tensor, network, metrics: Metrics, owner: str) -> tf.Tensor:
    """The total with the network's own losses, which are logged with it; closes the list."""
    if network.losses:
        metrics[f"{owner}/regularization"] = tf.add_n(network.losses)
        total += metrics[f"{owner}/regularization"]
    metrics[f"{owner}/total"] = total
    return total
