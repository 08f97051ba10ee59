"""What all commands ask of a kind of task."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Judge:
    """A trained run that tells how good generated images are by what it predicts of them.

    Attributes:
        kind: name of the kind of that run.
        target: batch entry that it predicts, which is what the images were generated from.
        experiment: one that trains such a run.
    """

    kind: str
    target: str
    experiment: str


class Kind(Protocol):
    """One kind of task. A config names it at `task.kind`; nothing else tells kinds apart."""

    name: str
    """As a user reads it: "semantic"."""

    condition: str | None
    """Batch entry that the network is asked by; None = noise alone."""

    makes_images: bool
    """Whether the outputs have an "image"; else they have a "prediction" of classes."""

    provides: frozenset[str]
    """What metrics may need of it: "features" (sets of images), "pairs" (each image beside its
    original), "hole", "label_map" and "label" (predicted ones beside true ones)."""

    judge: Judge | None
    """Who predicts "label_map" or "label" of generated images."""
