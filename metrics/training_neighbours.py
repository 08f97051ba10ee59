"""How near generated images are to training photographs, beside those to each other."""

import numpy as np

from metrics import class_diversity


class TrainingNeighbours:
    """Distance to the nearest training photograph, beside that among training photographs.

        ratio = median over samples x of min_i |x - t_i|
            / median over i of min_j |t_i - t_j|, j other than i

    Distances are those of `class_diversity`, of images averaged down; mirrored photographs count
    as well, and a photograph is no neighbour of its own mirror image. About 1 = new images, 0 =
    copies.

    Call of `remember(batch)`: "image" float [B, H, W, 3], training photographs, once.
    Call of `update_state(batch, generated)`: "image" of `generated`.
    `result()`: dict of one float, "nearest_training_ratio"; NaN without samples or two photographs.
    `reset_state()`: forgets the samples.

    Args:
        num_training: photographs to compare with, at most. Default 1000.
    """

    configurable = True

    needs = frozenset({"training"})

    def __init__(self, num_training: int = 1000) -> None:
        self.num_training = num_training
        self._training: list[np.ndarray] = []
        self._mirrored: list[np.ndarray] = []
        self._between: float | None = None
        self.reset_state()

    def remember(self, batch) -> None:
        self._training += class_diversity.small(batch["image"])
        self._mirrored += class_diversity.small(batch["image"][:, :, ::-1])
        self._between = None

    @property
    def remembered(self) -> int:
        """Training photographs shown so far."""
        return len(self._training)

    def reset_state(self) -> None:
        self._samples: list[np.ndarray] = []

    def update_state(self, batch, generated) -> None:
        self._samples += class_diversity.small(generated["image"])

    def result(self) -> dict[str, float]:
        if not self._samples or self.remembered < 2:
            return {"nearest_training_ratio": float("nan")}
        training = np.stack(self._training), np.stack(self._mirrored)
        if self._between is None:
            among = [class_diversity.distances(training[0], others) for others in training]
            for distances in among:
                np.fill_diagonal(distances, np.inf)
            self._between = float(np.median(np.minimum(*among).min(axis=1)))
        to = np.minimum(*(class_diversity.distances(np.stack(self._samples), x) for x in training))
        nearest = float(np.median(to.min(axis=1)))
        return {
            "nearest_training_ratio": nearest / self._between if self._between else float("nan")
        }
