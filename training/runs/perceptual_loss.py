"""What a run's perceptual loss needs of its network: weights of the maps, and its hash."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from omegaconf import OmegaConf

TERM = "task.objective.generator_terms.perceptual"
KEY = "perceptual.layer_weights"
HASH = "perceptual.weights_hash"
INVERSE_SIZE = "inverse_size"
NUM_IMAGES = 32

log = logging.getLogger(__name__)


def fill(config, data) -> dict[str, Any]:
    """Puts numbers in the place of `layer_weights: inverse_size` and of `weights_hash: null`.

    w_l = 1 / mean |phi_l(x)| over `NUM_IMAGES` real images x, spread evenly over the training
    split: every map counts the same, whatever the size of its features.

    Args:
        config: a training config, changed in place; one without such a loss stays as it is.
        data: the data it names.

    Returns:
        {key: value} of what was filled in, which belongs to the run; empty where nothing was.

    Raises:
        ValueError: another word, a map that is zero everywhere, or a task without such a loss.
    """
    loss = config.get("perceptual")
    measured: dict[str, Any] = {}
    if loss is None:
        return {}
    if OmegaConf.select(config, TERM) is None:
        raise ValueError(
            "Expected perceptual=null: the loss compares with the photograph that a semantic or "
            f"inpainting run should make. Received: perceptual={loss._target_} for "
            f"task={config.task.get('kind', config.task)._target_}."
        )
    word = loss.get("layer_weights")
    if isinstance(word, str) and word != INVERSE_SIZE:
        raise ValueError(
            f"{KEY} must be a list of a number for each layer, or {INVERSE_SIZE}. Received: {word}"
        )
    if isinstance(word, str) or loss.get("weights_hash") is None:
        network = hydra.utils.instantiate(loss.feature_network, _convert_="all")
        measured[HASH] = _hash(network.weights_path)
        if isinstance(word, str):
            measured[KEY] = _inverse_sizes(network, data)
            text = ", ".join(f"{weight:.3g}" for weight in measured[KEY])
            log.info("Weights of the maps of the perceptual loss: %s", text)
    for key, value in measured.items():
        OmegaConf.update(config, key, value)
    return measured


def refuse_as_judge(config, network) -> None:
    """Raises ValueError where a feature network is the one that the loss of a run trains against.

    Args:
        config: of the run.
        network: a feature network, with `name` and `weights_hash`.
    """
    if network.weights_hash == _hash_of_loss(config):
        raise ValueError(
            "Expected a feature network that the losses of the run do not see: a distance in their "
            f"own network flatters the run. Received: features of {network.name}, in which its "
            f"perceptual loss is (SHA-256 {network.weights_hash}). Choose another network, such as "
            "features=squeezenet feature_weights=FILE, or train with perceptual=null."
        )


def _hash_of_loss(config) -> str | None:
    """Runs that did not keep it may name a file that is still there."""
    kept = OmegaConf.select(config, HASH)
    path = OmegaConf.select(config, f"{TERM}.feature_network.weights_path")
    return kept or (_hash(path) if path and Path(path).is_file() else None)


def _hash(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _inverse_sizes(network, data) -> list[float]:
    _, batch = data.examples("train", NUM_IMAGES)
    sizes = [float(np.mean(np.abs(m), dtype=np.float64)) for m in network(batch["image"])]
    if not all(np.isfinite(sizes)) or min(sizes) <= 0.0:
        raise ValueError(
            f"{KEY}={INVERSE_SIZE} divides by the mean size of each feature map. Received: "
            f"{sizes} on {len(batch['image'])} training images. Give a list of numbers, or leave a "
            "layer out."
        )
    return [1.0 / size for size in sizes]
