"""LPIPS: a distance of two images that was fitted to how different people find them."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from metrics import image_quality
from metrics.features import feature_network, torch_files

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10


def _conv(name, x, weights, *, stride=1, padding=0) -> tf.Tensor:
    """A convolution of torchvision and its ReLU."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    around = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, around) + bias)


def _fire(name, x, weights) -> tf.Tensor:
    x = _conv(f"{name}.squeeze", x, weights)
    parts = [_conv(f"{name}.expand{k}x{k}", x, weights, padding=k // 2) for k in (1, 3)]
    return tf.concat(parts, axis=-1)


def _pool(x, weights, *, size=3, ceil=False) -> tf.Tensor:
    """Maximum with stride 2; `ceil` keeps a last window that is not full."""
    if ceil:  # TensorFlow knows "SAME", which would also add before the first
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        after = [[0, 0], [0, (height - size) % 2], [0, (width - size) % 2], [0, 0]]
        x = tf.pad(x, after)  # after a ReLU zeros never win against a pixel
    return tf.nn.max_pool2d(x, size, 2, "VALID")


def _step(function, index, **settings) -> Callable:
    return functools.partial(function, f"features.{index}", **settings)


_same = functools.partial(_step, _conv, padding=1)
_half, _ceil = functools.partial(_pool, size=2), functools.partial(_pool, ceil=True)
# Stages, by their index in torchvision's `features`; the maps after each are compared.
NETWORKS: dict[str, tuple[list[Callable], ...]] = {
    "alex": (
        [_step(_conv, 0, stride=4, padding=2)],
        [_pool, _step(_conv, 3, padding=2)],
        [_pool, _same(6)],
        [_same(8)],
        [_same(10)],
    ),
    "vgg": (
        [_same(0), _same(2)],
        [_half, _same(5), _same(7)],
        [_half, _same(10), _same(12), _same(14)],
        [_half, _same(17), _same(19), _same(21)],
        [_half, _same(24), _same(26), _same(28)],
    ),
    "squeeze": (
        [_step(_conv, 0, stride=2)],
        [_ceil, _step(_fire, 3), _step(_fire, 4)],
        [_ceil, _step(_fire, 6), _step(_fire, 7)],
        [_ceil, _step(_fire, 9)],
        [_step(_fire, 10)],
        [_step(_fire, 11)],
        [_step(_fire, 12)],
    ),
}
BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


class LPIPS(image_quality.ImageMeans):
    """Mean LPIPS, version 0.1, of images and what was generated of them. Lower is nearer.

        d(a, b) = sum over layers l of  mean over positions of  w_l . (n(a_l) - n(b_l))^2
        n(x) = x / (|x| + 1e-10), |x| over the channels; a_l: maps of (image - shift) / scale

    Images are first rounded to 8 bits, as `ImageQuality` does, so a number from memory is the
    number from files. They are not resized. Always float32.

    Args:
        backbone_path: ImageNet weights as torchvision publishes them (.pth) of alexnet, vgg16 or
            squeezenet1_1.
        heads_path: the weights w_l, version 0.1, of the same network: lpips/weights/v0.1/alex.pth,
            vgg.pth or squeeze.pth of richzhang/PerceptualSimilarity.
        network: "alex" (what its authors recommend for measuring), "vgg" or "squeeze". Default
            "alex".

    Attributes:
        name: "lpips_alex" and so on, the key of the result.
        weights_hashes: {"backbone": ..., "heads": ...}, SHA-256 of the files.

    Call arguments:
        first, second: float [B, H, W, 3] in [-1, 1], or uint8; at least 32 x 32.

    Returns: float64 [B].

    Call of `update_state(batch, generated)`: dicts with "image". `result()`: {name: float}, the
        mean over images. `reset_state()`: forgets all images.

    Raises:
        FileNotFoundError: a file is not there. ValueError: an unknown network, other weights,
            images of different shape, too small or not finite; `result` before any image.

    Source: Zhang et al., arXiv 1801.03924, section 3; richzhang/PerceptualSimilarity
        lpips/lpips.py and pretrained_networks.py.
    """

    configurable = True

    needs = frozenset({"pairs", "lpips"})

    def __init__(self, backbone_path, heads_path, *, network="alex") -> None:
        if network not in NETWORKS:
            raise ValueError(f"Expected one of {list(NETWORKS)}. Received: network={network!r}")
        self.backbone_path, self.heads_path = str(backbone_path), str(heads_path)
        self.network, self.name = network, f"lpips_{network}"
        backbone = torch_files.read_state_dict(backbone_path, "features.")
        heads = torch_files.read_state_dict(heads_path, "lin")
        try:
            self._weights = {name: _constant(value) for name, value in backbone.items()}
            self._heads = [
                tf.reshape(_constant(heads[f"lin{index}.model.1.weight"]), [-1])
                for index in range(len(NETWORKS[network]))
            ]
            self._distance(*tf.zeros([2, 1, 32, 32, 3]))
        except (KeyError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"Expected weights of torchvision's {BACKBONES[network]}, and the heads of LPIPS "
                f"0.1 for it. Received: network={network!r}, "
                f"backbone_path={self.backbone_path!r}, heads_path={self.heads_path!r}, which do "
                f"not fit: {error}"
            ) from error
        self.weights_hashes = {
            "backbone": feature_network.weights_hash(self.backbone_path),
            "heads": feature_network.weights_hash(self.heads_path),
        }
        self._compiled = tf.function(self._distance, reduce_retracing=True)
        self.reset_state()

    def __call__(self, first, second) -> np.ndarray:
        first, second = (feature_network.saved_pixels(image) for image in (first, second))
        if first.shape != second.shape or min(first.shape[1:3]) < 32:
            raise ValueError(
                "Expected images of one shape, at least 32 pixels wide and high. Received: "
                f"{first.shape} and {second.shape}."
            )
        images = (tf.constant(pixels / 127.5 - 1.0, tf.float32) for pixels in (first, second))
        return self._compiled(*images).numpy().astype(np.float64)

    def names(self, spec, count) -> list[str]:
        """The name of `result`."""
        return [self.name]

    def update_state(self, batch, generated) -> None:
        if len(batch["image"]):
            self.add(self.name, self(batch["image"], generated["image"]))

    def _distance(self, first, second) -> tf.Tensor:
        maps = [(image - SHIFT) / SCALE for image in (first, second)]
        total = 0.0
        for stage, head in zip(NETWORKS[self.network], self._heads, strict=True):
            for step in stage:
                maps = [step(x, weights=self._weights) for x in maps]
            a, b = (x / (tf.norm(x, axis=-1, keepdims=True) + EPSILON) for x in maps)
            weighted = tf.linalg.matvec(tf.square(a - b), head[None, None])
            total += tf.reduce_mean(weighted, axis=(1, 2))
        return total


def _constant(values) -> tf.Tensor:
    """float32; a kernel [out, in, height, width] as TensorFlow has it."""
    values = np.asarray(values, np.float32)
    return tf.constant(values.transpose(2, 3, 1, 0) if values.ndim == 4 else values)
