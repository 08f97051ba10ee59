"""Batch normalisation whose scale and shift are given by a class, by a vector, or by nothing."""

import keras
import tensorflow as tf
from keras import ops

from models.layers import modulation, settings, statistics


def rows(table, ids) -> tf.Tensor:
    """Returns rows `ids` (int [B] or [B, 1]) of `table` [K, C] as [B, C].

    An id outside 0..K-1 is an error on a CPU; GPUs return zeros and XLA the nearest row for it.
    Numbers [B, K], K > 1, in the place of ids are the weights of a mixture of rows.

    Raises:
        ValueError: ids that are not integers, which lower precision would round to other classes.
    """
    table = ops.convert_to_tensor(table)
    ids = tf.convert_to_tensor(ids)
    if ids.shape.rank == 2 and ids.shape[1] != 1:
        return tf.matmul(tf.cast(ids, table.dtype), table)
    if not ids.dtype.is_integer:
        raise ValueError(
            "Expected class ids as integers, [B] or [B, 1], or weights of a mixture of classes, "
            f"[B, {table.shape[0]}]. Received: {ids.dtype.name} of shape {tuple(ids.shape)}. Cast "
            "ids to int32."
        )
    # Through a reshape, whose gradient is dense: the all-reduce and the optimizers need no special
    # case for sparse gradients. `ops.take` would accept -1 as the last class.
    table = tf.reshape(table, table.shape)
    return tf.gather(table, tf.cast(tf.reshape(ids, [-1]), tf.int32))


@keras.saving.register_keras_serializable(package="tessera")
class ConditionalBatchNormalization(settings.OwnPolicy, keras.layers.Layer):
    """Batch normalisation with a scale and a shift of each class's own.

        labels:  out = gamma[y] * normalise(x) + beta[y]
        vectors: out = (1 + gain(e)) * normalise(x) + bias(e), gain and bias linear without offset

    gamma starts at 1 and beta at 0. Statistics are synchronised over replicas; inference uses
    moving averages (mean from 0, variance from 1).

    Args:
        num_classes: int >= 1, rows of gamma and beta; not read where the condition is a vector.
        momentum: float, weight of the old value in the moving averages, default 0.9.
        epsilon: float, added to the variance, default 1e-5.

    Call arguments:
        x: float [B, H, W, C].
        condition: class ids, int [B] or [B, 1] in 0..num_classes-1, or float [B, num_classes], the
            weights of a mixture of classes; or, where it was built for them, vectors, float [B, E]
            with E > 1, e.g. an embedding of the class joined with a part of the noise.
        training: bool.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Raises:
        ValueError: fewer than one class; a condition of more than one axis besides the batch.
        tf.errors.InvalidArgumentError: an id out of range (on a CPU; see `rows`).

    Source: Dumoulin, Shlens, Kudlur, arXiv 1610.07629; pfnet-research/sngan_projection,
    source/links/categorical_conditional_batch_normalization.py; the vector form Brock, Donahue,
    Simonyan, arXiv 1809.11096, appendix B.
    """

    configurable = True

    conditional = True

    def __init__(self, num_classes, *, momentum=0.9, epsilon=1e-5, **kwargs) -> None:
        super().__init__(**kwargs)
        if num_classes < 1:
            raise ValueError(
                f"Expected at least one class. Received: num_classes={num_classes}. Set it to the "
                "number of classes of the data."
            )
        self.num_classes = num_classes
        self.momentum = momentum
        self.epsilon = epsilon
        self.normalization = statistics.BatchStatistics(momentum, epsilon, name="normalization")

    def build(self, x_shape, condition_shape) -> None:
        channels = x_shape[-1]
        if len(condition_shape) > 2:
            raise ValueError(
                "Expected class ids [B] or [B, 1], or vectors [B, E], as condition. Received: "
                f"condition_shape={tuple(condition_shape)}. For a label map use SPADE."
            )
        self.takes_vectors = len(condition_shape) == 2 and condition_shape[-1] > 1
        self.normalization.build(x_shape)
        if self.takes_vectors:
            self.gain = keras.layers.Dense(channels, use_bias=False, name="gain")
            self.bias = keras.layers.Dense(channels, use_bias=False, name="bias")
            self.gain.build(condition_shape)
            self.bias.build(condition_shape)
        else:
            shape = (self.num_classes, channels)
            self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
            self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, x, condition, training=False) -> tf.Tensor:
        normalized = self.normalization(x, training=training)
        if self.takes_vectors:
            gain, bias = self.gain(condition), self.bias(condition)
            return modulation.modulate(normalized, _over_space(gain), _over_space(bias))
        tables = (ops.cast(table, self.compute_dtype) for table in (self.gamma, self.beta))
        gamma, beta = (rows(table, condition) for table in tables)
        return normalized * _over_space(gamma) + _over_space(beta)


@keras.saving.register_keras_serializable(package="tessera")
class PlainBatchNormalization(settings.OwnPolicy, keras.layers.Layer):
    """Batch normalisation with one scale and shift for all, called as the conditional ones are.

        out = gamma * normalise(x) + beta,  gamma from 1, beta from 0

    Args:
        momentum: float, weight of the old value in the moving averages, default 0.9.
        epsilon: float, added to the variance, default 1e-5.

    Call arguments:
        x: float [B, H, W, C].
        condition: ignored.
        training: bool.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Source: Ioffe, Szegedy, arXiv 1502.03167.
    """

    configurable = True

    conditional = False

    def __init__(self, momentum=0.9, *, epsilon=1e-5, **kwargs) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon
        self.normalization = statistics.BatchStatistics(momentum, epsilon, name="normalization")

    def build(self, x_shape, condition_shape=None) -> None:
        self.normalization.build(x_shape)
        shape = (x_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, x, condition=None, training=False) -> tf.Tensor:
        gamma, beta = (ops.cast(v, self.compute_dtype) for v in (self.gamma, self.beta))
        return self.normalization(x, training=training) * gamma + beta


def _over_space(vectors) -> tf.Tensor:
    return vectors[:, None, None, :]
