"""Holes filled without learning: what a trained inpainter must be better than."""

import numpy as np

TOLERANCE = 1e-5


def mean_colour(image, hole) -> np.ndarray:
    """Missing pixels take the mean of the known pixels of their image.

    Args:
        image: float [B, H, W, C]; its values in the hole are not read.
        hole: [B, H, W, 1], 1 = missing, 0 = known.

    Returns:
        float64 [B, H, W, C] with the known pixels as they are.

    Raises:
        ValueError: an image without a known pixel.
    """
    image, missing = _checked(image, hole)
    known = ~missing[..., None]
    total = np.sum(image, axis=(1, 2), keepdims=True, where=known)
    count = np.sum(known, axis=(1, 2), keepdims=True)
    return np.where(known, image, total / count)


def nearest_known(image, hole) -> np.ndarray:
    """Missing pixels take the colour of the known pixel at the least Euclidean distance.

    In two passes: the nearest known pixel of the own column, then the best of all columns. Among
    several equally near pixels the choice is always the same.

    Arguments, returns and raises: as `mean_colour`.

    Source: Felzenszwalb and Huttenlocher, Theory of Computing 8, 2012 (distances by axes).
    """
    image, missing = _checked(image, hole)
    height, width = missing.shape[1:]
    rows = _nearest_known_row(missing)
    # A column without known pixels is farther away than anything in the image.
    steps = np.where(rows < 0, 2 * (height + width), np.arange(height)[:, None] - rows)
    along = np.square(steps.astype(np.int64))
    columns = np.broadcast_to(np.arange(width), missing.shape)
    best, best_column = along.copy(), columns.copy()
    for offset in range(1, width):
        if offset**2 >= best.max():
            break
        for here, there in (
            (np.s_[..., offset:], np.s_[..., :-offset]),
            (np.s_[..., :-offset], np.s_[..., offset:]),
        ):
            distance = along[there] + offset**2
            nearer = distance < best[here]
            best[here][nearer] = distance[nearer]
            best_column[here][nearer] = columns[there][nearer]
    item, row = np.arange(len(image))[:, None, None], np.arange(height)[:, None]
    return image[item, rows[item, row, best_column], best_column]


def harmonic(image, hole) -> np.ndarray:
    """Missing pixels solve Laplace's equation: each is the mean of its neighbours in the image.

    Of the four neighbours those beyond the edge do not count. Known pixels are the boundary
    values. Solved by conjugate gradients for all missing pixels at once, until no pixel is off the
    mean of its neighbours by more than TOLERANCE.

    Arguments, returns and raises: as `mean_colour`.

    Source: Hestenes and Stiefel, J. Research NBS 49, 1952 (conjugate gradients).
    """
    filled, (_, missing) = mean_colour(image, hole), _checked(image, hole)
    neighbours, inside = _neighbours(missing)
    count = inside.sum(axis=0)[:, None]

    def laplacian(values) -> np.ndarray:
        """Neighbours times value less their sum; those that are known count as 0."""
        padded = np.concatenate([values, np.zeros_like(values[:1])])
        return count * values - sum(np.take(padded, side, axis=0) for side in neighbours)

    values = filled[missing]
    residual = -_laplacian_of_images(filled)[missing]
    direction, squares = residual, np.sum(residual**2, axis=0)
    while np.max(np.abs(residual), initial=0.0) > TOLERANCE:
        moved = laplacian(direction)
        energy = np.sum(direction * moved, axis=0)
        length = np.divide(squares, energy, out=np.zeros_like(squares), where=energy > 0)
        values = values + length * direction
        residual = residual - length * moved
        before, squares = squares, np.sum(residual**2, axis=0)
        turn = np.divide(squares, before, out=np.zeros_like(squares), where=before > 0)
        direction = residual + turn * direction
    filled[missing] = values
    return filled


def _checked(image, hole) -> tuple[np.ndarray, np.ndarray]:
    """(float64 image, bool [B, H, W] of the missing pixels)."""
    image, missing = np.asarray(image, np.float64), np.asarray(hole)[..., 0] > 0.5
    if missing.all(axis=(1, 2)).any():
        raise ValueError(
            "Expected known pixels in every image to fill its hole from. Received: a hole that "
            "covers all of an image. 1 = missing, 0 = known."
        )
    return image, missing


def _nearest_known_row(missing) -> np.ndarray:
    """int [B, H, W]: the row of the nearest known pixel in the same column; -1 = there is none."""
    height = missing.shape[1]
    row = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(missing, -1, row), axis=1)
    below = np.minimum.accumulate(np.where(missing, height, row)[:, ::-1], axis=1)[:, ::-1]
    no_above, no_below = above < 0, below == height
    nearest = np.where(no_above | (~no_below & (below - row < row - above)), below, above)
    return np.where(no_above & no_below, -1, nearest)


def _neighbours(missing) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the four neighbours of each missing pixel, and whether they are in the image.

    Missing pixels are numbered in order; all others have the number behind the last.
    """
    last = np.count_nonzero(missing)
    numbers = np.full(missing.shape, last)
    numbers[missing] = np.arange(last)
    numbers = np.pad(numbers, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    item, row, column = np.nonzero(missing)
    sides = ((-1, 0), (1, 0), (0, -1), (0, 1))
    found = np.stack([numbers[item, row + 1 + y, column + 1 + x] for y, x in sides])
    return np.where(found < 0, last, found), found >= 0


def _laplacian_of_images(images) -> np.ndarray:
    """Sum over the neighbours inside the image of a pixel less its neighbour."""
    total = np.zeros_like(images)
    for axis in (1, 2):
        step = np.diff(images, axis=axis)
        before = [(0, 0)] * 4
        after = [(0, 0)] * 4
        before[axis], after[axis] = (1, 0), (0, 1)
        total += np.pad(step, before) - np.pad(step, after)
    return total
