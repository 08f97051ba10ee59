"""What is evaluated: a run, or a folder of images."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from omegaconf import DictConfig, OmegaConf

from data import pipeline
from data.labels import no_label_maps
from data.sources import photo_folder, splits
from scripts.evaluating import real_images
from training.kinds import kind as kinds
from training.runs import classes, moved, starting, trained_run

SEED_STRIDE = 1_000_003  # items of one seed are numbered; those of the next begin far off
OUT = starting.OUTPUTS / "evaluation"  # of folders of images


class EvaluatedRun:
    """A run, and the data it is measured on.

    Args:
        run: TrainedRun.
        config: settings of configs/evaluate.yaml.

    Attributes:
        inputs: batches to generate from, with "valid"; None = the real data.
        protocol: what figures depend on, besides metrics, data and weights.
        random: whether another seed gives other images.

    Raises:
        ValueError: other classes of the data than of the run, fewer images than classes.
    """

    def __init__(self, run, config: DictConfig) -> None:
        self.run, self.kind, self.split = run, run.task.kind, config.split
        self.name = str(run.folder.path)
        self.out = config.out or run.folder.evaluation
        data_config, self.data = _with_holes(run, OmegaConf.select(config, "data.holes"))
        self.class_names = self.kind.class_names(run)
        if self.kind.classes == "label":
            classes.check(run.folder, self.data.image_class_names)
        self.inputs = self.kind.evaluation_inputs(
            config.num_images, config.batch_size, self.class_names
        )
        # Raw weights, where asked for, are measured by another protocol: their figures replace no
        # averaged ones.
        self.protocol: dict = {} if config.averaged else {"averaged": False}
        if "hole" in self.kind.provides:
            self.protocol["holes"] = protocol_of_holes(data_config.holes)
        (network,) = run.task.generation_state().values()
        self.random = bool(getattr(network, "noise_dim", 0))
        # What networks that predict are called is older than the names of their kinds.
        self.kind_name = self.kind.name if self.kind.makes_images else self.kind.network_name

    @property
    def described(self) -> str:
        """For sentences."""
        return f"{self.name}, a {self.kind_name} run,"

    @property
    def title(self) -> str:
        return f"{self.name}, step {self.run.step}"

    @property
    def file_name(self) -> str:
        return f"step_{self.run.step:08d}"

    def generate(self, batch, indices, seed) -> dict:
        """Outputs for items of these numbers, each with noise of its own and of the seed."""
        return self.run.generate(batch, indices + seed * SEED_STRIDE)

    def at_step(self, step: int) -> "EvaluatedRun":
        """The same run with the weights of another of its checkpoints."""
        other = copy.copy(self)
        other.run = trained_run.at_step(self.run, step)
        return other

    def passport(self) -> dict:
        """Which weights of which run made the images."""
        return {
            "run": self.name,
            "step": self.run.step,
            "averaged": self.run.averaged,
            "weights_sha256": weights_hash(self.run),
        }


class Folders(kinds.Kind):
    """Images of a folder beside real ones."""

    name = "folders"
    provides = frozenset({"features"})

    def given(self, batch, colorize=None, image_class_names=()) -> tuple[dict, list[str]]:
        """Nothing: the images are there."""
        return {}, []


class EvaluatedFolder:
    """The images of one folder, measured against those of another.

    Args:
        config: settings of configs/evaluate.yaml.

    Raises:
        FileNotFoundError, ValueError: a folder is missing or has no images; damaged files; sizes
            that differ.
    """

    kind, kind_name, run, random = Folders(), Folders.name, None, False
    protocol, class_names = {}, ()

    def __init__(self, config: DictConfig) -> None:
        refuse_missing(config, "real", "fake")
        for folder in (config.real, config.fake):
            folder_data(folder, (1, 1), config).check()
        size = config.image_size and list(config.image_size)
        size = size or common_size(config, config.real, config.fake)
        self.data, images = (
            folder_data(folder, size, config) for folder in (config.real, config.fake)
        )
        (self.split,) = self.data.source.splits
        self._images = real_images.RealImages(images, self.split, config.batch_size)
        self.inputs = self._images.batches()
        self.name = self.title = str(Path(config.fake))
        self.out = config.out or OUT
        self.described = f"the images of {self.name}"

    @property
    def file_name(self) -> str:
        return f"images_{self.passport()['content_sha256'][:8]}"

    def generate(self, batch, indices, seed) -> dict:
        return {"image": batch["image"]}

    def passport(self) -> dict:
        """The images by their content."""
        content = self._images.protocol()["content_sha256"]
        return {"folder": self.name, "content_sha256": content}


def judge_of(path, subject, device: str) -> Any:
    """The TrainedRun that judges the images of a subject, of the kind that its kind names.

    Raises:
        ValueError: a run of another kind.
    """
    run = trained_run.open_run(path, device=device)
    wanted, kind = subject.kind.judge, run.task.kind
    if kind.name != wanted.kind:
        raise ValueError(
            f"Expected a {wanted.kind} run to judge {subject.described} with. Received: judge="
            f"{path}, a {kind.name} run. Train one on the same data, such as python train.py "
            f"experiment={wanted.experiment}"
        )
    return run


def weights_hash(run) -> str:
    """SHA-256 of all weights of a TrainedRun that generate, in their order, without their names."""
    digest = hashlib.sha256()
    for _, owner in sorted(run.task.generation_state().items()):
        for variable in owner.variables:
            value = np.ascontiguousarray(variable.numpy())
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()


def _with_holes(run, holes) -> tuple[DictConfig, Any]:
    """(config, pipeline) of the run's data, with other holes where `holes` is a config of some."""
    if holes is None:
        return run.config.data, run.data
    config = run.config.copy()
    OmegaConf.update(config, "data.holes", holes, merge=False, force_add=True)
    return config.data, hydra.utils.instantiate(config.data, _convert_="all")


