"""Spectral normalisation of convolution, dense and embedding layers by re-parameterisation."""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

EPSILON = 1e-12


class _SpectralNorm:
    """Shared half of the three layers: the vector u and the normalised weight.

    The layer stores the raw weight W (the optimiser's variable) and uses W / sigma(W) in the
    forward pass, where sigma is the largest singular value of W reshaped to [K, c_out]:

        v = normalise(W^T u),  u' = normalise(W v),  sigma = u'^T W v,  u <- u' (training only)

    u' and v are constants to the gradient, sigma is not. All of it is float32 at any precision.
    """

    kernel: keras.Variable  # these come from the Keras layer beside this class
    bias: keras.Variable
    activation: Callable | None
    compute_dtype: str
    use_bias: bool

    def add_weight(self, *args, **kwargs) -> keras.Variable:
        # Without this, mixed precision would hand sigma a weight already rounded to 16 bits.
        kwargs.setdefault("autocast", False)
        return super().add_weight(*args, **kwargs)  # type: ignore[misc]

    def build(self, input_shape=None) -> None:
        super().build(input_shape)  # type: ignore[misc]
        weight = self._raw_weight()
        rows = 1
        for size in weight.shape[:-1]:
            rows *= size
        # No aggregation: every replica holds the same weight and u, so each computes the same u'.
        self.u = self.add_weight(
            shape=(rows, 1),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            name="u",
        )

    @property
    def iterated_variables(self) -> list[keras.Variable]:
        """What a training call moves by the weights alone: once in an update of several batches."""
        return [self.u]

    def save_own_variables(self, store) -> None:
        # The Keras layers write kernel and bias by name and would drop u.
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    def _raw_weight(self) -> keras.Variable:
        return self.embeddings if isinstance(self, keras.layers.Embedding) else self.kernel

    def normalized_weight(self, training) -> tf.Tensor:
        """Returns W / sigma in the compute dtype; one power iteration moves u when training."""
        weight = ops.convert_to_tensor(self._raw_weight())
        matrix = ops.reshape(weight, (self.u.shape[0], weight.shape[-1]))
        constant = ops.stop_gradient(matrix)
        v = _unit(ops.matmul(ops.transpose(constant), ops.convert_to_tensor(self.u)))
        u = _unit(ops.matmul(constant, v))
        sigma = ops.sum(u * ops.matmul(matrix, v))
        if training:
            self.u.assign(u)
        # The floor only matters for an all-zero weight, which then stays zero instead of NaN.
        return ops.cast(weight / ops.maximum(sigma, EPSILON), self.compute_dtype)

    def _finish(self, outputs) -> tf.Tensor:
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, self.compute_dtype)
        return outputs if self.activation is None else self.activation(outputs)


def _unit(vector) -> tf.Tensor:
    return ops.stop_gradient(vector / ops.maximum(tf.norm(vector), EPSILON))


@keras.saving.register_keras_serializable(package="tessera")
class SpectralConv2D(_SpectralNorm, keras.layers.Conv2D):
    """2-D convolution whose kernel has spectral norm 1.

    The largest singular value is that of the kernel reshaped to [kh * kw * c_in, c_out]. One power
    iteration per training call, from a vector `u` [kh * kw * c_in, 1] that is saved with the model.
    The stored kernel is changed by the optimiser only.

    Args: those of `keras.layers.Conv2D` (channels last).

    Call arguments:
        inputs: float [B, H, W, c_in].
        training: bool; True moves `u`.

    Returns:
        float [B, H', W', filters] in the compute dtype.

    Source: Miyato, Kataoka, Koyama, Yoshida, arXiv 1802.05957, algorithm 1; tensorflow/gan,
    features/spectral_normalization.py.
    """

    def call(self, inputs, training=False) -> tf.Tensor:
        return self._finish(self.convolution_op(inputs, self.normalized_weight(training)))


@keras.saving.register_keras_serializable(package="tessera")
class SpectralDense(_SpectralNorm, keras.layers.Dense):
    """Dense layer whose kernel [in, units] has spectral norm 1; see `SpectralConv2D`.

    Args: those of `keras.layers.Dense`.

    Call arguments:
        inputs: float [..., in].
        training: bool; True moves `u` [in, 1].

    Returns:
        float [..., units] in the compute dtype.
    """

    def call(self, inputs, training=False) -> tf.Tensor:
        return self._finish(ops.matmul(inputs, self.normalized_weight(training)))


@keras.saving.register_keras_serializable(package="tessera")
class SpectralEmbedding(_SpectralNorm, keras.layers.Embedding):
    """Embedding whose table [input_dim, output_dim] has spectral norm 1; see `SpectralConv2D`.

    Args: those of `keras.layers.Embedding`.

    Call arguments:
        inputs: int [...], ids in 0..input_dim-1; a ValueError for others, as lower precision would
            round them.
        training: bool; True moves `u` [input_dim, 1].

    Returns:
        float [..., output_dim] in the compute dtype.
    """

    def call(self, inputs, training=False) -> tf.Tensor:
        if not tf.as_dtype(inputs.dtype).is_integer:
            raise ValueError(f"Expected ids as integers. Received: {inputs.dtype}. Cast to int32.")
        # Not `ops.take`, which reads -1 as the last id.
        return tf.gather(self.normalized_weight(training), ops.cast(inputs, "int32"))

    def compute_output_spec(self, inputs, training=False) -> keras.KerasTensor:
        return super().compute_output_spec(inputs)  # the base class has no `training`
