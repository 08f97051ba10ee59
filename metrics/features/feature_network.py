"""Networks whose features the metrics compare: a saved one, one of Keras, or any function.

Each carries what a number needs to be repeated: `name`, `weights_hash` and `resize`, and is called
with images [B, H, W, 3]: floats in [-1, 1], or uint8. Floats are first rounded to 8 bits, as they
would be saved, so that a number from memory is the number from files. Nothing is downloaded.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from metrics import image_quality

MAX_GROUPS = 10_000  # No application has 2,000; a group may lie in itself.
H5_DAMAGE = (
    OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError,
    OverflowError,
)  # fmt: skip
"""What h5py and Keras raise at damaged files of weights."""


class _Resizing:
    """What the networks here share: images are resized, then seen by `_run`."""

    _run: Callable  # of float32 pixels 0..255

    def __init__(self, name, weights_hash, size, antialias) -> None:
        self.name, self.weights_hash = name, weights_hash
        self.size, self.antialias = size, antialias
        self.resize = "none"
        if size is not None:
            how = "antialiased" if antialias else "not antialiased"
            self.resize = f"bilinear to {size[0]}x{size[1]}, half-pixel centres, {how}"

    def __call__(self, image) -> dict[str, np.ndarray]:
        pixels = tf.convert_to_tensor(saved_pixels(image))
        if self.size is not None:
            pixels = tf.image.resize(pixels, self.size, "bilinear", antialias=self.antialias)
        return as_outputs(self._run(pixels))


class FeatureFunction(_Resizing):
    """Features by any function of images, such as the feature maps of a frozen classifier.

    Args:
        function: callable of float32 [B, H, W, 3] in [-1, 1]. It returns features [B, D], or maps
            [B, h, w, C] whose mean over the image is taken, or a list of these, put side by side,
            or a dict with such "features" and perhaps "logits" [B, K].
        name: what to call it in results.
        weights_hash: SHA-256 of its weights, see `weights_hash`. Default None: of the file or
            folder `function.weights_path`.
        size, antialias: what to resize images to first, see `SavedFeatures`. Default None, True.

    Call arguments:
        image: float [B, H, W, 3] in [-1, 1], values outside are clipped; or uint8.

    Returns: dict "features" float32 [B, D], and "logits" float32 [B, K] if there are any.

    Raises:
        ValueError: neither a hash nor weights to compute it of; images of another shape, type or
            not finite; or the function returns none of the above.
    """

    configurable = True

    def __init__(self, function, *, name, weights_hash=None, size=None, antialias=True) -> None:
        super().__init__(name, weights_hash or _hash_of_weights(function), size, antialias)
        self.function = function
        self._run = lambda pixels: function(pixels / np.float32(127.5) - 1.0)


class SavedFeatures(_Resizing):
    """Features by a network in a `.keras` file or a SavedModel folder.

    Args:
        path: the file or folder. The network takes one input [B, h, w, 3] and returns what
            `FeatureFunction` allows; of a SavedModel the signature "serving_default" is called.
        name: what to call it in results.
        size: (height, width) to resize to, bilinear with half-pixel centres, or None to leave the
            images as they are. Default None.
        antialias: whether to widen the kernel when an image gets smaller. Default True.
        pixel_range: (low, high), what black and white become. Default (-1.0, 1.0).

    Call and its errors: see `FeatureFunction`.

    Raises:
        FileNotFoundError: nothing at the path. ValueError: no such network there.
    """

    configurable = True
    code_file = "path"  # a SavedModel or .keras file can hold code

    def __init__(self, path, *, name, size=None, antialias=True, pixel_range=(-1.0, 1.0)) -> None:
        super().__init__(name, weights_hash(path), size, antialias)
        self.path, self.pixel_range = str(path), tuple(pixel_range)
        low, high = self.pixel_range
        self._network, run = _load(self.path)
        self._run = lambda pixels: run(pixels / 255.0 * (high - low) + low)


class KerasApplication(_Resizing):
    """Features by a network of `keras.applications`, averaged over the image, with its own scaling.

    Its ImageNet weights are another training than the Inception graph of published distances, so
    its distances compare with each other only.

    Args:
        application: name in `keras.applications`, such as "InceptionV3".
        weights_path: local HDF5 weights without the classifier ("..._notop.h5").
        size: (height, width) to resize to, see `SavedFeatures`. Default (299, 299).
        antialias: see `SavedFeatures`. Default True.

    Call and its errors: see `FeatureFunction`. Always float32.

    Raises:
        FileNotFoundError: no such file. ValueError: an unknown application, or weights of another.
    """

    configurable = True

    def __init__(self, application, weights_path, *, size=(299, 299), antialias=True) -> None:
        super().__init__(f"Keras {application}", weights_hash(weights_path), size, antialias)
        self.application, self.weights_path = application, str(weights_path)
        network, preprocess = _application(application, self.weights_path, size)
        run = tf.function(lambda pixels: network(pixels, training=False))
        self._run = lambda pixels: run(preprocess(pixels))


def weights_hash(path) -> str:
    """SHA-256 in hexadecimal of a file; of a folder, of the names and contents of its files."""
    path, digest = Path(path), hashlib.sha256()
    if not path.exists():
        raise FileNotFoundError(
            f"Expected the weights of a network. Received: {str(path)!r}, where there is nothing. "
            "Nothing is downloaded: fetch them yourself and give their path (feature_weights=FILE)."
        )
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if path.is_dir():
            digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while part := stream.read(2**20):
                digest.update(part)
    return digest.hexdigest()


def _hash_of_weights(function) -> str:
    path = getattr(function, "weights_path", None)
    if path is None:
        raise ValueError(
            "Expected weights_hash, or a function with a weights_path. Received: "
            f"weights_hash=None, function={function!r}. Numbers must say which weights they are of."
        )
    return weights_hash(path)


def saved_pixels(image) -> np.ndarray:
    """float32 0..255, whole numbers, of images [B, H, W, 3] in [-1, 1], or in uint8."""
    image = np.asarray(image)
    if image.dtype != np.uint8 and np.issubdtype(image.dtype, np.integer):
        raise ValueError(
            f"Expected floats in [-1, 1], or uint8. Received: images of {image.dtype}."
        )
    pixels = image if image.dtype == np.uint8 else image_quality.as_saved(image)
    if pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise ValueError(f"Expected images [B, H, W, 3]. Received: shape {pixels.shape}.")
    if not np.all(np.isfinite(pixels)):
        raise ValueError(
            f"Expected finite images. Received: {np.sum(~np.isfinite(pixels))} values that are "
            "not. Look at the network that made them."
        )
    return pixels.astype(np.float32)


def as_outputs(returned) -> dict[str, np.ndarray]:
    """{"features": float32 [B, D], "logits": ...} of what a network returns."""
    returned = returned if isinstance(returned, dict) else {"features": returned}
    if "features" not in returned:
        raise ValueError(
            'Expected one output, or one named "features". Received: outputs '
            f"{sorted(returned)}. Save the network with such an output."
        )
    features = returned["features"]
    parts = features if isinstance(features, (list, tuple)) else [features]
    parts = [np.asarray(part, np.float32) for part in parts]
    if not parts or any(part.ndim not in (2, 4) for part in parts):
        raise ValueError(
            "Expected features [B, D] or maps [B, h, w, C]. Received: shapes "
            f"{[part.shape for part in parts]}."
        )
    parts = [p if p.ndim == 2 else p.mean(axis=(1, 2), dtype=np.float64) for p in parts]
    outputs = {"features": np.concatenate(parts, axis=1).astype(np.float32)}
    if "logits" in returned:
        outputs["logits"] = np.asarray(returned["logits"], np.float32)
    return outputs


def _load(path) -> tuple[Any, Callable]:
    """A network, to keep it alive, and a function of its input."""
    try:
        if path.endswith(".keras"):
            network = keras.models.load_model(path, compile=False)
            return network, tf.function(lambda pixels: network(pixels, training=False))
        network = tf.saved_model.load(path)
        signature = network.signatures["serving_default"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            'Expected a .keras file, or a SavedModel folder with a signature "serving_default". '
            f"Received: path={path!r}, which cannot be loaded: {error}"
        ) from error
    inputs = sorted(signature.structured_input_signature[1])
    if len(inputs) != 1:
        raise ValueError(
            f"Expected a network of one input, the image. Received: path={path!r} with {inputs}."
        )

    def run(pixels) -> Any:
        outputs = signature(**{inputs[0]: pixels})
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    return network, run


def _check_weights_file(path, num_values) -> None:
    """Raises ValueError for HDF5 that leads out of the file, or to more numbers than expected."""
    if not path.endswith((".h5", ".hdf5")):
        raise ValueError("its name does not end in .h5")
    found = 0
    with h5py.File(path) as file:
        groups: list[Any] = [file]
        for group in groups:  # Which grows as groups are found.
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name!r} is a link to another place")
                item = group[name]
                if isinstance(item, h5py.Dataset):
                    if item.dtype.kind != "f" or item.is_virtual or item.external:
                        raise ValueError(f"{name!r} are no numbers of this file")
                    found += item.size
                else:
                    groups.append(item)
                if found > num_values or len(groups) > MAX_GROUPS:
                    raise ValueError(f"it holds {found:,} numbers, expected {num_values:,}")


def _application(name, weights_path, size) -> tuple[keras.Model, Callable]:
    """Network without its classifier, and the scaling it was trained with."""
    make = getattr(keras.applications, name, None)
    if not name[:1].isupper() or not callable(make):
        known = sorted(n for n in dir(keras.applications) if n[:1].isupper())
        raise ValueError(f"Expected one of {known}. Received: application={name!r}")
    policy = keras.config.dtype_policy()
    # Features must not depend on the precision a run trains with.
    keras.config.set_dtype_policy("float32")
    try:
        network = make(include_top=False, weights=None, input_shape=(*size, 3), pooling="avg")
        _check_weights_file(weights_path, network.count_params())
        network.load_weights(weights_path)
    except H5_DAMAGE as error:
        raise ValueError(
            f"Expected weights of {name} without its classifier. Received: "
            f"weights_path={weights_path!r}, size={size}, which do not fit: {error}"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
    module = getattr(keras.applications, make.__module__.rsplit(".", 1)[-1])
    return network, module.preprocess_input
