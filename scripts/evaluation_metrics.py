"""Which metrics there are, what each needs, and what it looks at."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hydra

from scripts import evaluation_judges, run_config

IMAGES = ("class-conditional", "semantic", "inpainting", "folders")


@dataclass(frozen=True)
class Spec:
    """Kinds of subjects a metric is for, and the setting it needs if any."""

    kinds: tuple[str, ...]
    setting: str | None = None
    give: str = ""  # the setting as a user writes it


FEATURES = ("features", "features=NAME feature_weights=FILE")
METRICS = {
    "kid": Spec(IMAGES, *FEATURES),
    "fid": Spec(IMAGES, *FEATURES),
    "inception_score": Spec(IMAGES, *FEATURES),
    "intra_fid": Spec(("class-conditional",), *FEATURES),
    "precision_recall": Spec(IMAGES, *FEATURES),
    "density_coverage": Spec(IMAGES, *FEATURES),
    "miou": Spec(("semantic", "segmenter"), "judge", "judge=SEGMENTATION_RUN"),
    "class_accuracy": Spec(("class-conditional", "classifier"), "judge", "judge=CLASSIFIER_RUN"),
    "image_quality": Spec(("inpainting",)),
    "hole_area_bins": Spec(("inpainting",)),
    "lpips": Spec(("inpainting",), "lpips", "lpips=alex lpips_backbone=FILE lpips_heads=FILE"),
}
PREDICTING = ("classifier", "segmenter")  # kinds that need no judge of what they predict
SETTINGS = sorted({spec.setting for spec in METRICS.values() if spec.setting})


@dataclass(frozen=True)
class Column:
    """A metric of one column of the table, as training.evaluation.Evaluation takes it.

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


def chosen(subject, config) -> list[str]:
    """Names of the metrics to measure: those asked for, else all whose settings are given.

    Raises:
        ValueError: an unknown metric, one that is not of this kind of subject or lacks a setting;
            none at all; a setting that none of them reads.
    """
    known = [name for name, spec in METRICS.items() if subject.kind in spec.kinds]
    asked = config.metrics
    if asked is not None and (isinstance(asked, str) or not asked):
        raise ValueError(
            f"Expected a list of metrics, out of {', '.join(known)}. Received: metrics={asked}. "
            "For example: metrics=[kid,fid]; without metrics= all are measured that the settings "
            "allow."
        )
    asked = None if asked is None else list(asked)
    for name in asked or ():
        if name not in known:
            raise ValueError(
                f"Metrics of {subject.described} are {', '.join(known)}. Received: metrics="
                f"[{name}].{run_config.close_match(str(name), known)}"
            )
        if not _is_given(name, subject, config):
            raise ValueError(
                f"The metric {name} needs {METRICS[name].give}. Received: {name} without. Add it, "
                "or leave the metric out."
            )
    names = [n for n in known if _is_given(n, subject, config)] if asked is None else asked
    if not names:
        give = dict.fromkeys(METRICS[name].give for name in known)
        raise ValueError(
            f"Expected something to measure {subject.described} with. Received: neither "
            f"{' nor '.join(give)}. Give at least one of these."
        )
    read = {METRICS[name].setting for name in names} if subject.kind not in PREDICTING else ()
    for setting in SETTINGS:
        if config[setting] is not None and setting not in read:
            raise ValueError(
                f"Expected settings that the metrics of {subject.described} read, here "
                f"{', '.join(names)}. Received: {setting}=..., which none of them does. Leave it "
                "out."
            )
    return names


def _is_given(name, subject, config):
    setting = METRICS[name].setting
    return setting is None or subject.kind in PREDICTING or config[setting] is not None


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
        # None for all that the images allow, where no list was asked for.
        self.distances = None if config.metrics is None else [
            n for n in names if METRICS[n].setting == "features"
        ]  # fmt: skip
        self.facts = {}
        if any(METRICS[n].setting == "features" for n in names):
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
        if any(METRICS[n].setting == "judge" for n in names) and subject.makes_images:
            self.judge = evaluation_judges.open_judge(config.judge, subject, config.device)
            self.facts["judge"] = self.judge.facts

    def generated(self, real_features) -> list[Column]:
        """Columns of what the subject makes.

        Args:
            real_features: see `real_images.features`; None without a feature network.
        """
        from metrics import feature_distances

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
                    f"{fewest} images are fewer than the {dim} features of {self.network.name}: "
                    "the Frechet distance is far too high with so few, and compares with that of "
                    "equal counts only. Prefer the kernel distance, which does not depend on them."
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
    from metrics import inception, inception_download

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
