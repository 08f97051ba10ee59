"""Times the compiled train step of a config, counts its operations, finds the machine's ceiling."""

import time
from pathlib import Path

import hydra

from training.runs import classes

# More than the pipeline keeps ready: what piled up while other variants had their turn would
# make it look faster than it is.
DRAINED_BATCHES = 16
CEILING_SHAPES = ((4, 128, 128, 64), (4, 64, 64, 128), (4, 32, 32, 256))
CEILING_TEXT = ", ".join("x".join(map(str, shape)) for shape in CEILING_SHAPES)
MIB = 2**20


class StepTimer:
    """The compiled step of a training config, fed by its pipeline or with a constant batch.

    To be made and used inside the strategy's scope.

    Args:
        config: a training config, as train.py takes it.
    """

    def __init__(self, config):
        from training.loop import session
        from training.tasks import steps

        self.data = hydra.utils.instantiate(config.data, _convert_="all")
        classes.fill_counts(config, self.data.image_class_names)
        self.task = hydra.utils.instantiate(config.task, _convert_="all")
        self.trainer = hydra.utils.instantiate(config.trainer, _convert_="all")
        self.task.build(steps.spec_after(self.data.preprocess, self.data.element_spec))
        self.live = session.Session(
            self.task, self._pipeline, None, None, self.data.preprocess,
            seed=self.trainer.seed, jit_compile=self.trainer.jit_compile, writes=False,
        )  # fmt: skip
        self.step = max(self.task.phases)  # the whole step, after what comes before it
        batches = self.live.strategy.distribute_datasets_from_function(self._constant)
        self.iterators = {"constant": iter(batches), "pipeline": iter(self.live.batches_from(0))}

    def compile(self):
        """Seconds of the first call beyond those of the second."""
        first, second = self._timed("constant", 1), self._timed("constant", 1)
        return max(first - second, 0.0)

    def turn(self, number, steps, pipeline, ceiling):
        """Seconds a step by source, and the GFLOP/s of the ceiling; the order changes by turn."""
        sources = ("constant", "pipeline") if pipeline else ("constant",)
        measured = {}
        for source in sources[:: -1 if number % 2 else 1]:
            if source == "pipeline":
                for _ in range(DRAINED_BATCHES):
                    next(self.iterators[source])
            self._timed(source, 1)
            measured[source] = self._timed(source, steps) / steps
        if ceiling:
            measured["ceiling"] = max(convolution_gflops(shape) for shape in CEILING_SHAPES)
        return measured

    def peak_mib(self):
        """Most memory the process has had."""
        return peak_bytes() / MIB

    def gflops(self):
        """Convolutions and matrix products of a step on all replicas, in 10^9 operations."""
        import tensorflow as tf

        strategy, iterator = self.live.strategy, self.iterators["constant"]
        batches = [next(iterator) for _ in range(self.task.batches_per_step)]

        def replica_step(batches):
            finished = [self.data.preprocess(batch) for batch in batches]
            return self.task.train_step(finished, tf.constant([0, 0]))

        traced = tf.function(lambda: strategy.run(replica_step, (batches,)))
        return graph_flops(traced.get_concrete_function().graph) / 1e9

    def _timed(self, source, count):
        import tensorflow as tf

        begun, end = time.perf_counter(), self.step + count
        while self.step < end:
            run_steps = self.live.steps_at(self.step)
            count = min(end - self.step, self.live.alike_from(self.step))
            values = run_steps(self.iterators[source], tf.constant(self.step), tf.constant(count))
            for value in values.values():
                value.numpy()
            self.step += count
        return time.perf_counter() - begun

    def _pipeline(self, first_batch, context):
        return self.data.training_dataset(
            first_batch,
            global_batch_size=self.trainer.batch_size,
            replica_batch_size=context.get_per_replica_batch_size(self.trainer.batch_size),
            worker=context.input_pipeline_id,
            num_workers=context.num_input_pipelines,
        )

    def _constant(self, context):
        import tensorflow as tf

        batch = next(iter(self._pipeline(0, context)))
        return tf.data.Dataset.from_tensors(batch).repeat()


def convolution_gflops(shape, repeats=3) -> float:
    """Best GFLOP/s of a 3x3 convolution with both gradients in the precision that is set.

    Args:
        shape: (batch, height, width, channels in and out).
        repeats: calls of which the best counts.
    """
    import keras
    import tensorflow as tf

    dtype = keras.config.dtype_policy().compute_dtype
    inputs = tf.cast(tf.random.stateless_normal(shape, [0, 0]), dtype)
    kernel = tf.cast(tf.random.stateless_normal([3, 3, shape[-1], shape[-1]], [0, 1]), dtype)

    @tf.function
    def forward_and_backward():
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = tf.nn.conv2d(inputs, kernel, 1, "SAME")
        gradients = tape.gradient(outputs, [inputs, kernel], output_gradients=outputs)
        return [tf.reduce_sum(gradient) for gradient in gradients]

    def seconds():
        begun = time.perf_counter()
        for value in forward_and_backward():
            value.numpy()
        return time.perf_counter() - begun

    seconds()  # compiles
    flops = graph_flops(forward_and_backward.get_concrete_function().graph)
    return flops / min(seconds() for _ in range(repeats)) / 1e9


def graph_flops(graph) -> int:
    """Operations (a multiply-add is two) of the convolutions and matrix products in a graph.

    tf.compat.v1.profiler counts the gradients of strided convolutions too high, hence this count.
    """
    total = 0
    for op in graph.get_operations():
        if op.type in ("Conv2D", "Conv2DBackpropInput"):
            kernel, place = op.inputs[1], op.outputs[0] if op.type == "Conv2D" else op.inputs[2]
        elif op.type == "Conv2DBackpropFilter":
            kernel, place = op.outputs[0], op.inputs[2]
        elif op.type in ("MatMul", "BatchMatMulV2"):
            transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            total += 2 * op.outputs[0].shape.num_elements() * op.inputs[0].shape[-1 - transposed]
            continue
        else:
            continue
        total += 2 * place.shape.num_elements() * kernel.shape[:3].num_elements()
    return total


def peak_bytes() -> int:
    """Peak memory of this process, not of the one it was started by."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmHWM"].split()[0]) * 1024
    except OSError:  # macOS counts in bytes
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
