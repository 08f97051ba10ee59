"""Atrous spatial pyramid pooling, and the unit of convolution, norm and ReLU that it is made of."""

import keras
import tensorflow as tf
from keras import ops

from models.layers import batch_normalization, dilated_block, settings

RATES_16 = (3, 6, 9)  # rates by default, in sixteenths of the shorter feature side


@keras.saving.register_keras_serializable(package="tessera")
class NormalizedConvolution(settings.OwnPolicy, keras.layers.Layer):
    """Zero-padded convolution without a bias, batch normalisation, ReLU.

    Args:
        filters: int, channels of the result.
        kernel_size: int, default 3.
        dilation_rate: int, distance of the taps, default 1.
        momentum: float, weight of the old value in the moving averages, default 0.9.

    Call arguments:
        x: float [B, H, W, C].
        training: bool.

    Returns:
        float [B, H, W, filters] >= 0 in the compute dtype.
    """

    def __init__(self, filters, kernel_size=3, *, dilation_rate=1, momentum=0.9, **kwargs) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.momentum = momentum
        self.convolution = dilated_block.convolution(
            filters, kernel_size, dilation_rate=dilation_rate, name="convolution"
        )
        self.norm = batch_normalization.PlainBatchNormalization(momentum, name="norm")

    def build(self, x_shape) -> None:
        self.convolution.build(x_shape)
        self.norm.build((*x_shape[:-1], self.filters))
        self.built = True

    def call(self, x, training=False) -> tf.Tensor:
        return ops.relu(self.norm(self.convolution(x), training=training))


@keras.saving.register_keras_serializable(package="tessera")
class AtrousSpatialPyramidPooling(settings.OwnPolicy, keras.layers.Layer):
    """The head of DeepLab v3: each position sees its surroundings at several scales and as a whole.

        unit = conv (no bias) -> norm -> ReLU
        parts: unit 1x1 of x;  unit 3x3 of x at each rate;  unit 1x1 of the spatial mean of x
        out = unit 1x1 of all parts, side by side

    The published rates, 6, 12, 18 at output stride 16 and 12, 24, 36 at 8, belong to images of 513
    px. A 3 x 3 kernel whose rate reaches the side of the map sees no more than its centre, so the
    rates scale with the map by default: 3/16, 6/16 and 9/16 of its shorter side, rounded, at least
    1. These are 12, 24, 37 at 65 and 6, 12, 18 at 32.

    The paper's dropout of 0.1 is left out: nothing here is random.

    Args:
        filters: int, channels of each part and of the result, default 256.
        rates: sequence of int >= 1, or None (default) for those that scale with the map.
        momentum: float, weight of the old value in the moving averages, default 0.9.

    Call arguments:
        x: float [B, H, W, C]. Training needs two images on all replicas together: one mean vector
            alone is normalised to 0, whatever it is.
        training: bool.

    Returns:
        float [B, H, W, filters] >= 0 in the compute dtype.

    Raises:
        ValueError: a rate below 1; in `build`, a map of unknown size without rates; in the call, a
            training batch of one image (where its size is known when the step is compiled).

    Source: Chen et al., arXiv 1706.05587, section 3.3; tensorflow/models,
    research/deeplab/model.py.
    """

    def __init__(self, filters=256, rates=None, *, momentum=0.9, **kwargs) -> None:
        super().__init__(**kwargs)
        if rates is not None and (not rates or min(rates) < 1):
            raise ValueError(
                f"Expected rates of at least 1. Received: rates={tuple(rates)}. Set it to null "
                "for rates that scale with the map."
            )
        self.filters = filters
        self.rates = None if rates is None else tuple(rates)
        self.momentum = momentum

    def build(self, x_shape) -> None:
        rates = self.rates or scaled_rates(*x_shape[1:3])
        self.point = self._unit(1, "point")
        self.atrous = [self._unit(3, f"atrous_{n}", rate) for n, rate in enumerate(rates)]
        self.whole = self._unit(1, "whole")
        self.fusion = self._unit(1, "fusion")
        for unit in (self.point, *self.atrous, self.whole):
            unit.build(x_shape)
        self.fusion.build((*x_shape[:-1], self.filters * (len(rates) + 2)))
        self.built = True

    def _unit(self, kernel_size, name, rate=1) -> NormalizedConvolution:
        return NormalizedConvolution(
            self.filters, kernel_size, dilation_rate=rate, momentum=self.momentum, name=name
        )

    def call(self, x, training=False) -> tf.Tensor:
        if training:
            _check_batch(x.shape[0])
        parts = [unit(x, training=training) for unit in (self.point, *self.atrous)]
        mean = ops.mean(ops.cast(x, "float32"), axis=(1, 2), keepdims=True)
        whole = self.whole(ops.cast(mean, self.compute_dtype), training=training)
        parts.append(ops.broadcast_to(whole, ops.shape(parts[0])))
        return self.fusion(ops.concatenate(parts, axis=-1), training=training)


def scaled_rates(height, width) -> tuple[int, ...]:
    """Rates for a map of this size, see AtrousSpatialPyramidPooling."""
    if height is None or width is None:
        raise ValueError(
            "Expected a map of known size, which the rates scale with. Received: "
            f"(H, W)=({height}, {width}). Give the rates, or images of one size."
        )
    return tuple(max(1, (min(height, width) * part + 8) // 16) for part in RATES_16)


def _check_batch(size) -> None:
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync if context else 1
    if size is not None and size * replicas < 2:
        raise ValueError(
            "Expected at least two images in a training batch: batch normalisation of their "
            "spatial means leaves nothing of a single one. Received: batch of 1 on 1 replica. Set "
            "trainer.batch_size to 2 or more."
        )
