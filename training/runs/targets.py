"""The classes that a config may name in `_target_`, and what they may be given."""

import importlib
import re
from typing import Any

from training.runs import plain_config

# Packages in which classes are looked up. Importing a module of ours does nothing else.
OURS = ("data.", "losses.", "metrics.", "models.", "training.")
MARKER = "configurable"
# On a class whose file can hold code: the name of the argument that names the file.
CODE_FILE = "code_file"
NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
# Plain numbers in, an optimizer, a schedule, an initializer or a layer of numbers out. None of
# them takes a function or restores an object from its saved form.
_KERAS = {
    "optimizers": "Adadelta Adagrad Adam AdamW Adamax Ftrl Lamb Lion Nadam RMSprop SGD",
    "optimizers.schedules": "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay "
    "PiecewiseConstantDecay PolynomialDecay",
    "initializers": "Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal "
    "LecunUniform Ones Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros",
    "regularizers": "L1 L2 L1L2 OrthogonalRegularizer",
    "layers": "BatchNormalization GroupNormalization LayerNormalization UnitNormalization "
    "Dropout SpatialDropout2D GaussianNoise LeakyReLU ReLU",
}
KERAS = tuple(f"keras.{part}.{name}" for part, names in _KERAS.items() for name in names.split())
# Mappings that Keras restores an object from, wherever it takes one: a dispatch of its own.
FOREIGN_KEYS = ("class_name", "registered_name")


def check(config: dict, files: tuple[str, ...] | None = None) -> None:
    """Refuses what is not an explicit choice of public classes, and keys of other dispatches.

    Args:
        config: plain values, interpolations resolved.
        files: files that can hold code which the user named on this command line; None = all, for
            a config that comes from the user himself.

    Raises:
        ValueError: a `_target_` is no class that may be configured; a key that tells Hydra or
            Keras to build something else; a file with code that was not named. The key is named.
    """
    _check(config, "", files)


def _check(node, path, files) -> None:
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check(item, plain_config.below(path, index), files)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        here = plain_config.below(path, key)
        hydra_key = re.fullmatch(r"_\w*_", str(key)) and key != "_target_"
        if hydra_key or key in FOREIGN_KEYS:
            raise ValueError(
                "Every key of a config must be an argument of its _target_; parts are built by "
                f"_target_ alone. Received: {here}={str(value)[:200]}. {plain_config.ADVICE}"
            )
        _check(value, here, files)
    if "_target_" not in node:
        return
    found = trusted(f"{path or 'config'}._target_", node["_target_"])
    argument = vars(found).get(CODE_FILE)
    file = node.get(argument) if argument else None
    if file is not None and files is not None and str(file) not in files:
        raise ValueError(
            f"Expected a file that can hold code, such as that of a network, to be named on this "
            f"command line. Received: {path}.{argument}={file}, named by the run alone. If you "
            f"trust the file, add feature_weights={file}"
        )


def trusted(path: str, target: Any) -> Any:
    """The class or function a target names, if it is one that a config may call.

    Raises:
        ValueError: it is none, or does not exist; `path` is the key to name.
    """
    refusal = ValueError(
        "Every _target_ of a config must be a class that is meant to be configured: one of ours "
        f"with `{MARKER} = True` in its body, or one of {', '.join(KERAS[:3])} and the others of "
        f"training/runs/targets.py. Received: {path}={str(target)[:200]}. {plain_config.ADVICE}"
    )
    if not isinstance(target, str) or not NAME.fullmatch(target):
        raise refusal
    module, _, name = target.rpartition(".")
    if target in KERAS:
        return getattr(importlib.import_module(module), name)
    if not target.startswith(OURS):
        raise refusal
    try:
        found = vars(importlib.import_module(module)).get(name)
    except ImportError:
        found = None
    if found is None:
        raise ValueError(
            f"Every _target_ must name a class or function that exists. Received: {path}={target}. "
            f"{plain_config.ADVICE}"
        )
    # Not inherited, and not what a module has imported: the marker stands on this very object.
    marked = getattr(found, "__dict__", {}).get(MARKER) is True
    if not marked or f"{found.__module__}.{found.__qualname__}" != target:
        raise refusal
    return found
