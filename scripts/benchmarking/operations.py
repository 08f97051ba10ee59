"""Seconds of calls, floating-point operations of graphs, and the peak memory of a process."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


def seconds(function: Callable[[], Iterable], calls: int = 1) -> float:
    """Wall time of calls, the tensors they return fetched."""
    begun = time.perf_counter()
    for _ in range(calls):
        for value in function():
            value.numpy()
    return time.perf_counter() - begun


def forward_and_backward(
    function: Callable, inputs: list, variables: Sequence = (), upstream: tf.Tensor | None = None
) -> Any:
    """Traces a function of tensors with the gradients of its inputs and variables.

    Args:
        function: inputs -> tensor.
        inputs: tensors, constant.
        variables: what else gets gradients.
        upstream: gradient of the function's output. Default: the output itself.

    Returns:
        Concrete function without arguments -> the sum of each gradient.
    """

    @tf.function
    def run() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(*inputs)
        given = outputs if upstream is None else upstream
        gradients = tape.gradient(outputs, [*inputs, *variables], output_gradients=given)
        return [tf.reduce_sum(gradient) for gradient in gradients]

    return run.get_concrete_function()


def convolution_gflops(shape: Sequence[int], repeats: int = 3) -> float:
    """Best GFLOP/s of a 3x3 convolution with both gradients in the precision that is set.

    Args:
        shape: (batch, height, width, channels in and out).
        repeats: calls of which the best counts.
    """
    dtype = keras.config.dtype_policy().compute_dtype
    inputs = tf.cast(tf.random.stateless_normal(shape, [0, 0]), dtype)
    kernel = tf.cast(tf.random.stateless_normal([3, 3, shape[-1], shape[-1]], [0, 1]), dtype)
    run = forward_and_backward(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), [inputs, kernel])
    seconds(run)  # compiles
    return graph_flops(run.graph) / min(seconds(run) for _ in range(repeats)) / 1e9


def graph_flops(graph: tf.Graph) -> int:
    """Operations (a multiply-add is two) of the convolutions and matrix products in a graph.

    tf.compat.v1.profiler counts the gradients of strided convolutions too high, hence this count.
    """
    total = 0
    for op in graph.get_operations():
        if op.type in ("MatMul", "BatchMatMulV2"):
            transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            total += 2 * op.outputs[0].shape.num_elements() * op.inputs[0].shape[-1 - transposed]
        elif op.type.startswith("Conv2D"):  # with its gradients, which have one of the two places
            tensors = {
                "Conv2D": (op.inputs[1], op.outputs[0]),
                "Conv2DBackpropInput": (op.inputs[1], op.inputs[-1]),
                "Conv2DBackpropFilter": (op.outputs[0], op.inputs[-1]),
            }
            kernel, place = tensors[op.type]
            total += 2 * place.shape.num_elements() * kernel.shape[:3].num_elements()
    return total


def peak_mib() -> float:
    """Peak memory of this process, not of the one it was started by, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmHWM"].split()[0]) / 2**10
    except OSError:  # macOS counts in bytes
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
