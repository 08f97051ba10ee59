"""Configs of older runs as they would be written today: classes have moved, keys are renamed."""

import re
from typing import Any

# Old module -> new module, for every class and function of it that a config could name.
MOVED_MODULES = {
    "data.class_folders": "data.sources.class_folders",
    "data.decoded_cache": "data.images.decoded_cache",
    "data.hole_folder": "data.holes.mask_folder",
    "data.hole_strokes": "data.holes.strokes",
    "data.holes": "data.holes.makers",
    "data.label_maps": "data.labels.label_maps",
    "data.no_label_maps": "data.labels.no_label_maps",
    "data.photo_folder": "data.sources.photo_folder",
    "data.sources": "data.sources.paired_folders",
    "data.splits": "data.sources.splits",
    "data.synthetic_facades": "data.synthetic.synthetic_facades",
    "data.tfds_source": "data.sources.tfds_source",
    "metrics.feature_distances": "metrics.distances.feature_distances",
    "metrics.feature_network": "metrics.features.feature_network",
    "metrics.inception": "metrics.features.inception",
    "training.averaging": "training.tasks.averaging",
    "training.evaluation": "training.watch.evaluation",
    "training.gan": "training.tasks.gan",
    "training.schedules": "training.loop.schedules",
    "training.supervised": "training.tasks.supervised",
    "training.trainer": "training.loop.trainer",
}
# Those that have another name as well.
MOVED = {"training.gan_losses.GANLosses": "training.tasks.objective.Objective"}
# Target of today -> {old name of an argument: name of today}.
RENAMED_ARGUMENTS = {
    "data.pipeline.ImagePipeline": {"labels": "encoding"},
    "data.sources.class_folders.ClassFolders": {"class_names": "class_order"},
    "data.sources.tfds_source.TfdsPipeline": {"labels": "encoding"},
    "training.tasks.gan.GANTask": {"losses": "objective"},
}
# Target of today -> {argument: (its value in runs from before there was one, its default)}.
ADDED_ARGUMENTS = {
    "data.pipeline.ImagePipeline": {"shuffle": ("index_shuffle", "permutation")},
    "data.sources.tfds_source.TfdsPipeline": {"shuffle": ("index_shuffle", "permutation")},
    "data.transforms.Resize": {"evaluate": ("crop", "whole")},
}
# As RENAMED_ARGUMENTS, for interpolations.
RENAMED_KEYS = {
    "data.labels": "data.encoding",
    "data.source.class_names": "data.source.class_order",
    "task.losses": "task.objective",
}
# The kind of a run of format 1, by its generator or by what its network predicts.
KIND_OF_GENERATOR = {
    "models.generators.class_conditional.": "class_conditional.ClassConditional",
    "models.generators.inpainting.": "inpainting.Inpainting",
    "models.generators.semantic.": "semantic.Semantic",
    "models.generators.style_guided.": "semantic.Semantic",
}
KIND_OF_TARGET = {
    "label": "classification.Classification",
    "label_map": "segmentation.Segmentation",
}


def up_to_date(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a run of whatever age as it would be written today.

    Args:
        config: plain dicts, lists and values, interpolations as they are written.

    Returns:
        The same for a config of today; else a copy with targets, arguments and interpolations
        renamed, with arguments that are new, as old runs have them, and with the kind of the task,
        which format 1 did not name.
    """
    config = _renamed(config)
    task = config.get("task")
    if isinstance(task, dict) and "_target_" in task and "kind" not in task:
        kind = _kind(config, task)
        if kind is not None:
            task["kind"] = {"_target_": f"training.kinds.{kind}"}
    return config


def target(name: str) -> str:
    """Where the class or function of a `_target_` is today."""
    module, _, attribute = name.rpartition(".")
    if name in MOVED:
        return MOVED[name]
    return f"{MOVED_MODULES.get(module, module)}.{attribute}" if module else name


def _renamed(node) -> Any:
    if isinstance(node, str):
        return re.sub(r"\$\{([\w.]+)\}", _interpolation, node)
    if isinstance(node, list):
        return [_renamed(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _renamed(value) for key, value in node.items()}
    if not isinstance(node.get("_target_"), str):
        return node
    node["_target_"] = target(node["_target_"])
    names = RENAMED_ARGUMENTS.get(node["_target_"], {})
    added = {key: old for key, (old, _) in ADDED_ARGUMENTS.get(node["_target_"], {}).items()}
    return added | {names.get(key, key): value for key, value in node.items()}


def _interpolation(match) -> str:
    key = match.group(1)
    for old, new in RENAMED_KEYS.items():
        if key == old or key.startswith(f"{old}."):
            return f"${{{new}{key[len(old) :]}}}"
    return match.group()


def _kind(config, task) -> str | None:
    """Name of the kind of a task, after its module; None where the config does not tell."""
    if "network" in task:
        return KIND_OF_TARGET.get(task.get("target", "label"))
    generator = config.get("generator")
    name = str(generator.get("_target_")) if isinstance(generator, dict) else ""
    return next((kind for start, kind in KIND_OF_GENERATOR.items() if name.startswith(start)), None)