def protocol_of_holes(config: DictConfig) -> dict:
    """The kind of holes and their settings.

    Their classes go by the modules that they were in first: where code lies changes no figure.
    """
    text = json.dumps(OmegaConf.to_container(config, resolve=True))
    for first, now in moved.MOVED_MODULES.items():
        text = text.replace(f'"{now}.', f'"{first}.')
    settings = json.loads(text)
    return {"kind": kind_of_holes(settings), "settings": settings}


def kind_of_holes(settings) -> str:
    """What draws holes by the names of its classes, such as "FreeForm+RandomRectangle"."""
    if "makers" in settings:
        return "+".join(kind_of_holes(maker) for maker in settings["makers"].values())
    return settings["_target_"].rpartition(".")[2]


def folder_data(folder, image_size, config) -> pipeline.ImagePipeline:
    """Pipeline of all images of a folder, in one split; its check reads every file."""
    settings = reading(config)
    source = photo_folder.PhotoFolder(folder, splits=splits.NoSplits())
    labels = no_label_maps.NoLabelMaps(check="all")
    return pipeline.ImagePipeline(source, image_size, encoding=labels, **settings)


def refuse_missing(config, *names) -> None:
    """Raises FileNotFoundError where the folder of one of these settings is not there."""
    for name in names:
        if not Path(config[name]).is_dir():
            raise FileNotFoundError(
                f"Expected a folder of images. Received: {name}={config[name]}, which is not there "
                "or is no folder. Correct the path"
            )


def reading(config) -> dict:
    """How images of folders are read, as arguments of ImagePipeline."""
    background = config.background and list(config.background)
    return {"background": background, "bits_used": config.bits_used}


def common_size(config, *folders) -> tuple[int, int]:
    """(height, width) of all images below some folders, upright.

    Raises:
        FileNotFoundError, ValueError: as `folder_data`, or images of several sizes.
    """
    first: Any = None
    for folder in folders:
        data = folder_data(folder, (1, 1), config)
        source = data.source
        for record in (record for split in source.splits for record in source.records(split)):
            size = data.reader.inspect_file(record.photo).size
            first = first or (size, record.photo)
            if size != first[0]:
                here, there = ("x".join(map(str, sides)) for sides in (first[0], size))
                raise ValueError(
                    "Expected images of one size (height x width). Received: "
                    f"{first[1]} of {here}, {record.photo} of {there}. Say what all are to be "
                    "resized to: image_size=[256,256]"
                )
    return first[0]
