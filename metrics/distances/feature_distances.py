"""Distances between real and generated images that share one pass of a feature network."""

import re

import numpy as np

from metrics import metric as contract
from metrics.distances import frechet, inception_score, kernel_distance, neighbourhoods
from metrics.features import feature_store, inception

NETWORK_FIGURE = re.compile(rf"({'|'.join(inception.OTHER_NAMES)})(?=$|_std$|/)")


class FeatureDistances:
    """What a feature network sees of generated images, measured against real ones.

    Args:
        network: callable of images -> {"features": [B, D], "logits" [B, K] if there are any}, with
            `name`; such as metrics.features.inception.Inception2015. It runs once on each image.
        metrics: {name: metric} of those that need "features", see metrics.metric.Metric.
        real: function without arguments -> {"features", "label" if there are any} of the real
            images, called when all others were seen. None (default) = those of the "image" (and
            "label") of the batches.
        strict: bool, whether metrics that the images do not allow are refused, not left out.
            Default False.

    Call of `update_state(batch, generated)`:
        generated: "image" [B, H, W, 3] in [-1, 1] or uint8.
        batch: "label" int [B] if there are any; without `real` also "image".
    `result()`: {key: float}. Only the graph of 2015 gives "fid", "kid" and "inception_score"; of
        other networks the keys carry the name, see `inception.metric_name`.
    `names(spec, count)`: the keys, known before any image.
    `reset_state()`: forgets all images.

    Raises:
        ValueError: a metric that the images do not allow, or too few images.
        KeyError: nothing generated, or no real images.
    """

    needs = frozenset({"features"})

    def __init__(self, network, metrics, *, real=None, strict=False) -> None:
        self.network = network
        self.metrics = {name: metric for name, metric in metrics.items() if metric is not None}
        self.real = real
        self.strict = strict
        self.reset_state()

    def reset_state(self) -> None:
        self._real, self._made = feature_store.FeatureStore(), feature_store.FeatureStore()

    def update_state(self, batch, generated) -> None:
        if "image" not in generated:
            raise KeyError(
                "Expected generated images to compare with real ones. Received: "
                f"{tuple(generated)}. Leave features out for networks that make no images."
            )
        self._made.update_state(seen(self.network, generated["image"], batch))
        if self.real is None:
            self._real.update_state(seen(self.network, batch["image"], batch))

    def names(self, spec, count) -> list[str]:
        """Names of `result` for `count` items of batches of this spec: those of noise.

        Raises:
            ValueError: as `result`.
        """
        probe = self.network(np.zeros([2, *spec["image"].shape[1:]], np.float32))
        named = (getattr(metric, "class_names", None) for metric in self.metrics.values())
        classes = max((len(names or ()) for names in named), default=0)
        rows = min(count, max(2 * classes, neighbourhoods.NEIGHBOURS + 1))
        random = np.random.default_rng(0)
        noise = {name: random.normal(size=[rows, 2]) for name in probe}
        if "label" in spec:
            noise["label"] = np.arange(rows) // 2
        return list(self._figures(noise, noise))

    def result(self) -> dict[str, float]:
        real = self._real.result() if self.real is None else self.real()
        return self._figures(real, self._made.result())

    def _figures(self, real, made) -> dict[str, float]:
        figures = {}
        for name, metric in self.metrics.items():
            metric.reset_state()
            metric.update_state(real, made)
            try:
                found = metric.result()
            except contract.Unmeasurable as lack:
                if self.strict:
                    raise ValueError(f"{name} needs {lack}. Leave it out of metrics.") from lack
                found = {}
            metric.reset_state()  # nothing is kept twice
            figures |= {NETWORK_FIGURE.sub(self._key, key, 1): v for key, v in found.items()}
        return figures

    def _key(self, name) -> str:
        return inception.metric_name(name[0], self.network)


def of_network(
    network=None, metrics=None, *, by_class=False, class_names=None, seed=0
) -> FeatureDistances | None:
    """FeatureDistances of a network; None without one, the configs' way to leave it out.

    Args:
        network: as `FeatureDistances`, or None.
        metrics: as `FeatureDistances`. Runs of format 1 have the names of some distances there, or
            None, those that the images allow; the other arguments are of these.
    """
    if network is None or isinstance(metrics, dict):
        return network and FeatureDistances(network, metrics)
    known = {
        "kid": kernel_distance.KID(seed=seed),
        "fid": frechet.FID(),
        "inception_score": inception_score.InceptionScore(),
        "intra_fid": frechet.IntraFID(class_names=class_names) if by_class else None,
        "precision_recall": neighbourhoods.PrecisionRecall(),
        "density_coverage": neighbourhoods.DensityCoverage(),
    }
    chosen = {name: known[name] for name in known if metrics is None or name in metrics}
    return FeatureDistances(network, chosen, strict=metrics is not None)


of_network.configurable = True  # type: ignore[attr-defined]


def seen(network, image, batch) -> contract.Arrays:
    """What is kept of images: the outputs of the network, and their labels if there are any."""
    labels = {"label": np.asarray(batch["label"])} if "label" in batch else {}
    return {**network(np.asarray(image)), **labels}
