"""All distances between real and generated images that share one pass of a feature network."""

import numpy as np

from metrics.distances import frechet, inception_score, kernel_distance, neighbourhoods
from metrics.features import feature_store, inception

METRICS = ("kid", "fid", "inception_score", "intra_fid", "precision_recall", "density_coverage")
NEIGHBOURS = 5  # the most that any of them looks at


class FeatureDistances:
    """What a feature network sees of generated images, measured against real ones.

    Args:
        network: callable of images -> {"features": [B, D], "logits" [B, K] if there are any}, with
            `name`; such as metrics.features.inception.Inception2015. It runs once on each image.
        metrics: names out of METRICS. None (default) = those that the images allow:
            "inception_score" needs logits, "precision_recall" and "density_coverage" more than 5
            images, "intra_fid" `by_class` and two images of a class on either side.
        real: {"features", "label" if there are any} of the real images. None (default) = those of
            the "image" (and "label") of the batches.
        by_class: bool, whether images were asked for by the "label" of their batch. Default False.
        class_names: names of the labels, for results of "intra_fid". Default: their numbers.
        seed: int, of the subsets of "kid". Default 0.

    Call of `update_state(batch, generated)`:
        generated: "image" [B, H, W, 3] in [-1, 1] or uint8.
        batch: "label" int [B] if there are any; without `real` also "image".
    `result()`: {key: float}. Only the graph of 2015 gives "fid", "kid" and "inception_score"; of
        other networks the keys carry the name, see `inception.metric_name`. "_std" is over the
        subsets of KID (where they differ), and over the splits of the score.
    `reset_state()`: forgets all but `real`.

    Raises:
        ValueError: an unknown metric, one that the images do not allow, or too few images.
        KeyError: nothing generated, or no real images.
    """

    def __init__(
        self, network, metrics=None, *, real=None, by_class=False, class_names=None, seed=0
    ):
        unknown = [name for name in metrics or () if name not in METRICS]
        if unknown:
            raise ValueError(f"Expected metrics out of {METRICS}. Received: metrics={unknown}")
        self.network = network
        self.metrics = metrics
        self.real = real
        self.by_class = by_class
        self.class_names = class_names
        self.seed = seed
        self._stores = {"real": feature_store.FeatureStore(), "made": feature_store.FeatureStore()}

    def reset_state(self):
        for store in self._stores.values():
            store.reset_state()

    def update_state(self, batch, generated):
        if "image" not in generated:
            raise KeyError(
                "Expected generated images to compare with real ones. Received: "
                f"{tuple(generated)}. Leave features out for networks that make no images."
            )
        self._stores["made"].update_state(seen(self.network, generated["image"], batch))
        if self.real is None:
            self._stores["real"].update_state(seen(self.network, batch["image"], batch))

    def result(self):
        real = self._stores["real"].result() if self.real is None else self.real
        made = self._stores["made"].result()
        if self.metrics is None:
            chosen = [name for name in METRICS if self._lack(name, real, made) is None]
        else:
            chosen = [name for name in METRICS if name in self.metrics]
        values = {}
        for name in chosen:
            if (lack := self._lack(name, real, made)) is not None:
                raise ValueError(f"{name} needs {lack}. Leave it out of metrics.")
            values |= getattr(self, f"_{name}")(real, made)
        return values

    def _lack(self, name, real, made):
        """What a metric misses in words, or None."""
        fewest = min(len(real["features"]), len(made["features"]))
        if name == "inception_score" and "logits" not in made:
            return "a network with logits, such as features=inception_2015"
        if name == "intra_fid":
            if not (self.by_class and "label" in real and "label" in made):
                return "images that were asked for by class"
            if not _share_a_class(real["label"], made["label"]):
                return "a class with two real and two generated images"
        if name in ("precision_recall", "density_coverage") and fewest <= NEIGHBOURS:
            return f"more than {NEIGHBOURS} images on either side, not {fewest}"
        return None

    # --- Each metric: {key: float} ------------------------------------------------------------

    def _key(self, name):
        return inception.metric_name(name, self.network)

    def _kid(self, real, made):
        found = kernel_distance.kernel_distance(real["features"], made["features"], seed=self.seed)
        values = {self._key("kid"): found["mean"]}
        # Subsets that hold all images of both are one and the same.
        if found["subset_size"] < max(len(real["features"]), len(made["features"])):
            values[f"{self._key('kid')}_std"] = found["std"]
        return values

    def _fid(self, real, made):
        value = frechet.frechet_distance_of_features(real["features"], made["features"])
        return {self._key("fid"): value}

    def _inception_score(self, real, made):
        probabilities = inception_score.softmax(made["logits"])
        found = inception_score.inception_score(probabilities, min(10, len(probabilities)))
        key = self._key("inception_score")
        return {key: found["mean"], f"{key}_std": found["std"]}

    def _intra_fid(self, real, made):
        count = 1 + max(int(real["label"].max()), int(made["label"].max()))
        found = frechet.intra_class_frechet_distance(
            real["features"], real["label"], made["features"], made["label"], count
        )
        names, key = self.class_names or range(count), self._key("intra_fid")
        per_class = zip(names, found["per_class"], strict=False)  # classes without images are last
        return {key: found["mean"]} | {f"{key}/{name}": float(v) for name, v in per_class}

    def _precision_recall(self, real, made):
        return neighbourhoods.precision_recall(real["features"], made["features"])

    def _density_coverage(self, real, made):
        return neighbourhoods.density_coverage(real["features"], made["features"])


def of_network(network=None, **settings):
    """FeatureDistances of a network; None without one, the configs' way to leave it out."""
    return None if network is None else FeatureDistances(network, **settings)


def seen(network, image, batch):
    """What is kept of images: the outputs of the network, and their labels if there are any."""
    labels = {"label": np.asarray(batch["label"])} if "label" in batch else {}
    return {**network(np.asarray(image)), **labels}


def _share_a_class(real, made):
    count = 1 + max(real.max(), made.max())
    fewest = np.minimum(np.bincount(real, minlength=count), np.bincount(made, minlength=count))
    return bool(np.any(fewest >= 2))
