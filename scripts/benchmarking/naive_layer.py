"""Attentive normalisation as it is written down, for the benchmark to compare the layer with."""

import keras
import tensorflow as tf
from keras import ops

from models.layers import attentive_normalization


@keras.saving.register_keras_serializable(package="tessera_benchmark")
class NaiveAttentiveNormalization(attentive_normalization.AttentiveNormalization):
    """AttentiveNormalization computed as it is written down, with tensors [B, P, C, n].

    Arguments, call and result are those of AttentiveNormalization.
    """

    def _logits_with_samples(self, flat, positions, height, width) -> tf.Tensor:
        pool = self.key_pooling
        keys = ops.reshape(self.key(flat), (-1, height, width, self.key.units))
        keys = ops.max_pool(keys, pool, strides=pool, padding="same")
        keys = ops.reshape(keys, (-1, keys.shape[1] * keys.shape[2], keys.shape[3]))
        drawn = ops.transpose(tf.gather(keys, positions, batch_dims=1), (0, 2, 1))
        queries = ops.tensordot(flat, self.query_kernel, axes=1)
        logits = ops.tensordot(flat, ops.transpose(self.entity_weight), axes=1)
        return logits + self.influence * ops.matmul(queries, drawn)

    def _regional_normalization(self, values, masks) -> tf.Tensor:
        values, masks = values[..., None], masks[:, :, None, :]
        size = ops.sum(masks, axis=1, keepdims=True)
        centred = values - ops.sum(masks * values, axis=1, keepdims=True) / size
        variance = ops.sum(masks * ops.square(centred), axis=1, keepdims=True) / size
        unit = centred * ops.rsqrt(variance + self.epsilon)
        if self.affine:
            unit = unit * ops.transpose(self.scale) + ops.transpose(self.shift)
        return ops.sum(masks * unit, axis=-1)
