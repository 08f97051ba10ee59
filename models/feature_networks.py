"""Frozen ImageNet classifiers that turn images into feature maps, with weights from a local file.

Nothing is downloaded. Both networks take images in [-1, 1] and do their own preprocessing.
"""

import itertools
from pathlib import Path
from typing import Any

import h5py
import keras
from keras import layers, ops

from models.layers import settings

CAFFE_MEANS = (103.939, 116.779, 123.68)  # blue, green, red
VGG19_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
SQUEEZENET_FIRES = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}  # squeeze channels
VGG19_FILE = (
    "the VGG19 ImageNet weights as Keras publishes them "
    "(vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5, or the file with the classifier)"
)
SQUEEZENET_FILE = (
    "SqueezeNet v1.1 ImageNet weights in the Keras HDF5 layout of DeepCognition/keras-squeezenet "
    "(squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5, or the file with the classifier)"
)
MAX_NAMES = 4  # In a group of a layer, and one in another: kernel and bias.
DAMAGE = (
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError,
    OverflowError,
)  # fmt: skip
"""What h5py raises at damaged files."""
VGG19_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))  # relu1_1 to relu5_1


class _FeatureNetwork(settings.FromSettings, keras.Model):
    """Shared half of the two networks: settings, and the frozen part as `backbone`."""

    def __init__(self, network, weights_path, feature_layers, expected, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.weights_path = str(weights_path)
        self.feature_layers = tuple(feature_layers)
        inputs, outputs = network
        self.backbone = _frozen(inputs, outputs, self.feature_layers, self.weights_path, expected)
        self.built = True

    def call(self, image) -> list[keras.KerasTensor]:
        maps = self.backbone(caffe_input(image), training=False)
        return [maps[name] for name in self.feature_layers]


@keras.saving.register_keras_serializable(package="tessera")
class VGG19Features(_FeatureNetwork):
    """Feature maps of VGG19 after the ReLU of some of its convolutions.

    The input is scaled to 0..255, turned to BGR, and the ImageNet channel means are subtracted, as
    the weights expect. Always float32, whatever the precision policy; never trained.

    Args:
        weights_path: local HDF5 file, see `VGG19_FILE`.
        feature_layers: names of the layers to return, in any order. Default block1_conv1 to
            block5_conv1, which the literature calls relu1_1 to relu5_1.

    Call arguments:
        image: float [B,H,W,3] in [-1, 1], H and W at least 16.

    Returns: list of float32 [B,h,w,c], in the order of `feature_layers`.

    Raises:
        FileNotFoundError: no such file. ValueError: another kind of file, or an unknown layer.

    Source: Simonyan, Zisserman, arXiv 1409.1556; keras-team/keras applications/vgg19.py.
    """

    configurable = True

    def __init__(
        self,
        weights_path,
        feature_layers=VGG19_LAYERS,
        **kwargs,
    ) -> None:
        super().__init__(_vgg19(), weights_path, feature_layers, VGG19_FILE, **kwargs)


@keras.saving.register_keras_serializable(package="tessera")
class SqueezeNetFeatures(_FeatureNetwork):
    """Feature maps of SqueezeNet v1.1: a tenth of VGG19's cost and 3 MB of weights.

    Preprocessing and precision as `VGG19Features`.

    Args:
        weights_path: local HDF5 file, see `SQUEEZENET_FILE`.
        feature_layers: names of the layers to return: conv1 (after its ReLU), fire2 to fire9.
            Default conv1, fire3, fire5, fire7, fire9.

    Call arguments:
        image: float [B,H,W,3] in [-1, 1], H and W at least 32.

    Returns: list of float32 [B,h,w,c], in the order of `feature_layers`.

    Raises:
        FileNotFoundError: no such file. ValueError: another kind of file, or an unknown layer.

    Source: Iandola et al., arXiv 1602.07360, version 1.1; DeepCognition/keras-squeezenet.
    """

    configurable = True

    def __init__(
        self, weights_path, feature_layers=("conv1", "fire3", "fire5", "fire7", "fire9"), **kwargs
    ) -> None:
        super().__init__(_squeezenet(), weights_path, feature_layers, SQUEEZENET_FILE, **kwargs)


def caffe_input(image) -> keras.KerasTensor:
    """RGB in [-1, 1] to BGR in 0..255 minus the ImageNet means; float32."""
    image = (ops.cast(image, "float32") + 1.0) * 127.5
    return ops.flip(image, axis=-1) - ops.convert_to_tensor(CAFFE_MEANS, "float32")


def _convolution(filters, size, name, **options) -> layers.Layer:
    options = {"padding": "same", "activation": "relu", "dtype": "float32", **options}
    return layers.Conv2D(filters, size, name=name, **options)


def _vgg19() -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
    """Input and {name: output} of the convolutional part."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    x, outputs = inputs, {}
    for block, (filters, count) in enumerate(VGG19_BLOCKS, start=1):
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            x = outputs[name] = _convolution(filters, 3, name)(x)
        x = layers.MaxPooling2D(2, 2, dtype="float32")(x)
    return inputs, outputs


def _squeezenet() -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
    """Input and {name: output}; "fireN/expand1x1" and the like are the convolutions' names."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    x = _convolution(64, 3, "conv1", strides=2, padding="valid")(inputs)
    outputs = {"conv1": x}
    for fire, squeeze in SQUEEZENET_FIRES.items():
        if fire in (2, 4, 6):
            x = layers.MaxPooling2D(3, 2, dtype="float32")(x)
        # Keras does not take a slash in a layer's name; the file has one there.
        x = _convolution(squeeze, 1, f"fire{fire}_squeeze1x1")(x)
        branches = [_convolution(4 * squeeze, k, f"fire{fire}_expand{k}x{k}")(x) for k in (1, 3)]
        x = outputs[f"fire{fire}"] = layers.Concatenate(dtype="float32")(branches)
    return inputs, outputs


def _frozen(inputs, outputs, chosen, weights_path, expected) -> keras.Model:
    """The part of a network up to the chosen layers, with its weights read and frozen."""
    unknown = [name for name in chosen if name not in outputs]
    if unknown or not chosen:
        raise ValueError(
            f"Expected layers out of {list(outputs)}. Received: feature_layers={list(chosen)}, "
            f"of which {unknown} are unknown. Name at least one of these."
        )
    # By name: of a list of one output Keras would return the output itself.
    network = keras.Model(inputs, {name: outputs[name] for name in chosen}, dtype="float32")
    if not Path(weights_path).is_file():
        raise FileNotFoundError(
            f"Expected {expected}. Received: weights_path={weights_path!r}, where there is no "
            "file. Nothing is downloaded: fetch the file yourself and give its path."
        )
    try:
        with h5py.File(weights_path) as file:
            _read_weights(network, _inside(file, "model_weights") or file)
    except DAMAGE as error:
        raise ValueError(
            f"Expected {expected}. Received: weights_path={weights_path!r}, which does not fit: "
            f"{error}. Nothing is downloaded: fetch the right file yourself and give its path."
        ) from error
    network.trainable = False
    return network


def _read_weights(network, file) -> None:
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
