"""What is evaluated: a run with its inputs, or a folder of images beside a folder of real ones."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from scripts.evaluating import evaluation_data, evaluation_report, real_images
from training.runs import classes, trained_run

# The entry of a batch that a generator is asked by, and what it is then called.
KINDS = {"masked_image": "inpainting", "mask": "semantic", "label": "class-conditional"}
NUM_CLASS_IMAGES = 1000
SEED_STRIDE = 1_000_003  # items of one seed are numbered; those of the next begin far off


@dataclass(frozen=True)
class Subject:
    """Images or predictions to be measured, and the real data they are measured against."""

    kind: str  # of KINDS, "classifier", "segmenter" or "folders"
    name: str  # folder of the run, or of the images
    data: Any  # pipeline of the real items
    generate: Callable  # (batch, seeds) -> dict
    inputs: Callable  # (split, batch_size) -> batches with "valid", to generate from
    class_names: tuple[str, ...]  # of label maps or of images, whichever the run has to do with
    random: bool  # whether another seed gives other images
    facts: dict  # what else figures depend on
    run: Any = None  # TrainedRun
    content: str = ""  # hash of the pixels of a folder

    @property
    def makes_images(self):
        return self.kind not in ("classifier", "segmenter")

    @property
    def described(self):
        """For sentences."""
        if self.run is None:
            return f"the images of {self.name}"
        return f"{self.name}, a {self.kind} run,"

    @property
    def title(self):
        return self.name if self.run is None else f"{self.name}, step {self.run.step}"

    @property
    def file_name(self):
        if self.run is None:
            return f"images_{self.content[:8]}"
        return f"step_{self.run.step:08d}"

    def at_step(self, step):
        """The same run with the weights of another of its checkpoints."""
        return dataclasses.replace(self, run=trained_run.at_step(self.run, step))

    def passport(self) -> dict:
        """Which weights of which run made the images; of a folder, their content."""
        if self.run is None:
            return {"folder": self.name, "content_sha256": self.content}
        return {
            "run": self.name,
            "step": self.run.step,
            "averaged": self.run.averaged,
            "weights_sha256": evaluation_report.weights_hash(self.run),
        }


def of_run(run, config) -> Subject:
    """The subject of a run.

    Args:
        run: TrainedRun.
        config: settings of configs/evaluate.yaml.

    Raises:
        ValueError: a network of which nothing is measured, other classes of the data than of the
            run, fewer images than classes.
    """
    kind = kind_of(run)
    data_config, data = evaluation_data.with_holes(run, OmegaConf.select(config, "data.holes"))
    if kind in ("class-conditional", "classifier"):
        classes.check(run.folder, data.image_class_names)
        names = run.image_class_names
    else:
        names = getattr(data.encoding, "class_names", ())
    # Raw weights, where asked for, are another subject: their figures replace no averaged ones.
    facts = {} if config.averaged else {"averaged": False}
    if kind == "inpainting":
        facts["holes"] = evaluation_data.facts_of_holes(data_config)
    inputs = data.evaluation_dataset
    if kind == "class-conditional":
        inputs = BalancedClasses(config.num_images or NUM_CLASS_IMAGES, names).batches
    network = getattr(run.task, "generator", None)
    return Subject(
        kind=kind,
        name=str(run.folder.path),
        data=data,
        inputs=inputs,
        generate=run.generate,
        class_names=tuple(names),
        random=bool(getattr(network, "noise_dim", 0)),
        facts=facts,
        run=run,
    )


def kind_of(run) -> str:
    """What a run's network makes of what.

    Raises:
        ValueError: nothing that can be measured.
    """
    generator = getattr(run.task, "generator", None)
    if generator is None:
        return {"label": "classifier", "label_map": "segmenter"}[run.task.target]
    for key, kind in KINDS.items():
        if key in generator.input_keys:
            return kind
    raise ValueError(
        f"Expected a run whose generator reads one of {tuple(KINDS)}. Received: {run.folder.path} "
        f"of {type(generator).__name__}, which reads {tuple(generator.input_keys)}."
    )


def of_folders(config) -> Subject:
    """The images of one folder, to be measured against those of another.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or has no images; damaged files; sizes
            that differ.
    """
    for folder in (config.real, config.fake):
        evaluation_data.of_folder(folder, (1, 1)).check()
    size = config.image_size and list(config.image_size)
    size = size or evaluation_data.common_size(config.real, config.fake)
    real, fake = (evaluation_data.of_folder(folder, size) for folder in (config.real, config.fake))
    facts = real_images.facts(fake, evaluation_data.ALL, config.batch_size)
    return Subject(
        kind="folders",
        name=str(Path(config.fake)),
        content=facts["content_sha256"],
        data=real,
        inputs=lambda split, batch_size: fake.evaluation_dataset(evaluation_data.ALL, batch_size),
        generate=lambda batch, seeds: {"image": batch["image"]},
        class_names=(),
        random=False,
        facts={},
    )


def seeded(generate, seed):
    """`generate` with noise of that seed: items 0, 1, ... get seeds of their own."""
    return lambda batch, indices: generate(batch, indices + seed * SEED_STRIDE)


class BalancedClasses:
    """Labels to generate from: every class equally often, up to one.

    Raises:
        ValueError: not an image for each class.
    """

    def __init__(self, num_images, names):
        if num_images < len(names):
            raise ValueError(
                f"Expected at least one image for each of the {len(names)} classes. Received: "
                f"num_images={num_images}."
            )
        self.num_images, self.num_classes = num_images, len(names)

    def batches(self, split, batch_size):
        """List of batches of "label" and "valid", all of one size."""
        import tensorflow as tf

        places = np.arange(-(-self.num_images // batch_size) * batch_size, dtype=np.int32)
        return [
            {
                "label": tf.constant(part % self.num_classes),
                "valid": tf.constant(part < self.num_images),
            }
            for part in places.reshape(-1, batch_size)
        ]
