"""Runs as train.py leaves them, in a moment: for the commands that read them."""

import hydra
import keras
import tensorflow as tf
from omegaconf import OmegaConf

from tests.helpers import tiny
from training.runs import checkpoint, classes, run_folder


def compose(name, *overrides):
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        return hydra.compose(name, [str(text) for text in overrides])


def saved(folder, *overrides):
    """A run as train.py leaves it, untrained, but with weights that tell images apart."""
    config = compose("train", *overrides)
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    (folder / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {}}}")
    keras.utils.set_random_seed(
        2
    )  # whose classifier sees several classes in the generator's images
    data = hydra.utils.instantiate(config.data, _convert_="all")
    run = run_folder.RunFolder(folder)
    classes.keep(run, data.image_class_names)
    classes.fill_counts(config, data.image_class_names)
    task = hydra.utils.instantiate(config.task, _convert_="all")
    task.build(data.element_spec)
    for variable in (v for owner in task.generation_state().values() for v in owner.variables):
        if variable.path.endswith("kernel"):
            variable.assign(3.0 * variable)
    if hasattr(task, "network"):
        centre(task, data)
    checkpoint.CheckpointStore(run.checkpoints).save(2, task.state())
    return folder


def centre(task, data):
    """Shifts the logits so that no class is the answer to every image."""
    _, items = data.examples("train")
    (network,) = task.generation_state().values()
    logits = network(items, training=False)["logits"]
    head = network.classes if hasattr(network, "classes") else network.linear
    head.bias.assign_sub(tf.reduce_mean(logits, axis=list(range(len(logits.shape) - 1))))
