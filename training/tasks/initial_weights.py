"""Initial weights of built networks, drawn anew by one initialiser for all."""

from collections.abc import Sequence
from typing import Any

import keras


def draw(networks: Sequence[keras.Model], initializer: Any) -> None:
    """Draws the kernels of all convolutions and dense layers that have no spectral norm.

    Those with it stay as they are: their size is divided out, and NVlabs/SPADE, which initialises
    networks that lie on a GPU already, reaches a copy of these weights that is not used.

    Args:
        networks: built.
        initializer: Keras initialiser, of which each layer has a copy of its own; None = all
            weights stay.
    """
    for network in networks if initializer is not None else ():
        for layer in network._flatten_layers():
            spectral = hasattr(layer, "iterated_variables")
            if hasattr(layer, "kernel") and not spectral:
                start = initializer.clone()  # itself, it gives equal values for equal shapes
                layer.kernel.assign(start(layer.kernel.shape, layer.kernel.dtype))
