"""Tiny data sets and the overrides that shrink any experiment to seconds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from data.synthetic import synthetic_facades

ROOT = Path(__file__).resolve().parents[2]
SIZE = 32
GENERATOR = ["width=4", "multipliers=[2,1]", "upsample=[true,true]", "normalizer.hidden=8"]
DISCRIMINATOR = ["discriminator.width=4", "discriminator.depth=2"]
NO_SIGNAL = ["evaluation.metrics.sliced_wasserstein=null"]
NO_FIGURES = NO_SIGNAL + [  # nothing else is measured in most tests
    f"evaluation.metrics.{name}=null"
    for name in ("overall_diversity", "training_neighbours", "discriminator")
]
PERCEPTUAL_OVERRIDES = [
    f"data.image_size=[{SIZE},{SIZE}]",
    *(f"generator.{setting}" for setting in GENERATOR),
    *DISCRIMINATOR,
    "trainer.batch_size=2",
    *NO_FIGURES,
]
OVERRIDES = [*PERCEPTUAL_OVERRIDES, "~perceptual"]  # whose network takes longer than all the rest
CLASS_OVERRIDES = [  # as many blocks as attentive normalisation after block 3 needs
    f"data.image_size=[{SIZE},{SIZE}]",
    "generator.channels=[8,8,8,8]",
    "generator.noise_dim=8",
    "discriminator.channels=[8,8]",
    "discriminator.downsample=[true,true]",
    *NO_FIGURES,
    "evaluation.metrics.kernel_distance=null",
]
INPAINTING_OVERRIDES = [
    f"data.image_size=[{SIZE},{SIZE}]",
    "generator.width=2",
    "discriminator.channels=[4,4]",
    "trainer.batch_size=2",
    "~perceptual",
    *NO_SIGNAL,
]
CLASSIFIER_OVERRIDES = [f"data.image_size=[{SIZE},{SIZE}]", "image_classifier.channels=[4,8]"]

SEGMENTER_OVERRIDES = [
    "experiment=segment_synthetic",
    f"data.image_size=[{SIZE},{SIZE}]",
    "segmenter.channels=[4,4,6,6]",
    "segmenter.blocks=1",
    "segmenter.pyramid_filters=4",
]


def write_data(root):
    """24 training and 6 validation pairs of 32 px; returns the folder."""
    return synthetic_facades.ensure_written(
        root, image_size=SIZE, train_count=24, validation_count=6, seed=0
    )


def write_tfds(root, *names):
    """Prepared tfds data sets of these names: ten small images of two classes in each split."""
    import tensorflow_datasets as tfds

    image = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(SIZE, SIZE, 3)
    items = [(i, {"image": np.roll(image, 7 * i), "label": i % 2}) for i in range(10)]
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
    for name in names:
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name, version="1.0.0", data_dir=root,
            features=tfds.features.FeaturesDict(features),
            split_datasets={split: items for split in ("train", "test", "validation")},
        )  # fmt: skip
    return root


def data_overrides(root):
    return [
        f"data.root={root}",
        f"data.source.image_size={SIZE}",
        "data.source.train_count=24",
        "data.source.validation_count=6",
    ]


def command(script, *overrides, **settings):
    """Runs a command of the project in a process of its own; returns the finished process."""
    return subprocess.run(
        [sys.executable, str(ROOT / script), *overrides],
        capture_output=True, text=True, cwd=ROOT, check=False,
        **{"env": environment(), **settings},
    )  # fmt: skip


def environment():
    """That of this process, without what a command that ran in it has set for itself."""
    set_by_commands = ("HYDRA_FULL_ERROR", "OC_CAUSE")
    kept = {key: value for key, value in os.environ.items() if key not in set_by_commands}
    return kept | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
