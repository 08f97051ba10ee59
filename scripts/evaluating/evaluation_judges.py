"""Trained runs that judge images: a segmenter their label maps, a classifier their classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluating import evaluation_report
from training.runs import classes, trained_run

# Kind of subject -> the judge of its images, what that predicts, and how to get one.
JUDGES = {
    "semantic": ("segmenter", "label_map", "segment_synthetic"),
    "class-conditional": ("classifier", "label", "classify_synthetic"),
}


@dataclass(frozen=True)
class Judge:
    """A run whose network predicts what images show.

    Attributes:
        run: TrainedRun.
        subject: what it judges.
        facts: for the passport.
    """

    run: Any
    subject: Any
    facts: dict

    def scores(self):
        """A new metric of its predictions."""
        return scores(self.subject)

    def of_generated(self, batch, generated):
        return {"prediction": self.predictions(generated["image"])}

    def of_real(self, batch, generated):
        return {"prediction": self.predictions(batch["image"])}

    def predictions(self, images):
        """Of images in [-1, 1], rounded to 8 bits as they would be saved."""
        import tensorflow as tf

        from training.watch import contact_sheet

        saved = contact_sheet.to_uint8(images).astype(np.float32) / 127.5 - 1.0
        made = self.run.generate({"image": tf.constant(saved)}, tf.zeros([len(saved)], tf.int32))
        return made["prediction"].numpy()


def open_judge(path, subject, device) -> Judge:
    """Opens the run of a judge and compares it with what it is to judge.

    Args:
        path: folder of the run.
        subject: Subject of one of the kinds of JUDGES.
        device: "auto", "cpu" or "gpu".

    Raises:
        ValueError: a run of another kind, of another image size or of other classes.
    """
    kind, target, experiment = JUDGES[subject.kind]
    run = trained_run.open_run(path, device=device)
    if getattr(run.task, "target", None) != target:
        raise ValueError(
            f"Expected the run of a {kind} to judge {subject.described} with. Received: "
            f"judge={path} of {type(run.task).__name__}. Train one on the same data, such as "
            f"python train.py experiment={experiment}"
        )
    wanted, size = tuple(subject.data.image_size), tuple(run.data.image_size)
    if wanted != size:
        raise ValueError(
            f"Expected a {kind} of images of the size that the run generates. Received: "
            f"{subject.name} of {wanted} (height, width), {path} of {size}. Train a {kind} with "
            f"data.image_size={list(wanted)}."
        )
    names = run.image_class_names if kind == "classifier" else run.data.encoding.class_names
    if tuple(names) != subject.class_names:
        raise ValueError(
            f"Expected a {kind} of the classes of the run, in their order. Received: "
            f"{subject.name} with {classes.first(subject.class_names)}; {path} with "
            f"{classes.first(names)}. Train a {kind} on the data of the run."
        )
    facts = {"kind": kind, "step": run.step, "weights_sha256": evaluation_report.weights_hash(run)}
    return Judge(run, subject, facts)


def scores(subject):
    """A new metric of predicted label maps or classes."""
    from metrics import accuracy, segmentation

    names = subject.class_names
    if subject.kind in ("semantic", "segmenter"):
        return segmentation.SegmentationScores(len(names), class_names=names)
    return accuracy.ClassAccuracy(len(names), class_names=names)
