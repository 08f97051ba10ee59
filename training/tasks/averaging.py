"""An exponential moving average of a network's weights, with statistics of its own."""

import itertools
import math
from typing import Any

import keras
import tensorflow as tf

from training.tasks import network_inputs

RAMP = 0.05  # of the images seen is the longest half-life


class WeightAveraging:
    """Keeps a copy of a network whose weights are an exponential moving average.

    After step t (counted from `start_step`) averaged = d * averaged + (1 - d) * raw with
    d = min(decay, (1 + t) / (10 + t)), so that short runs are not dominated by the initial
    weights; before `start_step` the copy follows the raw weights. With `half_life_images` d is that
    of a half-life in images n, which grows with the images seen since the start, b in each step:

        d = 0.5 ** (b / n),  n = min(half_life_images, 0.05 * b * t)

    Runs of any batch size and length then average over the same share of what they have seen.

    Moving statistics of the raw network do not fit averaged weights. They are estimated anew
    from training-mode forwards on a fixed set of batches before the copy is used.

    Args:
        decay: weight of the past at each step, in [0, 1).
        start_step: step from which to average.
        calibration_batches: training batches from which batch statistics are estimated.
        half_life_images: images of training after which a weight counts half; then `decay` is not
            read. Default None: `decay` counts steps.

    Raises:
        ValueError: a value out of its range.

    Source: Karras et al. 2018 (arXiv 1710.10196) for averaging; the half-life and its growth as in
    NVlabs/stylegan2-ada-pytorch, training/training_loop.py; the re-estimation as in
    NVlabs/imaginaire, imaginaire/trainers/base.py (there with running momentum).
    """

    configurable = True

    def __init__(
        self, decay: float = 0.999, *, start_step: int = 0, calibration_batches: int = 16,
        half_life_images: float | None = None,
    ) -> None:  # fmt: skip
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay must be in [0, 1). Received: decay={decay}")
        if start_step < 0 or calibration_batches < 1:
            raise ValueError(
                "start_step must be >= 0 and calibration_batches >= 1. Received: "
                f"start_step={start_step}, calibration_batches={calibration_batches}"
            )
        if half_life_images is not None and not 0 < half_life_images < math.inf:
            raise ValueError(
                "half_life_images must be a positive number of images, such as 10000, or null. "
                f"Received: half_life_images={half_life_images}"
            )
        self.decay = decay
        self.start_step = start_step
        self.calibration_batches = calibration_batches
        self.half_life_images = half_life_images

    def copy_of(self, network: keras.Model, input_shapes: dict) -> keras.Model:
        """A built clone of the network, holding the same values."""
        copy = type(network).from_config(without_builds(network.get_config()))
        copy.build(input_shapes)
        for target, source in zip(copy.weights, network.weights, strict=True):
            target.assign(source)
        for target, source in zip(copy._flatten_layers(), network._flatten_layers(), strict=True):
            if not source.trainable:  # frozen: batch statistics as well
                target.trainable = False
        return copy

    def update(
        self, average: keras.Model, network: keras.Model, step: tf.Tensor, images: int | tf.Tensor
    ) -> None:
        """Moves the average towards the network; to be called across replicas.

        Args:
            average: the copy.
            network: the network in training.
            step: int scalar, steps done, this one included.
            images: how many the network learns from in a step, over all replicas.
        """
        strategy = tf.distribute.get_strategy()
        since_start = tf.cast(step - self.start_step, tf.float32)
        decay = tf.where(since_start > 0, self._decay(since_start, images), 0.0)
        trained = {id(variable) for variable in network.trainable_variables}
        for target, source in zip(average.weights, network.weights, strict=True):
            keep = decay if id(source) in trained else tf.zeros_like(decay)
            strategy.extended.update(target.value, _blend, args=(source.value, keep))

    def _decay(self, since_start, images) -> tf.Tensor:
        if self.half_life_images is None:
            return tf.minimum(self.decay, (1.0 + since_start) / (10.0 + since_start))
        images = tf.cast(images, tf.float32)
        seen = tf.maximum(since_start, 1.0) * images
        return 0.5 ** (images / tf.minimum(self.half_life_images, RAMP * seen))

    def calibrate(self, average: keras.Model, batches) -> None:
        """Estimates the batch statistics of the averaged weights.

        With moving statistics started at zero, n forwards with momentum m leave
        sum_i (1 - m) m^(n-i) s_i of the batch statistics s_i; dividing by 1 - m^n makes the
        weights sum to one. The result depends on the weights and the batches alone. An error of
        the batches leaves the statistics as they were.

        Args:
            average: the copy.
            batches: iterable of distributed batches, always the same ones.
        """
        layers = [
            layer
            for layer in average._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        if not layers:
            return
        statistics = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
        before = [variable.numpy() for variable in statistics]
        for variable in statistics:
            variable.assign(tf.zeros_like(variable))
        count = 0
        try:
            for count, batch in enumerate(  # noqa: B007 (the count is used below)
                itertools.islice(iter(batches), self.calibration_batches), start=1
            ):
                self._forward(average, batch, tf.constant(count, tf.int32))
        except BaseException:
            for variable, value in zip(statistics, before, strict=True):
                variable.assign(value)
            raise
        for layer in layers:
            weight = 1.0 - layer.momentum**count
            layer.moving_mean.assign(layer.moving_mean / weight)
            layer.moving_variance.assign(layer.moving_variance / weight)

    @tf.function
    def _forward(self, average, batch, number) -> None:
        """Runs the copy in training mode on every replica."""

        def on_replica(batch, number) -> None:
            inputs = network_inputs.for_training(average, batch, tf.stack([0, number]))
            average(inputs, training=True)

        tf.distribute.get_strategy().run(on_replica, (batch, number))


def without_builds(config) -> Any:
    """A Keras config whose inner layers are built with the outer one, in its name scope."""
    if isinstance(config, dict):
        return {k: without_builds(v) for k, v in config.items() if k != "build_config"}
    if isinstance(config, list | tuple):
        return type(config)(map(without_builds, config))
    return config


def _blend(target, source, keep) -> None:
    target.assign(keep * target + (1.0 - keep) * source)
