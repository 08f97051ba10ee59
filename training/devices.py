"""Devices, precision and seeds: the set-up before anything is built."""

import keras
import tensorflow as tf

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("auto", "single", "mirrored", "multi_worker")


def make_strategy(strategy: str = "auto", *, device: str = "auto") -> tf.distribute.Strategy:
    """The distribution strategy for the devices asked for.

    Args:
        strategy: "auto" = mirrored with several devices, else single; "single"; "mirrored" over
            all devices of this machine; "multi_worker" over the machines of TF_CONFIG.
        device: "auto" = GPUs where there are some, else the CPU; "cpu"; "gpu".

    Raises:
        ValueError: an unknown value, or a GPU is asked for and TensorFlow sees none.
    """
    _require_one_of("strategy", strategy, STRATEGIES)
    _require_one_of("device", device, ("auto", "cpu", "gpu"))
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise ValueError(
            "Expected a GPU that TensorFlow can use. Received: none. Install the GPU build with "
            "`make setup GPU=1`, check the driver with nvidia-smi, or train with "
            "devices.device=cpu."
        )
    use_gpu = bool(gpus) and device != "cpu"
    if use_gpu:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    elif gpus:
        tf.config.set_visible_devices([], "GPU")
    if strategy == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    names = [d.name for d in tf.config.list_logical_devices("GPU" if use_gpu else "CPU")]
    if strategy == "mirrored" or (strategy == "auto" and len(names) > 1):
        return tf.distribute.MirroredStrategy(names)
    return tf.distribute.get_strategy()


def set_precision(precision: str) -> None:
    """Sets the dtype policy of every layer built afterwards.

    Raises:
        ValueError: an unknown precision.
    """
    _require_one_of("precision", precision, PRECISIONS)
    keras.config.set_dtype_policy(precision)


def _require_one_of(name, value, known):
    if value not in known:
        raise ValueError(f"{name} must be one of {known}. Received: {name}={value!r}")
