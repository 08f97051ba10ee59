"""Trains what the config describes: config -> strategy -> data -> task -> Trainer.fit."""

import contextlib
import functools
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parent))  # this checkout, not another one

from scripts.command import errors, overrides
from training.loop import console, signals, tensorflow_import
from training.runs import (
    class_weights,
    classes,
    data_files,
    fine_tuning,
    perceptual_loss,
    provenance,
    run_config,
    starting,
)

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> None:
    with signals.StopRequest().listening() as stop:
        try:
            start(config, stop)
        except signals.StoppedEarly as early:
            console.say("\nStopped before the first step; there is nothing to save.")
            sys.exit(128 + early.number)


def start(config: DictConfig, stop: signals.StopRequest) -> None:
    """Trains in the folder of a new run or of the one to resume."""
    # It takes seconds to import; --help and shell completion do not wait for it.
    tensorflow_import.load_tensorflow()
    from training.loop import devices
    from training.runs import run_folder

    run = run_folder.RunFolder(HydraConfig.get().runtime.output_dir)
    chief = devices.is_chief(config.devices.strategy)
    with run.locked() if chief else contextlib.nullcontext():
        starting.chosen()
        if config.resume is None and chief:  # another command may have been quicker
            run_folder.refuse_used(run.path, "the folder of a run")
        files = None
        if config.resume is not None and run.config.is_file():
            saved, choices = starting.load_run(run)
            config = run_config.resumed(saved, choices, starting.task_overrides())
            files = starting.code_files_given()
        else:
            run_config.write_defaults(config)
        run_config.check_targets(config, files)
        run_config.check_keys(config, "train")
        if config.get("preflight"):
            from scripts.preflight import command

            command.run(config, run, measuring)
            return
        keep_config = functools.partial(starting.keep_config, run, config.copy())
        signal_number = train(config, run, stop, keep_config, starting.settings_given(config))
    if signal_number:
        resume = overrides.to_type("train.py", resume=run.path)
        console.say(f"Stopped and saved. To go on: {resume}")
        sys.exit(128 + signal_number)
    curves = f"tensorboard --logdir {shlex.quote(str(run.path.parent))}"
    console.say(f"Done. Sheets: {run.samples}  Curves: {curves}")


def train(
    config: DictConfig, run, stop=None,
    keep_config: Callable[[dict], None] = lambda measured: None, settings: dict | None = None,
) -> int:  # fmt: skip
    """Builds everything the config names and trains it in the folder of the run.

    Args:
        config: of the run, changed in place.
        run: RunFolder.
        stop: the request that listens to signals, or None.
        keep_config: writes the config into the folder, called when all of it has proved right,
            with what was measured for it, by key.
        settings: what tells it from other runs, for TensorBoard's table of them.

    Returns:
        The signal that stopped it, 0 when it reached the last step.
    """
    import keras

    from data import batch
    from training.loop import devices
    from training.runs import checkpoint
    from training.tasks import steps
    from training.watch import summaries

    made_by = provenance.provenance()
    log.info("Tessera %s, TensorFlow %s, Keras %s, Python %s", provenance.in_words(),
             made_by["tensorflow"], made_by["keras"], made_by["python"])  # fmt: skip

    # 1. Devices, precision, seeds: before anything is built.
    keras.backend.clear_session()
    keras.utils.set_random_seed(config.seed)
    strategy = devices.set_up(**config.devices)
    writes = devices.is_chief(config.devices.strategy)
    store = checkpoint.CheckpointStore(
        run.checkpoints,
        keep=config.checkpoints.keep,
        fallback=starting.fallback_of(run.path, config.checkpoints.get("fallback")),
    )
    # A run that goes on has weights of its own.
    source = None if store.holding().steps() else fine_tuning.open_source(config)

    # 2. The data, checked before hours are spent on them.
    data = hydra.utils.instantiate(config.data, _convert_="all")
    report = data.check()
    classes.check(run, data.image_class_names)
    classes.fill_counts(config, data.image_class_names)
    class_weights.fill(config, data, report)
    measured = perceptual_loss.fill(config, data)
    listed = data_files.of(data) if writes else {}
    if writes:
        data_files.warn_of_changes(run, listed)
    spec = steps.spec_after(data.preprocess, data.element_spec)
    batch.check_batch(spec)
    _, preview_batch = data.examples("validation", config.summaries.rows)

    # 3. Networks, losses, optimizers.
    with strategy.scope():
        task = hydra.utils.instantiate(config.task, _convert_="all")
        trainer = hydra.utils.instantiate(config.trainer, _convert_="all")
        if trainer.batch_size % strategy.num_replicas_in_sync:
            raise ValueError(
                "Expected a batch that divides into equal parts for all replicas. Received: "
                f"trainer.batch_size={trainer.batch_size}, {strategy.num_replicas_in_sync} "
                "replicas. Choose a multiple."
            )
        started_from = {}

        def prepare(networks) -> None:
            if source is not None:
                maps = fine_tuning.class_maps(source, data, config.start_from_classes)
                started_from.update(fine_tuning.start(networks, source, spec, maps))
            fine_tuning.freeze(networks, config.get("freeze"), fine_tuning.aliases(config))

        task.build(spec, prepare)
        evaluate, best = measuring(config, run, task, data, spec)

        def keep() -> None:
            classes.keep(run, data.image_class_names)
            data_files.keep(run, listed)
            fine_tuning.keep(run, started_from)
            keep_config(measured)

        # 4. The loop.
        return trainer.fit(
            task,
            trainer.reader(data),
            store=store,
            summary=summaries.Summaries(
                run,
                kind=task.kind,
                colorize=data.encoding.colors_of,
                image_class_names=data.image_class_names,
                health=hydra.utils.instantiate(config.get("health"), _convert_="all"),
                histograms=config.summaries.histograms,
                legend=dict(zip(data.class_names, data.class_colors, strict=False)),
                settings=settings,
            ),
            preview_batch=preview_batch,
            evaluate=evaluate,
            best=best,
            batch_names=lambda number: data.batch_names(number, trainer.batch_size),
            mend=lambda number: data.mend_batch(number, trainer.batch_size),
            stop=stop,
            preprocess=data.preprocess,
            writes=writes,
            on_start=keep,
            config_text=OmegaConf.to_yaml(config, resolve=True),
        )


