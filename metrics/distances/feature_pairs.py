"""What all distances between two sets of features ask of them."""

import numpy as np


def checked_pair(real, generated):
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
