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
        self._real += small(batch["image"])
        self._generated += small(generated["image"])

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


class Diversity(ClassDiversity):
    """`ClassDiversity` with all images as one class: how much those of all conditions differ.

    Call of `update_state(batch, generated)`: "image" of both.
    `result()`: dict of one float, "diversity".
    """

    configurable = True

    needs = frozenset({"features"})

    def update_state(self, batch, generated) -> None:
        same = np.zeros(len(batch["image"]), int)
        super().update_state({"image": batch["image"], "label": same}, generated)

    def result(self) -> dict[str, float]:
        return {"diversity": super().result()["class_diversity"]}


def small(images) -> list[np.ndarray]:
    """Vectors of images averaged down; pixels beyond a multiple of the factor do not count."""
    images = np.asarray(images, np.float32)
    factors = [max(1, size // SIDE) for size in images.shape[1:3]]
    rows, columns = (size // f for size, f in zip(images.shape[1:3], factors, strict=True))
    images = images[:, : rows * factors[0], : columns * factors[1]]
    parts = images.reshape(len(images), rows, factors[0], columns, factors[1], -1)
    return list(parts.mean(axis=(2, 4)).reshape(len(images), -1))


def _spread(vectors) -> float:
    """Mean distance of all pairs of different items."""
    vectors = np.stack(vectors)
    return float(distances(vectors, vectors)[np.triu_indices(len(vectors), 1)].mean())


def distances(these, those) -> np.ndarray:
    """float64 [N, M], root mean squares of the differences of vectors [N, D] and [M, D]."""
    these, those = (np.asarray(x, np.float64) - those[0] for x in (these, those))  # equal: exact 0
    squares = (np.mean(x**2, axis=1) for x in (these, those))
    products = these @ those.T / these.shape[1]
    return np.sqrt(np.maximum(np.add.outer(*squares) - 2.0 * products, 0.0))
