"""Attentive normalisation against its naive form and self-attention, as whole layers, in turns."""

import contextlib
import time

import hydra
from omegaconf import OmegaConf

from scripts.benchmarking import benchmark_step, benchmark_worker
from scripts.command import tables

LEGEND = """\
time, memory: against attentive normalisation; times turn by turn.
extra MiB: peak memory of the process beyond that before the first call, without that of a GPU."""


class LayerTimer:
    """The compiled forward and backward pass of a layer on constant features.

    Args:
        config: `layer`, a node with `_target_`; `shape`, [B, H, W, C] of the features.
    """

    def __init__(self, config):
        self.layer = hydra.utils.instantiate(config.layer, _convert_="all")
        self.layer.build((None, *config.shape[1:]))
        self.layer.gate.assign(1.0)  # at 0, where it starts, most gradients would be zeros
        self.run = self._compiled(tuple(config.shape))
        self.peak_before = benchmark_step.peak_bytes()

    def turn(self, calls):
        """Seconds a call, after one that is not timed."""
        self._timed(1)
        return self._timed(calls) / calls

    def extra_mib(self):
        """Most memory the process has had beyond that before the first call."""
        return (benchmark_step.peak_bytes() - self.peak_before) / benchmark_step.MIB

    def _compiled(self, shape):
        import tensorflow as tf

        from models.layers import block_attention

        dtype = self.layer.compute_dtype
        x = tf.cast(tf.random.stateless_normal(shape, [0, 0]), dtype)
        upstream = tf.cast(tf.random.stateless_normal(shape, [0, 1]), dtype)
        inputs = {"seed": tf.random.stateless_uniform((shape[0], 2), [0, 2], None, None, "int32")}

        @tf.function
        def forward_and_backward():
            weights = [variable.value for variable in self.layer.trainable_variables]
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs, _ = block_attention.attend(self.layer, x, inputs, training=True)
            gradients = tape.gradient(outputs, [x, *weights], output_gradients=upstream)
            return [tf.reduce_sum(gradient) for gradient in gradients]

        return forward_and_backward.get_concrete_function()  # traced: not part of the first call

    def _timed(self, calls):
        begun = time.perf_counter()
        for _ in range(calls):
            for value in self.run():
                value.numpy()
        return time.perf_counter() - begun


@contextlib.contextmanager
def layer_timer(config):
    """A LayerTimer in a process that has not built anything yet."""
    from training.loop import devices

    devices.make_strategy("single")
    devices.set_precision(config.precision)
    yield LayerTimer(config)


def rows(config) -> list[list[str]]:
    """Header and one row a layer and size.

    Args:
        config: sizes, channels, entities, batch_size, precision, rounds, steps.

    Raises:
        ValueError: a layer cannot be built or measured; it is named.
    """
    shown = [["layer", "ms", "time", "extra MiB", "memory"]]
    for size in config.sizes:
        measured = measure(config, size)
        reference, least = next(iter(measured.values()))
        for name, (seconds, extra) in measured.items():
            shown.append(
                [
                    name,
                    tables.spread([1000 * value for value in seconds]),
                    tables.ratio(seconds, reference),
                    f"{extra:,.0f}",
                    f"{extra / least:.2f}x" if least > 0 else "-",
                ]
            )
    return shown


def measure(config, size) -> dict[str, tuple[list[float], float]]:
    """{layer: (seconds a call of each turn, extra peak MiB)} of features of one size."""
    from tqdm import tqdm

    compared = variants(config, size)
    with benchmark_worker.started(compared, layer_timer) as workers:
        turns = [[] for _ in workers]
        for _ in tqdm(range(config.rounds), f"Rounds at {size} px", disable=None):
            for worker, of_worker in zip(workers, turns, strict=True):
                of_worker.append(worker.ask("turn", config.steps))
        extra = [worker.ask("extra_mib") for worker in workers]
    measured = zip(compared, turns, extra, strict=True)
    return {variant.name: (seconds, mib) for variant, seconds, mib in measured}


def variants(config, size) -> list[benchmark_worker.Variant]:
    """The layers to measure; the first is the one to compare with."""
    layers = {
        "attentive normalisation": {
            "_target_": "models.layers.attentive_normalization.AttentiveNormalization",
            "entities": config.entities,
        },
        "the same, naive": {
            "_target_": "scripts.benchmarking.naive_layer.NaiveAttentiveNormalization",
            "entities": config.entities,
        },
        "self-attention": {"_target_": "models.layers.self_attention.SelfAttention"},
    }
    shape = [config.batch_size, size, size, config.channels]
    return [
        benchmark_worker.Variant(
            f"{size} x {size}: {name}",
            OmegaConf.create({"layer": layer, "shape": shape, "precision": config.precision}),
        )
        for name, layer in layers.items()
    ]
