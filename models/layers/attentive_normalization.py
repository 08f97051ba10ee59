"""Attentive normalisation: statistics of learned regions instead of the whole map."""

import keras
import tensorflow as tf
from keras import ops

from models.layers import regions, settings


@keras.saving.register_keras_serializable(package="tessera")
class Orthogonality(keras.regularizers.Regularizer):
    """weight * ||W W^T - I||_F^2: drives the rows of W to length 1 and right angles."""

    configurable = True

    def __init__(self, weight) -> None:
        self.weight = weight

    def __call__(self, x) -> tf.Tensor:
        return self.weight * regions.orthogonality(x)

    def get_config(self) -> dict:
        return {"weight": self.weight}


@keras.saving.register_keras_serializable(package="tessera")
class AttentiveNormalization(settings.OwnPolicy, keras.layers.Layer):
    """Splits the map into soft regions by its own features and normalises each region.

        f = X W^T                                              what each position has of n entities
        F = q K^T, K = the keys of n random positions          training only, else 0
        S = softmax(temperature * (t * F + f))                 soft layout, n masks
        out = X + rho * regional_normalization(v, S)           q, k, v: linear maps of X

    Keys are max-pooled before they are drawn. t starts at 0.1, rho at 0: the layer starts as the
    identity. Layout and statistics are float32 at lower precision. The linear maps of q, k and v
    have no bias; that of v would be taken off again with the regional means.

    Args:
        entities: int, n, default 16.
        temperature: float, multiplies the logits; larger = harder masks. Default 1.0.
        affine: bool, learned scale (from 1) and shift (from 0) of each region, default True.
        value_convolution: bool, normalise v; False normalises X itself. Default True.
        key_pooling: int, side and stride of the max-pooling of keys, 1 = none; default 2.
        entity_initializer: Keras initialiser of W [n, C], default "orthogonal"; None is N(0, 1).
        orthogonal_weight: float, of ||W W^T - I||_F^2 in `losses`; default 1e-3.
        epsilon: float, added to the variance, default 1e-5.

    Call arguments:
        x: float [B, H, W, C].
        seed: int32 [B, 2], the draw of each image; needed in training only.
        training: bool.

    Returns:
        dict of "outputs": [B, H, W, C] in the compute dtype; "layout": float32 [B, H, W, n], S.

    Raises:
        ValueError: fewer than one entity, key_pooling below 1; training without a seed.

    Source: Wang, Chen, Zhang, Sun, Jia, arXiv 2004.03828. Departures from the released code
    (shepnerd/AttenNorm, inpaint-attnorm/net/ops.py): weighted mean and variance of a region, the
    squared Frobenius norm, pooled keys, positions of each image's own and without repetition, none
    at inference: all of them the paper's text. The paper's temperature is 0.1 and its W starts at
    N(0, 1), which makes masks as sharp as the defaults do at first (rows of length sqrt(C)); the
    orthogonality term then shrinks them until masks are uniform, where these defaults stay.
    """

    configurable = True

    def __init__(
        self,
        entities=16,
        *,
        temperature=1.0,
        affine=True,
        value_convolution=True,
        key_pooling=2,
        entity_initializer="orthogonal",
        orthogonal_weight=1e-3,
        epsilon=1e-5,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if entities < 1 or key_pooling < 1:
            raise ValueError(
                "Expected at least one entity and a key pooling of at least 1 (none). Received: "
                f"entities={entities}, key_pooling={key_pooling}. The paper uses 16 entities."
            )
        self.entities = entities
        self.temperature = temperature
        self.affine = affine
        self.value_convolution = value_convolution
        self.key_pooling = key_pooling
        self.entity_initializer = entity_initializer
        self.orthogonal_weight = orthogonal_weight
        self.epsilon = epsilon

    def build(self, x_shape, seed_shape=None) -> None:
        channels = x_shape[-1]
        narrow, table = max(channels // 8, 1), (self.entities, channels)
        self.entity_weight = self.add_weight(
            shape=table,
            initializer=self.entity_initializer or keras.initializers.RandomNormal(stddev=1.0),
            regularizer=Orthogonality(self.orthogonal_weight) if self.orthogonal_weight else None,
            name="entity_weight",
        )
        self.query_kernel = self.add_weight(shape=(channels, narrow), name="query_kernel")
        self.key = self._linear(narrow, channels, "key")
        if self.value_convolution:
            self.value = self._linear(channels, channels, "value")
        if self.affine:
            # Not cast at lower precision: they are used with the float32 statistics.
            self.scale, self.shift = (
                self.add_weight(shape=table, initializer=start, autocast=False, name=name)
                for name, start in (("scale", "ones"), ("shift", "zeros"))
            )
        self.influence = self.add_weight(
            shape=(self.entities,), initializer=keras.initializers.Constant(0.1), name="influence"
        )
        self.gate = self.add_weight(shape=(), initializer="zeros", name="gate")
        self.built = True

    def _linear(self, units, channels, name) -> keras.layers.Layer:
        layer = keras.layers.Dense(units, use_bias=False, name=name)
        layer.build((None, None, channels))
        return layer

    def call(self, x, seed=None, training=False) -> dict:
        height, width, channels = x.shape[1:]
        flat = ops.reshape(x, (-1, height * width, channels))
        if training:
            positions = self._positions(seed, height, width)
            logits = self._logits_with_samples(flat, positions, height, width)
        else:
            logits = ops.tensordot(flat, ops.transpose(self._cast(self.entity_weight)), axes=1)
        masks = tf.nn.softmax(self.temperature * _at_least_float32(logits), axis=-1)
        values = _at_least_float32(self.value(flat) if self.value_convolution else flat)
        regional = self._regional_normalization(values, masks)
        regional = ops.reshape(ops.cast(regional, self.compute_dtype), ops.shape(x))
        return {
            "outputs": x + self._cast(self.gate) * regional,
            "layout": ops.reshape(masks, (-1, height, width, self.entities)),
        }

    def _cast(self, variable) -> tf.Tensor:
        return ops.cast(variable, self.compute_dtype)

    def _regional_normalization(self, values, masks) -> tf.Tensor:
        scale = ops.convert_to_tensor(self.scale) if self.affine else None
        shift = ops.convert_to_tensor(self.shift) if self.affine else None
        return regions.regional_normalization(values, masks, scale, shift, epsilon=self.epsilon)

    def _positions(self, seed, height, width) -> tf.Tensor:
        if seed is None:
            raise ValueError(
                "Expected a seed for each image: training draws the positions that attract the "
                "regions. Received: seed=None. Pass int32 [B, 2]; a network takes it as input "
                '"seed".'
            )
        windows = -(-height // self.key_pooling) * -(-width // self.key_pooling)
        return regions.sample_positions(seed, self.entities, windows)

    def _logits_with_samples(self, flat, positions, height, width) -> tf.Tensor:
        """X W^T + t * q K^T as X (W^T + t * A_q K^T): no [B, P, C/8] queries, no full key map."""
        keys = self._sampled_keys(flat, positions, height, width)
        attraction = ops.matmul(self._cast(self.query_kernel), ops.transpose(keys, (0, 2, 1)))
        entities, influence = self._cast(self.entity_weight), self._cast(self.influence)
        directions = ops.transpose(entities) + influence * attraction
        return ops.matmul(flat, directions)

    def _sampled_keys(self, flat, positions, height, width) -> tf.Tensor:
        """Max-pooled keys [B, n, C/8] of the drawn windows, from the features of these alone."""
        pool = self.key_pooling
        columns = -(-width // pool)
        corner_row, corner_column = pool * (positions // columns), pool * (positions % columns)
        # A window over the edge repeats its last row or column, which leaves its maximum alone.
        members = [
            tf.minimum(corner_row + i, height - 1) * width
            + tf.minimum(corner_column + j, width - 1)
            for i in range(pool)
            for j in range(pool)
        ]
        members = tf.stack(members, axis=-1)
        drawn = tf.gather(flat, tf.reshape(members, (-1, self.entities * pool**2)), batch_dims=1)
        keys = self.key(drawn)
        keys = ops.reshape(keys, (-1, self.entities, pool**2, keys.shape[-1]))
        return ops.max(keys, axis=2)

    def monitored(self) -> dict:
        """Scalars worth a curve: rho, the mean of t, and ||W W^T - I||_F^2."""
        return {
            "rho": ops.convert_to_tensor(self.gate),
            "mean_t": ops.mean(self.influence),
            "orthogonality": regions.orthogonality(self.entity_weight),
        }

    def get_config(self) -> dict:
        initializer = self.entity_initializer
        if initializer is not None:
            initializer = keras.initializers.serialize(keras.initializers.get(initializer))
        return {
            **super().get_config(),
            "entities": self.entities,
            "temperature": self.temperature,
            "affine": self.affine,
            "value_convolution": self.value_convolution,
            "key_pooling": self.key_pooling,
            "entity_initializer": initializer,
            "orthogonal_weight": self.orthogonal_weight,
            "epsilon": self.epsilon,
        }


def _at_least_float32(x) -> tf.Tensor:
    return tf.cast(x, tf.float32) if x.dtype in (tf.float16, tf.bfloat16) else x
