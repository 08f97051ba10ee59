"""What all commands ask of a kind of task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DEFAULT_NUM_IMAGES = 1000  # of an evaluation, where the data do not say how many


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


class Kind:
    """One kind of task. A config names it at `task.kind`; nothing else tells kinds apart."""

    name: str = "generation"
    """As a user reads it: "semantic"."""

    condition: str | None = None
    """Batch entry that the network is asked by; None = noise alone."""

    makes_images: bool = True
    """Whether the outputs have an "image"; else they have a "prediction" of classes."""

    provides: frozenset[str] = frozenset()
    """What metrics may need of it: "features" (sets of images), "pairs" (each image beside its
    original), "hole", "label_map" and "label" (predicted ones beside true ones)."""

    judge: Judge | None = None
    """Who predicts "label_map" or "label" of generated images."""

    # --- Evaluation --------------------------------------------------------------------------

    network_name: str = "generator"
    """What its network is called: "segmenter", "classifier"."""

    measured_stages: dict[str, Callable] = {}
    """Earlier images that are measured beside the last: title -> function of (batch, generated)."""

    def evaluation_inputs(
        self, num_images: int | None, batch_size: int, image_class_names: Sequence[str]
    ) -> list[dict[str, np.ndarray]] | None:
        """What to generate from in an evaluation, where that is not the data.

        Args:
            num_images: how many; None = DEFAULT_NUM_IMAGES.
            batch_size: items of each batch.
            image_class_names: classes of whole images by id.

        Returns:
            Batches of `condition` and "valid" (False = padding of the last batch); None = the
            batches of the data.

        Raises:
            ValueError: too few images.
        """
        if self.condition is not None:
            return None
        return [{"valid": valid} for _, valid in numbered(num_images, batch_size)]


def numbered(num_images: int | None, batch_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(item numbers int32 [B], valid bool [B]) of batches of one size, see `evaluation_inputs`."""
    count = num_images or DEFAULT_NUM_IMAGES
    numbers = np.arange(-(-count // batch_size) * batch_size, dtype=np.int32)
    return [(part, part < count) for part in numbers.reshape(-1, batch_size)]
