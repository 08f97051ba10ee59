"""Values of one network for another: by name and shape, and class by class."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from training.tasks import averaging

# Entries of the batch whose classes a network may depend on: the input with a channel for each, or
# none, and the setting that counts them, of the network or of a part of it.
CLASSES = {"label_map": ("mask", "label_map_classes"), "label": (None, "num_classes")}


@dataclass(frozen=True)
class ClassMap:
    """Which classes of one set are which of another.

    Attributes:
        new: names of the classes of the network that takes values.
        old: those of the network that gives them.
        sources: for each of `new` the id among `old`, or None.
    """

    new: tuple[str, ...]
    old: tuple[str, ...]
    sources: tuple[int | None, ...]

    @property
    def same(self) -> bool:
        """Whether both sets are equal, order included."""
        return len(self.old) == len(self.new) and self.sources == tuple(range(len(self.new)))


@dataclass
class Report:
    """Names of variables: those taken whole and class by class, those new, those left behind."""

    whole: list[str] = field(default_factory=list)
    by_class: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def transfer(
    new: keras.Model, old: keras.Model, shapes: dict, class_maps: Mapping[str, ClassMap]
) -> Report:
    """Puts into a network what fits of another one: names and shapes agree but for the classes.

    Along an axis that depends on classes, those that are mapped are copied, and what comes after
    the classes, such as the channels of the image in the first kernel of a discriminator. A class
    without a source keeps its initial values.

    Args:
        new: a built network, whose variables change.
        old: a built network.
        shapes: of the inputs of `new`.
        class_maps: entry of CLASSES -> ClassMap, where both have such classes.
    """
    axes = {
        entry: class_axes(new, shapes, entry)
        for entry, classes in class_maps.items()
        if not classes.same
    }
    targets, sources, report = variables_by_name(new), variables_by_name(old), Report()
    for name, variable in targets.items():
        along = {axes[e][name]: class_maps[e] for e in axes if name in axes[e]}
        places = name in sources and _places(variable.shape, sources[name].shape, along)
        if not places:
            report.new.append(name)
            continue
        value = np.array(variable.numpy())  # an array, for a scalar as well
        value[np.ix_(*places[0])] = sources[name].numpy()[np.ix_(*places[1])]
        variable.assign(value)
        (report.by_class if along else report.whole).append(name)
    taken = {*report.whole, *report.by_class}
    report.dropped = [name for name in sources if name not in taken]
    return report


def _places(new_shape, old_shape, along) -> tuple | None:
    """Indices on each axis, of the new and of the old variable; None = they do not fit."""
    if len(new_shape) != len(old_shape):
        return None
    new_places: list[Sequence[int]] = []
    old_places: list[Sequence[int]] = []
    for axis, (new, old) in enumerate(zip(new_shape, old_shape, strict=True)):
        classes = along.get(axis, ClassMap((), (), ()))
        after = new - len(classes.new)
        if after < 0 or after != old - len(classes.old):
            return None
        pairs = [(i, source) for i, source in enumerate(classes.sources) if source is not None]
        pairs += [(len(classes.new) + i, len(classes.old) + i) for i in range(after)]
        new_places.append([i for i, _ in pairs])
        old_places.append([i for _, i in pairs])
    return new_places, old_places


def class_axes(network: keras.Model, shapes: dict, entry: str) -> dict[str, int]:
    """Name of a variable -> its axis that depends on the number of classes of an entry.

    The same network for one more class tells them: nothing of it is allocated.
    """
    channels, setting = CLASSES[entry]
    shapes = {
        key: (*shape[:-1], shape[-1] + 1) if key == channels else shape
        for key, shape in shapes.items()
    }
    with keras.StatelessScope(initialize_variables=False):
        config = _one_more(averaging.without_builds(network.get_config()), setting)
        wider = type(network).from_config(config)
        wider.build(shapes)
    of_one_more, axes = variables_by_name(wider), {}
    for name, variable in variables_by_name(network).items():
        grown = zip(variable.shape, of_one_more[name].shape, strict=True)
        found = [axis for axis, (size, other) in enumerate(grown) if other == size + 1]
        if found:
            axes[name] = found[0]
    return axes


def _one_more(config, setting) -> Any:
    """A config with one more in every setting of that name; 0 and null mean none."""
    if isinstance(config, dict):
        return {
            key: value + 1 if key == setting and value else _one_more(value, setting)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_one_more(value, setting) for value in config)
    return config


def variables_by_name(network: keras.Model) -> dict[str, Any]:
    """Variables of a built network by "block_0/conv_1/kernel": see `layer_names`."""
    names = layer_names(network)
    found = {}
    for variable in network.variables:
        layer, _, own = variable.path.partition(":")[0].rpartition("/")
        found[f"{names.get(layer, layer)}/{own}".lstrip("/")] = variable
    return found


def layer_names(network: keras.Model) -> dict[str, str]:
    """Path of each built layer -> its path below the network, alike in every process.

    A layer without a name of its own has one that counts those of its class in a whole process:
    these are counted anew below their parent.
    """
    layers = {layer.path: layer for layer in network._flatten_layers() if layer.path}
    by_order = sorted(layers, key=lambda path: (path.count("/"), *_counted(path)))
    names, counts = {network.path: ""}, dict[str, int]()
    for path in by_order:
        parent, _, own = path.rpartition("/")
        if path == network.path or parent not in names:
            continue
        base, _ = _counted(own)
        if base == _automatic(type(layers[path])):
            key = f"{parent}/{base}"
            counts[key] = counts.get(key, -1) + 1
            own = f"{base}_{counts[key]}"
        names[path] = f"{names[parent]}/{own}".lstrip("/")
    return names


def _counted(name) -> tuple[str, int]:
    """("spade", 3) of "spade_3", ("spade", 0) of "spade"."""
    base, _, number = name.rpartition("_")
    return (base, int(number)) if number.isdecimal() else (name, 0)


def _automatic(layer_class) -> str:
    """The name that Keras gives a layer of a class, without the number."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", layer_class.__name__)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
