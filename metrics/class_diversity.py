"""How much images of one class differ, beside how much real ones do: small where they collapse."""

import numpy as np

SIDE = 16  # pixels; distances are of images averaged down to about this size


class ClassDiversity:
    """Mean distance of generated images of a class over that of real images of the class.

        diversity of a class = mean |x_i - x_j| over pairs of generated / the same of real images

    The distance is the root mean square of pixels after averaging down to 16 a side: layout and
    colour count, fine noise does not. 1 = as varied as real images, 0 = one image for all noise.

    Call of `update_state(batch, generated)`:
        batch: "label" int [B]; "image" float [B, H, W, 3].
        generated: "image" float [B, H, W, 3], of the same classes.
    `result()`: dict of floats "class_diversity", mean over the classes with two images or more, and
        "class_diversity_min", that of the class that varies least; NaN without any such class.
    `reset_state()`: forgets all images.
    """

    configurable = True

    needs = frozenset({"label"})

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        self._labels, self._real, self._generated = [], [], []

    def update_state(self, batch, generated) -> None:
        self._labels += np.ravel(batch["label"]).tolist()
        self._real += _small(batch["image"])
        self._generated += _small(generated["image"])

    def result(self) -> dict[str, float]:
        labels, ratios = np.array(self._labels), []
        for label in np.unique(labels):
            places = np.flatnonzero(labels == label)
            if len(places) > 1:
                real = _spread([self._real[place] for place in places])
                generated = _spread([self._generated[place] for place in places])
                ratios += [generated / real] if real > 0.0 else []
        if not ratios:
            return dict.fromkeys(("class_diversity", "class_diversity_min"), float("nan"))
        return {
            "class_diversity": float(np.mean(ratios)),
            "class_diversity_min": float(np.min(ratios)),
        }


def _small(images) -> list[np.ndarray]:
    """Vectors of images averaged down; pixels beyond a multiple of the factor do not count."""
    images = np.asarray(images, np.float32)
    factors = [max(1, size // SIDE) for size in images.shape[1:3]]
    rows, columns = (size // f for size, f in zip(images.shape[1:3], factors, strict=True))
    images = images[:, : rows * factors[0], : columns * factors[1]]
    parts = images.reshape(len(images), rows, factors[0], columns, factors[1], -1)
    return list(parts.mean(axis=(2, 4)).reshape(len(images), -1))


def _spread(vectors) -> float:
    """Mean distance of all pairs of different items."""
    vectors = np.stack(vectors).astype(np.float64)
    vectors -= vectors[0]  # equal ones become exactly 0
    squares = np.mean(vectors**2, axis=1)
    products = vectors @ vectors.T / vectors.shape[1]
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2.0 * products, 0.0))
    return float(distances[np.triu_indices(len(vectors), 1)].mean())
