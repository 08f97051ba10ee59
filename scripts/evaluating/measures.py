"""What measures: metrics and their networks, and the columns of a report that they fill."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import hydra
import numpy as np
import tensorflow as tf
from omegaconf import DictConfig

from metrics import fills
from metrics.distances import feature_distances
from metrics.features import inception, inception_download
from scripts.evaluating import judging, settings, subjects
from training.runs import classes, perceptual_loss
from training.watch import contact_sheet

# Of inpainting: title of a column -> the images in it, in the place of generated ones.
FILLS = {
    title: lambda batch, _, fill=fill: {"image": fill(batch["masked_image"], batch["hole"])}
    for title, fill in (
        ("harmonic", fills.harmonic),
        ("nearest known pixel", fills.nearest_known),
        ("mean colour", fills.mean_colour),
    )
}


class Column:
    """Metrics of the same images, as one metric for training.watch.evaluation.Evaluation.

    Args:
        title: of the column.
        metrics: what counts them; copied, so that other columns may count by the same.
        view: function (batch, generated) -> what the metrics get as generated.
    """

    def __init__(
        self, title: str, metrics: Iterable, view: Callable = lambda batch, made: made
    ) -> None:
        self.title, self.view = title, view
        self.metrics = [copy.copy(metric) for metric in metrics]
        self.reset_state()

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def update_state(self, batch, generated) -> None:
        seen = self.view(batch, generated)
        for metric in self.metrics:
            metric.update_state(batch, seen)

    def result(self) -> dict[str, float]:
        return {name: x for metric in self.metrics for name, x in metric.result().items()}

    def confusions(self) -> list:
        """Confusion matrices of the metrics that count one; row = true class."""
        return [metric.confusion() for metric in self.metrics if hasattr(metric, "confusion")]


class Judge:
    """A run whose network predicts what images show.

    Args:
        path: folder of the run.
        subject: what is measured; its kind names the kind of judge.
        device: "auto", "cpu" or "gpu".

    Attributes:
        protocol: which network it is.

    Call: float images in [-1, 1] -> classes, int array; images are rounded to 8 bits first, as
        they would be saved.

    Raises:
        ValueError: a run of another kind, of another image size or of other classes.
    """

    def __init__(self, path, subject, device: str) -> None:
        self.run = run = subjects.judge_of(path, subject, device)
        wanted, kind = subject.kind.judge, run.task.kind
        names = run.data.encoding.class_names if wanted.target == "label_map" else ()
        names = names or run.image_class_names
        for what, asked, found in (
            ("size (height, width)", tuple(subject.data.image_size), tuple(run.data.image_size)),
            ("classes", subject.class_names, tuple(names)),
        ):
            if asked != found:
                of_run, of_judge = (
                    classes.first([str(x) for x in each]) for each in (asked, found)
                )
                raise ValueError(
                    f"Expected a {kind.network_name} of the {what} of the run, in this order. "
                    f"Received: {subject.name} with {of_run}; {path} with {of_judge}. Train a "
                    f"{kind.network_name} on the data of the run, of the same data.image_size."
                )
        self.protocol = {
            "kind": kind.network_name,
            "step": run.step,
            "weights_sha256": subjects.weights_hash(run),
        }

    def __call__(self, images) -> np.ndarray:
        saved = contact_sheet.to_uint8(images).astype(np.float32) / 127.5 - 1.0
        made = self.run.generate({"image": tf.constant(saved)}, tf.zeros([len(saved)], tf.int32))
        return made["prediction"].numpy()


class Measures:
    """All that measures a subject: metrics, and the networks that they need.

    Args:
        subject: EvaluatedRun or EvaluatedFolder.
        needs: {name of a metric: what it needs}, see `settings.chosen_metrics`.
        config: settings of configs/evaluate.yaml.

    Attributes:
        network: the feature network, or None.
        judge: Judge of images, or None.
        protocol: what the figures depend on besides the subject and the data.

    Raises:
        ValueError: a judge that does not fit the subject.
    """

    def __init__(self, subject, needs: dict[str, frozenset[str]], config: DictConfig) -> None:
        self.subject, self.needs, self.protocol = subject, needs, {}
        # Where no list was asked for, what the images do not allow is left out.
        self.strict = config.metrics is not None
        self.network: Any = None
        self.judge: Any = None
        read = {s for of in needs.values() for s in settings.settings_of(of, subject.kind)}
        if "features" in read:
            self.network = hydra.utils.instantiate(config.features, _convert_="all")
            if subject.run is not None:
                perceptual_loss.refuse_as_judge(subject.run.config, self.network)
            self.protocol["features"] = {
                "network": self.network.name,
                "weights_sha256": self.network.weights_hash,
                "resize": self.network.resize,
            }
        self.metrics = {}
        for name, wanted in needs.items():
            given = {"class_names": subject.class_names} if "class_names" in wanted else {}
            metric = hydra.utils.instantiate(config.available[name], **given, _convert_="all")
            self.metrics[name] = metric
            if hasattr(metric, "weights_hashes"):
                self.protocol[name] = {
                    "network": metric.network, "weights_sha256": metric.weights_hashes,
                }  # fmt: skip
        if "judge" in read:
            self.judge = Judge(config.judge, subject, config.device)
            self.protocol["judge"] = self.judge.protocol

    def generate(self, seed: int) -> Callable:
        """Function (batch, numbers of items) -> what is generated, with a judge's predictions."""

        def generate(batch, indices) -> dict:
            made = self.subject.generate(batch, indices, seed)
            if self.judge is None:
                return made
            return made | {"prediction": self.judge(made["image"])}

        return generate

    def of_generated(self, real_features: Callable) -> list[Column]:
        """Columns of what the subject makes.

        Args:
            real_features: function -> features of the real images, called last.
        """
        parts, paired = self._needing("features"), self._needing("pairs").values()
        metrics = {name: m for name, m in self.metrics.items() if name not in parts}
        if parts:
            distances = feature_distances.FeatureDistances(
                self.network, parts, real=real_features, strict=self.strict
            )
            metrics = self._needing("pairs") | {"distances": distances} | metrics
        title = "generated" if self.subject.kind.makes_images else "predicted"
        return [Column(title, metrics.values())] + [
            Column(title, paired, lambda batch, made, stage=stage: {"image": stage(batch, made)})
            for title, stage in self.subject.kind.measured_stages.items()
        ]

    def of_real(self) -> list[Column]:
        """Columns of the real data: what the figures above are to be compared with."""
        columns = []
        if self.judge is not None and self.subject.run is not None:
            judged = self._needing("prediction").values()
            columns.append(
                Column("real", judged, lambda batch, _: {"prediction": self.judge(batch["image"])})
            )
        if "hole" in self.subject.kind.provides:
            paired = self._needing("pairs").values()
            columns += [Column(title, paired, view) for title, view in FILLS.items()]
        return columns

    def notes(self, n_real: int, n_fake: int, real_features: Callable, figures: dict) -> list[str]:
        """How to read the figures ({column: {name: value}}), in words."""
        said, classes = [], len(self.subject.class_names)
        if self.network is not None:
            fewest, dim = min(n_real, n_fake), real_features()["features"].shape[1]
            if fewest <= dim:
                said.append(
                    f"{fewest} images are no more than the {dim} features of {self.network.name}: "
                    "the Frechet distance is far too high with so few, and compares with that of "
                    "equal counts only. Prefer the kernel distance, which does not depend on them."
                )
            if set(self._needing("features")) & set(self._needing("label")) and (
                (of_each := fewest // classes) <= dim
            ):
                said.append(
                    f"Of a class there are about {of_each} images: its own Frechet distance says "
                    "as much as the order of the classes, no more."
                )
        if isinstance(self.network, inception.Inception2015) and (
            self.network.weights_hash != inception_download.SHA256
        ):
            said.append(
                "The graph has the tensors of Inception-2015, but not the known hash of its file: "
                "these figures compare with published ones only if you know that it is the same."
            )
        if self.judge is not None and self._needing("label_map"):
            said.append(
                "Generated figures are worth what those of the real images are."
                if "real" in figures
                else "These figures are worth what those of photographs are: measure the "
                "photographs of these maps as well, fake=PHOTOGRAPHS."
            )
        if self.judge is not None:
            said += judging.warnings(figures, min(n_real, n_fake))
        if set(self._needing("prediction")) & set(self._needing("label")):
            said.append(f"Chance: {1.0 / classes:.3f}.")
        if "holes" in self.subject.protocol:
            said.append(f"Holes: {self.subject.protocol['holes']['kind']}.")
        return said

    def _needing(self, need) -> dict:
        return {name: self.metrics[name] for name, needs in self.needs.items() if need in needs}
