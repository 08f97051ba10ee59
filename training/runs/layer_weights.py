"""Weights of the feature maps of a perceptual loss, measured on the data where a config asks it."""

import logging
from typing import Any

import hydra
import numpy as np
from omegaconf import OmegaConf

KEY = "perceptual.layer_weights"
TERM = "task.objective.generator_terms.perceptual"
INVERSE_SIZE = "inverse_size"
NUM_IMAGES = 32

log = logging.getLogger(__name__)


def fill(config, data) -> dict[str, Any]:
    """Puts numbers in the place of `layer_weights: inverse_size` of the perceptual loss.

    w_l = 1 / mean |phi_l(x)| over `NUM_IMAGES` real images x, spread evenly over the training
    split: every map counts the same, whatever the size of its features.

    Args:
        config: a training config, changed in place; one without the word stays as it is.
        data: the data it names.

    Returns:
        {key: weights} of what was filled in, which belongs to the run; empty where nothing was.

    Raises:
        ValueError: another word, a map that is zero everywhere, or a task without such a loss.
    """
    if config.get("perceptual") is not None and OmegaConf.select(config, TERM) is None:
        raise ValueError(
            "Expected perceptual=null: the loss compares with the photograph that a semantic or "
            f"inpainting run should make. Received: perceptual={config.perceptual._target_} for "
            f"task={config.task.get('kind', config.task)._target_}."
        )
    word = OmegaConf.select(config, KEY)
    if not isinstance(word, str):
        return {}
    if word != INVERSE_SIZE:
        raise ValueError(
            f"{KEY} must be a list of a number for each layer, or {INVERSE_SIZE}. Received: {word}"
        )
    node = config.perceptual.feature_network
    network = hydra.utils.instantiate(node, _convert_="all")
    _, batch = data.examples("train", NUM_IMAGES)
    sizes = [float(np.mean(np.abs(m), dtype=np.float64)) for m in network(batch["image"])]
    if not all(np.isfinite(sizes)) or min(sizes) <= 0.0:
        raise ValueError(
            f"{KEY}={INVERSE_SIZE} divides by the mean size of each feature map. Received: "
            f"{sizes} for {node._target_} on {len(batch['image'])} training images. Give a list "
            "of numbers, or leave a layer out."
        )
    weights = [1.0 / size for size in sizes]
    OmegaConf.update(config, KEY, weights)
    log.info("Weights of the perceptual loss: %s", ", ".join(f"{w:.3g}" for w in weights))
    return {KEY: weights}
