"""A finished or stopped run, opened for use: its config, its data, its networks."""

import contextlib
import dataclasses
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from training.runs import classes, run_config, starting

BEST = "best"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedRun:
    """What a command needs of a run. The data set is read when it is used."""

    folder: Any
    config: DictConfig
    data: Any
    task: Any  # built for inference
    step: int
    averaged: bool
    image_class_names: tuple[str, ...]  # classes of images by id
    generate: Callable  # task.generate, compiled once however often it is called


def open_run(
    path: str | Path,
    *,
    step: int | str | None = None,
    data_root: str | None = None,
    device: str = "auto",
    averaged: bool = True,
    all_networks: bool = False,
) -> TrainedRun:
    """Builds what the run's config names and restores the weights that generate.

    Only the variables that these read are created. Several runs can be open in one process,
    of whatever kind and precision: dtype policy, seeds and visible devices stay as they are.

    Args:
        path: folder of the run.
        step: checkpoint; None = the newest, "best" = that of the best evaluation.
        data_root: where the data set lies now, if it has moved; where a network has classes of
            images, those of the data are compared with those of the run.
        averaged: whether to use the averaged weights, where the run has them, or the raw ones.
        all_networks: whether those that are for training alone are built and restored as well.
        device: "auto", "cpu" or "gpu"; a run can be used elsewhere than it was trained.

    Returns:
        TrainedRun.

    Raises:
        FileNotFoundError: the folder is no run.
        CheckpointError: it has no checkpoint, or not that of the step, or no best one.
        ValueError: its config names code from elsewhere, its classes are not those of the data, or
            a step that cannot be.
    """
    import tensorflow as tf

    from training.loop import devices
    from training.runs import run_folder
    from training.tasks import network_inputs, steps

    check_step(step)
    folder = run_folder.RunFolder(path, must_exist=True)
    config, _ = starting.load_run(folder)
    if data_root is not None:
        OmegaConf.update(config, "data.root", data_root)
    with _naming_config(folder):
        data = hydra.utils.instantiate(config.data, _convert_="all")
        names = classes.saved(folder)
        names = list(data.image_class_names) if names is None else names
        classes.fill_counts(config, names)
        averaged = averaged and config.task.averaging is not None
        precision = devices.precision_of(config.devices.precision)
        with _random_state_kept(), precision, devices.on(device):
            task = hydra.utils.instantiate(
                _for_inference(config, averaged, all_networks).task, _convert_="all"
            )
            spec = steps.spec_after(data.preprocess, data.spec(labelled=bool(names)))
            task.build_for_inference(spec)
            owners = task.generation_state()
            for name, network in task.networks.items():
                if not network.built:
                    network.build(network_inputs.shapes(network, spec))
                    owners[name] = network
    if data_root is not None and classes.networks_with_classes(config):
        classes.check(folder, data.image_class_names)
    store, step = _checkpoint(folder, config, step)
    restored = store.restore(owners, step, subset=True)
    log.info("%s, step %d", folder.path, restored)
    compiled = tf.function(task.generate, reduce_retracing=True)

    def generate(batch, seeds) -> dict:
        with devices.on(device):
            return compiled(batch, seeds)

    return TrainedRun(folder, config, data, task, restored, averaged, tuple(names), generate)


def _for_inference(config, averaged, all_networks) -> DictConfig:
    """The config without what training alone needs: losses, their weights files, optimizers."""
    config = config.copy()
    for name in hydra.utils.get_object(config.task._target_).training_only:
        if not (all_networks and name in run_config.NETWORKS):
            config.task[name] = None
    if not averaged:
        config.task.averaging = None
    return config


@contextlib.contextmanager
def _naming_config(folder) -> Iterator[None]:
    """Turns what a changed or damaged config may raise into one error that names its file."""
    import tensorflow as tf

    kinds = (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, MemoryError)
    try:
        yield
    except (*kinds, OmegaConfBaseException, tf.errors.OpError) as error:
        raise ValueError(
            "Expected the config of a run, whose data and task can be built. Received: "
            f"{folder.config} ({type(error).__name__}: {str(error).splitlines()[:1]}). Restore the "
            "file, such as from a copy of the run."
        ) from error


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Undoes the draws of initializers, which take their seeds from Python's own generator."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def steps(run: TrainedRun) -> list[int]:
    """Steps of the checkpoints of a run, oldest first."""
    return checkpoint_store(run.folder, run.config).steps()


def at_step(run: TrainedRun, step: int) -> TrainedRun:
    """The run with the weights of another of its checkpoints, in the same variables."""
    store = checkpoint_store(run.folder, run.config)
    store.restore(run.task.generation_state(), step, subset=True)
    return dataclasses.replace(run, step=step)


def checkpoint_store(folder, config, step: int | None = None) -> Any:
    """The checkpoints of a run, or those of its fallback where the step, or the newest, is there.

    Args:
        folder: RunFolder.
        config: of the run.
        step: None = the newest.
    """
    from training.runs import checkpoint

    fallback = starting.fallback_of(folder.path, config.checkpoints.get("fallback"))
    store = checkpoint.CheckpointStore(folder.checkpoints, fallback=fallback).holding(step)
    if store.folder != folder.checkpoints:
        log.warning("The state comes from the fallback %s.", store.folder)
    return store


def check_step(step) -> None:
    """Raises ValueError for a step that cannot be."""
    if step not in (None, BEST) and (not isinstance(step, int) or isinstance(step, bool)):
        raise ValueError(
            f"step must be a number, null for the newest, or {BEST}. Received: step={step}"
        )


def _checkpoint(folder, config, step) -> tuple:
    """(store, step in it) of the checkpoint that `step` means."""
    from training.runs import best, checkpoint

    if step != BEST:
        return checkpoint_store(folder, config, step), step
    kept = best.BestCheckpoint(
        folder.best,
        config.checkpoints.get("best_metric"),
        best_is=config.checkpoints.get("best_is", best.HIGHEST),
    )
    if kept.step() is None:
        raise checkpoint.CheckpointError(
            f"Expected a run that keeps its best checkpoint. Received: step={BEST} of {folder.path}"
            " without one. Train or resume it with checkpoints.best_metric=NAME, a figure of its "
            "evaluation such as eval/mean_iou; step=null takes the newest checkpoint."
        )
    return kept.store, kept.step()