def measuring(config: DictConfig, run, task, data, spec=None) -> tuple:
    """What `fit` measures, and what keeps the best state by it.

    Returns:
        (function that measures the task as it is, BestCheckpoint); None for what is not asked for.

    Raises:
        ValueError: `checkpoints.best_metric` is no figure of the evaluation; a network of the
            evaluation is that of the run's own loss.
    """
    import tensorflow as tf

    from training.runs import best

    evaluation = hydra.utils.instantiate(config.evaluation, _convert_="all")
    metrics = {} if evaluation is None else evaluation.metrics
    for metric in metrics.values():
        if getattr(metric, "network", None) is not None:
            perceptual_loss.refuse_as_judge(config, metric.network)
    kept, settings = None, dict(config.checkpoints)
    # Runs started before there was one lack the key.
    metric, best_is = settings.get("best_metric"), settings.get("best_is", best.HIGHEST)
    if metric == best.AUTO:
        signal = best.SIGNAL.partition("/")[2] in metrics
        metric, best_is = (best.SIGNAL, best.LOWEST) if signal else (None, best_is)
    if metric is not None:
        kept = best.BestCheckpoint(
            run.best, metric, best_is=best_is, patience=settings.get("patience")
        )
    if not metrics:
        if kept is not None:
            raise ValueError(
                "checkpoints.best_metric is a figure of the evaluation, and this run measures "
                f"none. Received: best_metric={kept.metric}, no evaluation.metrics. Set it to "
                "null, or add metrics such as those of configs/experiment/inpaint_synthetic.yaml."
            )
        return None, None
    if kept is not None:
        kept.check(evaluation.names(spec, data.num_examples("validation")))
    judged = any("discriminator" in metric.needs for metric in metrics.values())
    # Compiled once, however often it is measured.
    generate = tf.function(getattr(task, "judge" if judged else "generate", task.generate))
    spread = evaluation.num_images if task.kind.classes == "label" else None  # of every class

    def evaluate() -> tuple:
        def items(split, count=None) -> tf.data.Dataset:
            return data.evaluation_dataset(split, evaluation.batch_size, count)

        def measured() -> dict[str, float]:
            validation = items("validation", spread)
            count = evaluation.num_images or data.num_examples("validation")
            training = items("train", count) if evaluation.gap else None
            evaluation.remember(lambda number: items("train", number), data.preprocess)
            return evaluation.measure(generate, validation, data.preprocess, training)

        values = data.reading("validation", lambda: data.reading("train", measured))
        return values, evaluation.confusions()

    return evaluate, kept


if __name__ == "__main__":
    errors.run(main, interrupted="Interrupted before the first step; there is nothing to resume.")
