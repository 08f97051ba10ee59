"""A metric as anybody may add one: this class, and a line of YAML that names it."""

import numpy as np


class Brightness:
    """Mean of all pixels that were generated; and how many features they have."""

    needs = frozenset({"features", "label"})

    def reset_state(self):
        self._real, self._made, self._labels = [], [], []

    def update_state(self, batch, generated):
        self._real.append(batch["features"])
        self._made.append(generated["features"])
        self._labels.append(generated["label"])

    def result(self):
        labels = np.concatenate(self._labels)
        return {
            "feature_shift": float(np.mean(np.concatenate(self._made)) - np.mean(self._real)),
            "labels_of_first_class": float(np.sum(labels == 0)),
        }


class MeanColour:
    """Mean value of the pixels of all images that were generated, from paired ones."""

    needs = frozenset({"pairs"})

    def reset_state(self):
        self._values = []

    def update_state(self, batch, generated):
        self._values += np.mean(generated["image"], axis=(1, 2, 3)).tolist()

    def result(self):
        return {"mean_colour": float(np.mean(self._values))}
