"""The base of metrics that compare two sets of features, and checks of the sets."""

import numpy as np


class FeatureMetric:
    """Base of the metrics that compare the features of real and of generated images.

    Call of `update_state(batch, generated)`, in any number of parts:
        batch: "features" float [N, D] of real images, "label" int [N] if there are any.
        generated: "features" [M, D], "logits" [M, K] and "label" [M] if there are any.
    `reset_state()`: forgets all.
    """

    needs = frozenset({"features"})

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        self._parts = []

    def update_state(self, batch, generated) -> None:
        self._parts.append((batch, generated))

    def sets(self) -> list[dict[str, np.ndarray]]:
        """[real, generated]: all arrays there are, by name."""
        return [
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            if len(parts) > 1
            else parts[0]
            for parts in zip(*self._parts, strict=True)
        ]

    def features(self) -> list[np.ndarray]:
        """[real, generated] features."""
        return [arrays["features"] for arrays in self.sets()]


def checked_pair(real, generated) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [N, D] and [M, D].

    Raises:
        ValueError: shapes that do not fit, fewer than two images, values that are not finite.
    """
    real, generated = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    shapes = real.shape, generated.shape
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"Expected features [N, D] and [M, D]. Received: shapes {shapes}.")
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"Expected at least two images of each. Received: shapes {shapes}.")
    if not (np.all(np.isfinite(real)) and np.all(np.isfinite(generated))):
        raise ValueError("Expected finite features. Received: some values that are not.")
    return real, generated
