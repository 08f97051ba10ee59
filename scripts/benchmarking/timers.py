"""What is timed in a process of its own: the compiled train step of a config, and a layer."""

import functools

import hydra
import tensorflow as tf
from omegaconf import DictConfig

from models.layers import block_attention
from scripts.benchmarking import operations
from training.loop import session
from training.runs import class_weights, classes, perceptual_loss, run_config
from training.tasks import steps as task_steps

# More than the pipeline keeps ready: what piled up while other variants had their turn would
# make it look faster than it is.
DRAINED_BATCHES = 16


class StepTimer:
    """The compiled step of a training config, fed by its pipeline or with a constant batch.

    To be made and used inside the strategy's scope.

    Args:
        config: a training config, as train.py takes it.
        steps: steps that a turn times, after one that is not timed.
        pipeline: whether to time batches of the pipeline as well as a constant one.
        ceiling: shapes of the convolutions whose best speed is the ceiling; empty = not asked for.

    Raises:
        ValueError: a config that train.py refuses.
    """

    def __init__(self, config: DictConfig, *, steps: int, pipeline: bool, ceiling: tuple) -> None:
        run_config.check_targets(config)
        run_config.check_keys(config, "train")
        self.steps, self.ceiling = steps, ceiling
        self.data = hydra.utils.instantiate(config.data, _convert_="all")
        self.label_report = self.data.check()
        classes.fill_counts(config, self.data.image_class_names)
        class_weights.fill(config, self.data, self.label_report)
        perceptual_loss.fill(config, self.data)
        self.task = hydra.utils.instantiate(config.task, _convert_="all")
        self.trainer = hydra.utils.instantiate(config.trainer, _convert_="all")
        self.spec = task_steps.spec_after(self.data.preprocess, self.data.element_spec)
        self.task.build(self.spec)
        self.live = session.Session(
            self.task, self.trainer.reader(self.data), None, None, self.data.preprocess,
            seed=self.trainer.seed, jit_compile=self.trainer.jit_compile, writes=False,
        )  # fmt: skip
        self.strategy = self.live.strategy
        self.step = max(self.task.phases)  # the whole step, after what comes before it
        constant = self.strategy.distribute_datasets_from_function(self._constant)
        self.batches = {"constant": iter(constant)}
        if pipeline:
            self.batches["pipeline"] = iter(self.live.batches_from(0))

    def prepare(self) -> None:
        """Compiles the step: what its first call takes beyond the second."""
        first, second = self.timed("constant", 1), self.timed("constant", 1)
        self.compile_seconds = max(first - second, 0.0)

    def turn(self, number: int) -> dict[str, float]:
        """Seconds a step by source, and the GFLOP/s of the ceiling; the order changes by turn."""
        measured = {}
        for source in list(self.batches)[:: -1 if number % 2 else 1]:
            if source == "pipeline":
                for _ in range(DRAINED_BATCHES):
                    next(self.batches[source])
            self.timed(source, 1)
            measured[source] = self.timed(source, self.steps) / self.steps
        if self.ceiling:
            speeds = [operations.convolution_gflops(shape) for shape in self.ceiling]
            measured["ceiling"] = max(speeds)
        return measured

    def facts(self) -> dict[str, float]:
        """Seconds of compilation, most memory of the process, and GFLOP of a step."""
        found = {"compile_seconds": self.compile_seconds, "peak_mib": operations.peak_mib()}
        return found | {"gflops": self._gflops() if self.ceiling else 0.0}

    def _gflops(self) -> float:
        """Convolutions and matrix products of a step on all replicas, in 10^9 operations."""
        batches = [next(self.batches["constant"]) for _ in range(self.task.batches_per_step)]

        def replica_step(batches) -> dict:
            finished = [self.data.preprocess(batch) for batch in batches]
            return self.task.train_step(finished, tf.constant([0, 0]))

        traced = tf.function(lambda: self.strategy.run(replica_step, (batches,)))
        return operations.graph_flops(traced.get_concrete_function().graph) / 1e9

    def timed(self, source: str, count: int) -> float:
        """Seconds of `count` steps from `self.step` on, what they compile included."""
        total, end = 0.0, self.step + count
        while self.step < end:
            run_steps = self.live.steps_at(self.step)
            alike = min(end - self.step, self.live.alike_from(self.step))
            arguments = self.batches[source], tf.constant(self.step), tf.constant(alike)
            call = functools.partial(run_steps, *arguments)
            total += operations.seconds(lambda call=call: call().values())  # type: ignore[misc]
            self.step += alike
        return total

    def _constant(self, context) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(next(iter(self.live.make_dataset(0, context)))).repeat()


class LayerTimer:
    """The compiled forward and backward pass of a layer on constant features.

    Args:
        config: `layer`, a node with `_target_`; `shape`, [B, H, W, C] of the features.
        calls: calls that a turn times, after one that is not timed.
    """

    def __init__(self, config: DictConfig, *, calls: int) -> None:
        self.layer = hydra.utils.instantiate(config.layer, _convert_="all")
        self.layer.build((None, *config.shape[1:]))
        self.layer.gate.assign(1.0)  # at 0, where it starts, most gradients would be zeros
        self.shape, self.calls = tuple(config.shape), calls

    def prepare(self) -> None:
        """Traces the call, which is not part of the first one."""
        features, upstream = (
            tf.cast(tf.random.stateless_normal(self.shape, [0, n]), self.layer.compute_dtype)
            for n in (0, 1)
        )
        seed = tf.random.stateless_uniform((self.shape[0], 2), [0, 2], None, None, "int32")

        def call(x) -> tuple:
            return block_attention.attend(self.layer, x, {"seed": seed}, training=True)[0]

        weights = [variable.value for variable in self.layer.trainable_variables]
        self.run = operations.forward_and_backward(call, [features], weights, upstream)
        self.mib_before = operations.peak_mib()

    def turn(self, _number: int) -> float:
        """Seconds a call."""
        operations.seconds(self.run)
        return operations.seconds(self.run, self.calls) / self.calls

    def facts(self) -> float:
        """MiB, the most the process has had beyond that before the first call."""
        return operations.peak_mib() - self.mib_before
