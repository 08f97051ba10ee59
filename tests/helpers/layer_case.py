"""A row of the layer table, and the kinds of input it is made of."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

BATCH = 4


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table.

    Args:
        name: the id shown by pytest.
        make: builds nothing, returns the layer or network with small settings.
        inputs: tuple (layer) or dict (network) of input kinds, see `sample`.
        outputs: same nesting as the training output; a shape, or (shape, "float32") where the dtype
            stays float32 at any precision.
        training_argument: whether `call` takes `training`.
    """

    name: str
    make: Callable[[], keras.Layer]
    inputs: tuple | dict
    outputs: object
    training_argument: bool = True

    @property
    def is_network(self):
        return isinstance(self.inputs, dict)

    def build(self, layer):
        """Creates all variables of `layer` from shapes alone and returns it."""
        shapes = {key: (None, *kind.shape) for key, kind in self._items()}
        layer.build(shapes) if self.is_network else layer.build(*shapes.values())
        for variable in layer.variables:
            if variable.path.endswith("gate"):
                variable.assign(0.5)  # at 0, its start, a gate hides what lies behind it
        return layer

    def _items(self):
        return self.inputs.items() if self.is_network else enumerate(self.inputs)

    def sample(self, batch=BATCH, seed=0):
        """Returns random NumPy inputs, nested as `inputs`."""
        rng = np.random.default_rng(seed)
        arrays = {key: kind.sample(rng, batch) for key, kind in self._items()}
        return arrays if self.is_network else tuple(arrays.values())

    def call(self, layer, inputs, training):
        """Calls `layer` the way its kind is called."""
        arguments = (inputs,) if self.is_network else inputs
        return layer(*arguments, training=training) if self.training_argument else layer(*arguments)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Values from N(0, 1)."""

    shape: tuple
    dtype = "float32"

    def sample(self, rng, batch):
        return rng.normal(size=(batch, *self.shape)).astype("float32")


@dataclasses.dataclass(frozen=True)
class Mask(Normal):
    """One-hot label map of random classes; shape (H, W, K)."""

    def sample(self, rng, batch):
        ids = rng.integers(0, self.shape[-1], (batch, *self.shape[:-1]))
        return np.eye(self.shape[-1], dtype="float32")[ids]


@dataclasses.dataclass(frozen=True)
class Ids:
    """Class ids 0..classes-1."""

    classes: int
    shape: tuple = ()
    dtype = "int32"

    def sample(self, rng, batch):
        return rng.integers(0, self.classes, (batch, *self.shape)).astype("int32")


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Any 32 bits, two numbers an image."""

    shape: tuple = (2,)
    dtype = "int32"

    def sample(self, rng, batch):
        return rng.integers(-(2**31), 2**31, (batch, *self.shape)).astype("int32")
