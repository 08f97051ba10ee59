"""Weights of the classes of pixels, counted from the data where a config asks for that."""

import logging

from omegaconf import OmegaConf

KEY = "task.loss.class_weights"
INVERSE_FREQUENCY = "inverse_frequency"

log = logging.getLogger(__name__)


def fill(config, data, report) -> None:
    """Puts numbers in the place of `task.loss.class_weights=inverse_frequency`.

    w_k = n / (K n_k), with n_k pixels of class k in the label maps of the training split as they
    are in the files, n their sum and K the number of classes: all classes together weigh what they
    would at 1 each. A class that never occurs there has weight 0; ignored pixels are not counted.

    Args:
        config: a training config, changed in place; one without the word stays as it is.
        data: the data it names.
        report: LabelReport of its check, or None.

    Raises:
        ValueError: another word, a task that predicts no label maps, or pixels not counted.
    """
    word = OmegaConf.select(config, KEY)
    if not isinstance(word, str):
        return
    if word != INVERSE_FREQUENCY:
        raise ValueError(
            f"{KEY} must be null, a list of a number for each class, or {INVERSE_FREQUENCY}. "
            f"Received: {KEY}={word}"
        )
    if config.task.target != "label_map" or not data.encoding.has_maps:
        raise ValueError(
            f"{KEY}={INVERSE_FREQUENCY} counts the pixels of label maps, for a task that predicts "
            f"label maps. Received: task.target={config.task.target}. Give a list of numbers."
        )
    if report is None or data.encoding.sample_size is not None:
        raise ValueError(
            f"{KEY}={INVERSE_FREQUENCY} needs the pixels of all training images counted. "
            f"Received: data.encoding.check={data.encoding.check}. Set data.encoding.check=all."
        )
    weights = inverse_frequencies(report.pixels_by_split["train"])
    OmegaConf.update(config, KEY, weights)
    log.info("Class weights by inverse frequency: %s", in_words(weights, data.class_names))


def inverse_frequencies(pixels) -> list[float]:
    """n / (K n_k) for the pixel counts n_k of K classes; 0 for a class without any."""
    total = int(sum(pixels))
    return [total / (len(pixels) * int(count)) if count else 0.0 for count in pixels]


def in_words(weights, names) -> str:
    """The smallest and the largest weight with their classes, and which have none."""
    found = sorted((weight, name) for weight, name in zip(weights, names, strict=True) if weight)
    absent = [name for weight, name in zip(weights, names, strict=True) if not weight]
    (least, common), (most, rare) = found[0], found[-1]
    never = f"; 0 for those that never occur: {', '.join(absent)}" if absent else ""
    return f"from {least:.3g} ({common}) to {most:.3g} ({rare}){never}"
