"""Devices, precision and seeds: the set-up before anything is built."""

import contextlib
import json
import os
from collections.abc import Iterator

import keras
import tensorflow as tf

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("auto", "single", "mirrored", "multi_worker")


def make_strategy(
    strategy: str = "auto", *, device: str = "auto", logical_cpus: int = 1
) -> tf.distribute.Strategy:
    """The distribution strategy for the devices asked for.

    Args:
        strategy: "auto" = mirrored with several GPUs, else single; "single"; "mirrored" over all
            devices of this machine; "multi_worker" over the machines of TF_CONFIG.
        device: "auto" = GPUs where there are some, else the CPU; "cpu"; "gpu".
        logical_cpus: parts the CPU is split into, to try "mirrored" without GPUs.

    Raises:
        ValueError: an unknown value, a GPU is asked for and TensorFlow sees none, or several
            workers without TF_CONFIG.
    """
    _require_one_of("strategy", strategy, STRATEGIES)
    gpus = _gpus_for(device)
    _without_remapping()
    if not gpus and tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    if strategy == "multi_worker":
        if "TF_CONFIG" not in os.environ:
            raise ValueError(
                "strategy=multi_worker reads the cluster from TF_CONFIG. Received: no TF_CONFIG. "
                'Set it on every machine, e.g. TF_CONFIG=\'{"cluster": {"worker": ["host1:2222", '
                '"host2:2222"]}, "task": {"type": "worker", "index": 0}}\'.'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if logical_cpus > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(logical_cpus)]
        tf.config.set_logical_device_configuration(cpu, parts)
    if strategy == "mirrored" or (strategy == "auto" and len(gpus) > 1):
        devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def set_up(*, precision: str, **settings) -> tf.distribute.Strategy:
    """Sets the precision, and returns the strategy of the other settings below `devices`.

    Raises:
        ValueError: as `make_strategy` and `set_precision`.
    """
    strategy = make_strategy(**settings)
    set_precision(precision)
    return strategy


def _gpus_for(device) -> list:
    """The GPUs that "auto", "cpu" or "gpu" means; their memory is taken as it is needed."""
    _require_one_of("device", device, ("auto", "cpu", "gpu"))
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise ValueError(
            "Expected a GPU that TensorFlow can use. Received: none. Install the GPU build with "
            "`make setup GPU=1`, check the driver with nvidia-smi, or use the CPU: device=cpu "
            "(devices.device=cpu in training)."
        )
    gpus = [] if device == "cpu" else gpus
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # in use already, with the settings it has
            tf.config.experimental.set_memory_growth(gpu, True)
    return gpus


def _without_remapping() -> None:
    """Turns off a pass of Grappler that changes how activations are rounded.

    It fails on the gradient of a fused leaky ReLU, with an error in the log for each function, and
    leaves the graph as it was; without the pass steps are as fast.
    """
    tf.config.optimizer.set_experimental_options({"remapping": False})


def on(device: str) -> contextlib.AbstractContextManager:
    """A scope whose ops and variables lie where asked.

    Args:
        device: "auto" = as TensorFlow places them; "cpu"; "gpu".

    Raises:
        ValueError: an unknown value, or a GPU is asked for and TensorFlow sees none.
    """
    gpus = _gpus_for(device)
    _without_remapping()  # or a run would generate other pixels than in its training
    if device == "auto":
        return contextlib.nullcontext()
    return tf.device("GPU:0" if gpus else "CPU:0")


def is_chief(strategy: str) -> bool:
    """Whether this process is the one of its cluster that writes; alone, it always is.

    Args:
        strategy: name of the strategy, as in `make_strategy`.
    """
    if strategy != "multi_worker":
        return True
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}"))
    task = cluster.get("task", {})
    if "chief" in cluster.get("cluster", {}):
        return task.get("type") == "chief"
    return task.get("index", 0) == 0


def set_precision(precision: str) -> None:
    """Sets the dtype policy of every layer built afterwards.

    Raises:
        ValueError: an unknown precision.
    """
    _require_one_of("precision", precision, PRECISIONS)
    keras.config.set_dtype_policy(precision)


@contextlib.contextmanager
def precision_of(precision: str) -> Iterator[None]:
    """A scope with the dtype policy of `set_precision`, which ends with the scope."""
    before = keras.config.dtype_policy()
    set_precision(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _require_one_of(name, value, known) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {known}. Received: {name}={value!r}")
