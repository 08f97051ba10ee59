"""What networks read: entries of the batch by name, and random inputs drawn for them."""

import tensorflow as tf

from training.tasks import protocol, steps

# Purposes of the seeds within a step.
NOISE, TERMS, LABELS, AUGMENTATION, SAMPLING, FAKE_SAMPLING, RAMP, RAMP_LABELS = range(8)


def specs(network, spec: dict[str, tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    """Specifications of the entries in `network.input_keys`.

    Raises:
        KeyError: the data do not have one of them.
    """
    available = dict(spec) | {"seed": tf.TensorSpec([None, 2], tf.int32)}
    if getattr(network, "noise_dim", None):
        available["noise"] = tf.TensorSpec([None, network.noise_dim], tf.float32)
    missing = [key for key in network.input_keys if key not in available]
    if missing:
        raise KeyError(
            f"{type(network).__name__} reads the batch entries {tuple(network.input_keys)}. "
            f"Received: data with {tuple(spec)}, without {missing}. Choose data that provide "
            "them, or a network that does not need them."
        )
    return {key: available[key] for key in network.input_keys}


def shapes(network, spec: dict[str, tf.TensorSpec]) -> dict[str, tuple]:
    """Shapes of the entries in `network.input_keys`; KeyError as `specs`."""
    return {key: tuple(entry.shape) for key, entry in specs(network, spec).items()}


def output_specs(network, spec: dict[str, tf.TensorSpec]) -> dict:
    """Specifications of what a built network returns, by tracing it."""
    traced = tf.function(lambda inputs: network(inputs, training=False))
    return traced.get_concrete_function(specs(network, spec)).structured_outputs


def for_training(network, batch: protocol.Batch, seed: tf.Tensor, purpose: int = SAMPLING) -> dict:
    """The entries a network reads, see `with_random`."""
    return pick(network, with_random(network, batch, seed, purpose))


def with_random(network, batch: protocol.Batch, seed: tf.Tensor, purpose: int = SAMPLING) -> dict:
    """The batch with noise and sampling seeds drawn where a network asks for them.

    Args:
        network: a network with `input_keys`.
        batch: tensors of one replica.
        seed: int32 [2] of the step.
        purpose: of the sampling seeds; another one for a network's second batch of a step.

    Returns:
        the batch, "noise" float32 [B, noise_dim], N(0, 1), and "seed" int32 [B, 2].
    """
    drawn = {}
    size = tf.shape(next(iter(batch.values())))[0]
    if "noise" in network.input_keys:
        drawn["noise"] = tf.random.stateless_normal(
            [size, network.noise_dim], steps.replica_seed(seed, NOISE)
        )
    if "seed" in network.input_keys:
        drawn["seed"] = tf.random.stateless_uniform(
            [size, 2], steps.replica_seed(seed, purpose), None, None, tf.int32
        )
    return batch | drawn


def for_inference(network, batch: protocol.Batch, seeds: tf.Tensor) -> dict:
    """The entries a network reads at inference: noise of each item's own, nothing else random.

    A "noise" in the batch is used as it is, in the place of that of the seeds.
    """
    inputs = dict(batch)
    if getattr(network, "noise_dim", None) and "noise" not in inputs:
        inputs["noise"] = steps.noise_from_seeds(seeds, network.noise_dim)
    keys = set(network.input_keys) | set(getattr(network, "optional_keys", ()))
    return {key: inputs[key] for key in keys if key in inputs}


def pick(network, inputs: dict) -> dict:
    """The entries in `network.input_keys`."""
    return {key: inputs[key] for key in network.input_keys}


def augmented(augment, inputs: protocol.Batch, seed: tf.Tensor) -> protocol.Batch:
    """The entries of a batch after an augmentation, or as they are where it is None.

    Args:
        augment: losses.term.Augmentation or None.
        inputs: entries of the batch.
        seed: int32 [2] of the step.
    """
    return inputs if augment is None else augment(inputs, steps.replica_seed(seed, AUGMENTATION))


def uniform_labels(like: tf.Tensor, num_classes: int, seed: tf.Tensor) -> tf.Tensor:
    """Classes drawn uniformly from 0..num_classes-1, of the shape and dtype of `like`."""
    return _labels(like, num_classes, steps.replica_seed(seed, LABELS))


def partly_conditioned(
    batch: protocol.Batch, weight: tf.Tensor, num_classes: int, seed: tf.Tensor
) -> protocol.Batch:
    """The batch with its own "label" for a share of the items, uniform classes for the others.

    Args:
        batch: entries with "label".
        weight: float scalar in [0, 1], the probability of an item to keep its class.
        num_classes: int, classes to draw from.
        seed: int32 [2] of the step.
    """
    label = batch["label"]
    keep = tf.random.stateless_uniform(tf.shape(label), steps.replica_seed(seed, RAMP)) < weight
    drawn = _labels(label, num_classes, steps.replica_seed(seed, RAMP_LABELS))
    return batch | {"label": tf.where(keep, label, drawn)}


def _labels(like, num_classes, seed) -> tf.Tensor:
    return tf.random.stateless_uniform(tf.shape(like), seed, 0, num_classes, like.dtype)
