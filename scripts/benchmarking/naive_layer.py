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

    def call(self, x, seed=None, training=False) -> dict:
        height, width, channels = x.shape[1:]
        flat = ops.reshape(x, (-1, height * width, channels))
        logits = ops.tensordot(flat, ops.transpose(self.entity_weight), axes=1)
        if training:
            drawn = tf.gather(self._keys(x), self._positions(seed, height, width), batch_dims=1)
            queries = ops.tensordot(flat, self.query_kernel, axes=1)
            logits += self.influence * ops.matmul(queries, ops.transpose(drawn, (0, 2, 1)))
        dtype = keras.backend.result_type(x.dtype, "float32")  # float32 at lower precision
        masks = ops.softmax(self.temperature * ops.cast(logits, dtype), axis=-1)
        values = ops.cast(self.value(flat) if self.value_convolution else flat, dtype)
        regional = self._regional_normalization(values[..., None], masks[:, :, None, :])
        regional = ops.reshape(ops.cast(regional, self.compute_dtype), ops.shape(x))
        return {
            "outputs": x + self.gate * regional,
            "layout": ops.reshape(masks, (-1, height, width, self.entities)),
        }

    def _keys(self, x) -> tf.Tensor:
        pool = self.key_pooling
        keys = ops.max_pool(self.key(x), pool, strides=pool, padding="same")
        return ops.reshape(keys, (-1, keys.shape[1] * keys.shape[2], keys.shape[3]))

    def _regional_normalization(self, values, masks) -> tf.Tensor:
        size = ops.sum(masks, axis=1, keepdims=True)
        centred = values - ops.sum(masks * values, axis=1, keepdims=True) / size
        variance = ops.sum(masks * ops.square(centred), axis=1, keepdims=True) / size
        unit = centred * ops.rsqrt(variance + self.epsilon)
        if self.affine:
            unit = unit * ops.transpose(self.scale) + ops.transpose(self.shift)
        return ops.sum(masks * unit, axis=-1)
