"""Parameter-free normalisation: the normalise step that every conditional normaliser shares."""

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="tessera")
class BatchStatistics(keras.layers.BatchNormalization):
    """Normalises each channel over batch and space: (x - mean) / sqrt(variance + epsilon).

    Training uses the statistics of the batch, taken over all replicas, and moves the averages;
    inference uses the averages, so that an output does not depend on its batch-mates. As in PyTorch
    and in TensorFlow's fused kernel, the batch is normalised by the biased variance and the moving
    variance averages the unbiased one. Statistics are float32 at any precision.

    Args:
        momentum: float, weight of the old value in the moving averages, default 0.9.
        epsilon: float, added to the variance, default 1e-5.

    Call arguments:
        inputs: float [B, H, W, C]; replicas must hold equal numbers of images.
        training: bool.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Source: NVlabs/SPADE, models/networks/normalization.py (`param_free_norm`).
    """

    configurable = True

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs) -> None:
        super().__init__(
            momentum=momentum,
            epsilon=epsilon,
            center=False,
            scale=False,
            synchronized=True,
            **kwargs,
        )

    def call(self, inputs, training=False) -> tf.Tensor:
        if not (training and self.trainable):
            return self._normalize(inputs, self.moving_mean, self.moving_variance)
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync if context else 1
        if replicas > 1:
            mean, variance = _synchronized_moments(inputs, context, replicas)
            outputs = self._normalize(inputs, mean, variance)
            count = ops.cast(ops.prod(ops.shape(inputs)[:-1]) * replicas, "float32")
            unbiased = variance * count / ops.maximum(count - 1.0, 1.0)
        else:
            outputs, mean, unbiased = self._fused(inputs)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, unbiased)
        return outputs

    def _fused(self, inputs) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # One kernel keeps one copy of the activations; the plain form keeps three for the gradient.
        channels, none = inputs.shape[-1], tf.zeros([0])
        outputs, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.ones([channels]),
            offset=tf.zeros([channels]),
            mean=none,
            variance=none,
            epsilon=self.epsilon,
            is_training=True,
        )
        return outputs, mean, unbiased

    def _normalize(self, inputs, mean, variance) -> tf.Tensor:
        centred = ops.cast(inputs, "float32") - mean
        return ops.cast(centred * ops.rsqrt(variance + self.epsilon), self.compute_dtype)

    def _move(self, average, value) -> None:
        value = ops.stop_gradient(value)
        average.assign(average * self.momentum + value * (1.0 - self.momentum))

    def get_config(self) -> dict:
        config = keras.layers.Layer.get_config(self)
        return {**config, "momentum": self.momentum, "epsilon": self.epsilon}


def _synchronized_moments(inputs, context, replicas) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and biased variance over all replicas, in two passes: E[x^2] - E[x]^2 would cancel."""
    mean, variance = tf.nn.moments(ops.cast(inputs, "float32"), axes=(0, 1, 2))
    total = tf.distribute.ReduceOp.SUM
    global_mean = context.all_reduce(total, mean) / replicas
    spread = variance + tf.square(mean - global_mean)
    return global_mean, context.all_reduce(total, spread) / replicas


@keras.saving.register_keras_serializable(package="tessera")
class InstanceStatistics(keras.layers.Layer):
    """Normalises each channel of each image over space: (x - mean) / sqrt(variance + epsilon).

    No variables, and the same in training and inference. Statistics are float32 at any precision.
    A 1 x 1 map gives exact zeros: its mean is the value itself.

    Args:
        epsilon: float, added to the biased variance, default 1e-5.

    Call arguments:
        inputs: float [B, H, W, C].
        training: bool, ignored.

    Returns:
        float [B, H, W, C] in the compute dtype.

    Source: Ulyanov, Vedaldi, Lempitsky, arXiv 1607.08022; PyTorch `InstanceNorm2d(affine=False)`.
    """

    configurable = True

    def __init__(self, epsilon=1e-5, **kwargs) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape) -> None:
        self.built = True

    def call(self, inputs, training=False) -> tf.Tensor:
        x = ops.cast(inputs, "float32")
        mean, variance = tf.nn.moments(x, axes=(1, 2), keepdims=True)
        return ops.cast((x - mean) * ops.rsqrt(variance + self.epsilon), self.compute_dtype)
