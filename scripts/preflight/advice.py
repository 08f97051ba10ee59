"""What speaks against a training before it starts, in sentences that say what to try."""

import math
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from training.runs import class_weights

FEW_IMAGES = 5000
"""Below, a discriminator learns its photographs by heart in a long run; with 5000 of 70,000 faces
Karras et al. 2020, arXiv 2006.06676, figure 1, see it early in training."""
RARE = 0.01  # share of the training images
LARGE_WEIGHT = 20.0
LONG_AVERAGE = 0.25  # half-life over the length of the run


def warnings(config: DictConfig, timer, steps: int) -> Iterator[str]:
    """Sentences, none where nothing is wrong.

    Args:
        config: of the run.
        timer: StepTimer, with the task, the data and the report of their check.
        steps: of the whole run.
    """
    task, data = timer.task, timer.data
    yield from batch_of_one(task, timer.trainer.batch_size, timer.strategy.num_replicas_in_sync)
    yield from unbounded_critic(config, task)
    yield from few_images(config, data.num_examples("train"))
    yield from rare_classes(timer.label_report, data)
    yield from large_weights(config, data.class_names)
    yield from small_evaluation(config, data.num_examples("validation"))
    yield from schedules(task, steps)
    yield from long_average(task, steps, timer.trainer.batch_size)


def batch_of_one(task, batch_size: int, replicas: int) -> Iterator[str]:
    """Batch statistics of one item."""
    normalized = [
        name for name, network in task.networks.items()
        if any(v.path.endswith(("moving_mean", "moving_variance")) for v in network.variables)
    ]  # fmt: skip
    if batch_size == replicas and normalized:
        yield (
            f"The {' and '.join(normalized)} normalizes by the statistics of a batch, and each "
            "replica has a batch of one image. Raise trainer.batch_size, or choose a normalizer "
            "without batches: normalizer=pixel."
        )


def unbounded_critic(config, task) -> Iterator[str]:
    """A hinge loss on a critic whose slope nothing bounds."""
    critic = task.networks.get("discriminator")
    loss = str(OmegaConf.select(config, "loss.adversarial._target_", default=""))
    if critic is None or not loss.endswith("Hinge") or task.objective.discriminator_terms:
        return
    if not any(hasattr(layer, "iterated_variables") for layer in critic._flatten_layers()):
        yield (
            "The hinge loss needs a critic of bounded slope, and this one has neither spectral "
            "norm nor a gradient penalty. Set discriminator.spectral_norm=true, or regularizer=r1."
        )


def few_images(config, count: int) -> Iterator[str]:
    """So few that the discriminator learns them by heart, and nothing is done about it."""
    objective = OmegaConf.select(config, "task.objective")
    if objective is None or count >= FEW_IMAGES:
        return
    lecam = OmegaConf.select(config, "loss.discriminator_terms.lecam")
    helped = objective.get("augment") is not None or lecam is not None
    if not helped and config.get("start_from") is None:
        yield (
            f"{count} training images are few: in a long run the discriminator learns them by "
            "heart, and generated images get worse. Try augment=diffaugment (augment=affine where "
            "maps belong to images), regularizer=lecam, or start_from=RUN of more images; watch "
            "eval/sliced_wasserstein_gap."
        )


def rare_classes(report, data) -> Iterator[str]:
    """Classes that hardly any batch shows."""
    if report is not None and report.pixels_by_split.get("train") is not None:
        pixels = report.pixels_by_split["train"]
        total = max(1, int(sum(pixels)))
        rare = [
            f"{name} ({100 * count / total:.2g} %)"
            for name, count in zip(data.class_names, pixels, strict=True)
            if 0 < count < RARE * total
        ]
        what = "pixels"
    else:
        labels = [getattr(record, "label", None) for record in data.source.records("train")]
        names = data.image_class_names
        counts = {name: labels.count(index) for index, name in enumerate(names)}
        rare = [
            f"{name} ({count} of {len(labels)})"
            for name, count in counts.items() if 0 < count < RARE * len(labels)
        ]  # fmt: skip
        what = "images"
    if rare:
        remedy = "merge them (id_map)" if what == "pixels" else "set data.class_balanced=true"
        yield (
            f"Classes of less than {100 * RARE:.0f} % of the {what} are hardly learnt: "
            f"{', '.join(rare)}. Add photographs of them, or {remedy}."
        )


def large_weights(config, names) -> Iterator[str]:
    """Weights of rare classes that drown the others."""
    weights = OmegaConf.select(config, class_weights.KEY)
    if weights is None or isinstance(weights, str):
        return
    large = [
        f"{name} {weight:.3g}"
        for name, weight in zip(names, weights, strict=True) if weight > LARGE_WEIGHT
    ]  # fmt: skip
    if large:
        yield (
            f"Class weights above {LARGE_WEIGHT:.0f} make a few pixels decide: {', '.join(large)}. "
            f"Cut them off: {class_weights.KEY}=[...]."
        )


def small_evaluation(config, count: int) -> Iterator[str]:
    """A Frechet distance of fewer images than features."""
    network = OmegaConf.select(config, "evaluation.metrics.distances.network")
    metrics = OmegaConf.select(config, "evaluation.metrics.distances.metrics") or {}
    if network is None or metrics.get("fid") is None:
        return
    shown = min(count, config.evaluation.num_images or count)
    if shown < 2048:
        yield (
            f"The Frechet distance of {shown} images is far too high, and so of use only beside "
            "others of as many: look at the kernel distance. evaluation.num_images=null takes "
            "the whole split."
        )


def schedules(task, steps: int) -> Iterator[str]:
    """Learning rates that fall to the end too early, or are on their way when the run ends."""
    for owner, optimizer in getattr(task, "optimizers", {}).items():
        rate = getattr(optimizer, "_learning_rate", None)
        if not callable(rate):
            continue
        updates = steps * (task.discriminator_steps if owner == "discriminator" else 1)
        first, late, end, after = (float(rate(share * updates)) for share in (0.0, 0.9, 1.0, 10.0))
        if late <= 1e-3 * first:
            yield (
                f"The learning rate of the {owner} is near 0 long before the {steps} steps end. "
                "Give its schedule the length of the run, ${trainer.steps}."
            )
        elif end > 0.1 * first and after < 0.5 * end:
            yield (
                f"The learning rate of the {owner} still falls when the {steps} steps end. Give "
                "its schedule the length of the run, ${trainer.steps}."
            )


def long_average(task, steps: int, batch_size: int) -> Iterator[str]:
    """An average that still holds the beginning of the run."""
    averaging = getattr(task, "averaging", None)
    if averaging is None or averaging.half_life_images is not None:
        return  # which never is more than a share of what was seen
    half_life = math.log(0.5) / math.log(averaging.decay) if averaging.decay else 0.0
    if half_life > LONG_AVERAGE * (steps - averaging.start_step):
        yield (
            f"Averaged weights forget half in {half_life:.0f} steps, more than a quarter of the "
            f"{steps} of the run: they lag behind. Set task.averaging.half_life_images="
            f"{max(1, round(0.05 * steps * batch_size))}."
        )
