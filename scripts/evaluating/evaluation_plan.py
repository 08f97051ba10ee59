"""The columns of an evaluation: which metric looks at what, beside what it is compared with."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hydra

from scripts.evaluating import evaluation_judges, evaluation_metrics


@dataclass(frozen=True)
class Column:
    """A metric of one column of the table, as training.watch.evaluation.Evaluation takes it.

    Attributes:
        title: of the column.
        metric: object with `reset_state`, `update_state(batch, generated)` and `result`.
        view: function (batch, generated) -> what the metric gets in the place of `generated`.
    """

    title: str
    metric: Any
    view: Callable = lambda batch, generated: generated

    def reset_state(self):
        self.metric.reset_state()

    def update_state(self, batch, generated):
        self.metric.update_state(batch, self.view(batch, generated))

    def result(self):
        return {f"{self.title}/{name}": value for name, value in self.metric.result().items()}


class Plan:
    """The columns of an evaluation: of what is generated, and of the real data beside it.

    Args:
        subject: Subject.
        names: list of metrics, see `chosen`.
        config: settings of configs/evaluate.yaml.

    Attributes:
        network: the feature network, or None.
        judge: the Judge of images, or None.
        facts: what the figures depend on besides the subject and the data.

    Raises:
        ValueError: a judge that does not fit the subject.
    """

    def __init__(self, subject, names, config):
        self.subject, self.names, self.seed = subject, names, config.seed
        self.network = self.judge = self.lpips = None
        of_features = evaluation_metrics.reading(names, "features")
        # None for all that the images allow, where no list was asked for.
        self.distances = None if config.metrics is None else of_features
        self.facts = {}
        if of_features:
            self.network = hydra.utils.instantiate(config.features, _convert_="all")
            self.facts["features"] = {
                "network": self.network.name,
                "weights_sha256": self.network.weights_hash,
                "resize": self.network.resize,
            }
        if "lpips" in names:
            self.lpips = hydra.utils.instantiate(config.lpips, _convert_="all")
            self.facts["lpips"] = {
                "network": self.lpips.network,
                "weights_sha256": self.lpips.weights_hashes,
            }
        if evaluation_metrics.reading(names, "judge") and subject.makes_images:
            self.judge = evaluation_judges.open_judge(config.judge, subject, config.device)
            self.facts["judge"] = self.judge.facts

    def generated(self, real_features) -> list[Column]:
        """Columns of what the subject makes.

        Args:
            real_features: see `real_images.features`; None without a feature network.
        """
        from metrics.distances import feature_distances

        title = "generated" if self.subject.makes_images else "predicted"
        columns = [Column(title, metric) for metric in self._paired()]
        if self.network is not None:
            distances = feature_distances.FeatureDistances(
                self.network, self.distances, real=real_features, seed=self.seed,
                by_class=self.subject.kind == "class-conditional",
                class_names=self.subject.class_names,
            )  # fmt: skip
            columns.append(Column(title, distances))
        if self.judge is not None:
            columns.append(Column(title, self.judge.scores(), self.judge.of_generated))
        elif not self.subject.makes_images:
            columns.append(Column(title, evaluation_judges.scores(self.subject)))
        if self.subject.kind == "inpainting":
            columns += [Column("its coarse stage", m, _coarse) for m in self._paired()]
        return columns

    def real(self) -> list[Column]:
        """Columns of the real data: what the figures above are to be compared with."""
        if self.judge is not None:
            return [Column("real", self.judge.scores(), self.judge.of_real)]
        if self.subject.kind != "inpainting":
            return []
        from metrics import fills

        ways = {
            "harmonic": fills.harmonic,
            "nearest known pixel": fills.nearest_known,
            "mean colour": fills.mean_colour,
        }
        return [Column(t, m, _filled(way)) for t, way in ways.items() for m in self._paired()]

    def notes(self, reference, n_fake) -> list[str]:
        """How to read the figures, in words."""
        said = []
        if reference.features is not None:
            fewest, wide = min(reference.facts["n_real"], n_fake), reference.features["features"]
            if fewest <= (dim := wide.shape[1]):
                said.append(
                    f"{fewest} images are no more than the {dim} features of {self.network.name}: "
                    "the Frechet distance is far too high with so few, and compares with that of "
                    "equal counts only. Prefer the kernel distance, which does not depend on them."
                )
            if "intra_fid" in self.names and fewest // len(self.subject.class_names) <= dim:
                said.append(
                    f"Of a class there are about {fewest // len(self.subject.class_names)} images: "
                    "its own Frechet distance says as much as the order of the classes, no more."
                )
        if _is_other_graph(self.network):
            said.append(
                "The graph has the tensors of Inception-2015, but not the known hash of its file: "
                "these figures compare with published ones only if you know that it is the same."
            )
        if self.judge is not None and self.subject.kind == "semantic":
            said.append("Generated figures are worth what those of the real images are.")
        if "class_accuracy" in self.names:
            said.append(f"Chance: {1.0 / len(self.subject.class_names):.3f}.")
        if "holes" in self.subject.facts:
            said.append(f"Holes: {self.subject.facts['holes']['kind']}.")
        return said

    def _paired(self):
        """New metrics of repaired images against the originals."""
        from metrics import hole_area_bins, image_quality

        made = []
        if "image_quality" in self.names:
            made.append(image_quality.ImageQuality())
        if "hole_area_bins" in self.names:
            made.append(hole_area_bins.HoleAreaBins())
        if "lpips" in self.names:
            made.append(copy.copy(self.lpips))  # sums of its own, one set of weights
        return made


def _is_other_graph(network):
    """Whether figures are called "fid" of a file that is not the published one, bit by bit."""
    from metrics.features import inception, inception_download

    ours = isinstance(network, inception.Inception2015)
    return ours and network.weights_hash != inception_download.SHA256


def confusions(columns) -> dict:
    """{column: confusion matrix} of those that count one; row = true class."""
    return {
        column.title: column.metric.confusion()
        for column in columns
        if hasattr(column.metric, "confusion")
    }


def _filled(way):
    return lambda batch, generated: {"image": way(batch["masked_image"], batch["hole"])}


def _coarse(batch, generated):
    return {"image": generated["coarse"] * batch["hole"] + batch["masked_image"]}
