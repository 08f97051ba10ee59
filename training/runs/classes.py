"""The classes of images: how many networks have, in which order, and how a user names them."""

import json

from omegaconf import DictConfig, OmegaConf

from training.runs import json_files, run_config, whole_files

MAX_NAMED = 12
ACCURACY = "metrics.accuracy.ClassAccuracy"


def fill_counts(config, image_class_names) -> None:
    """Sets `num_classes: null` of the networks in a config to the number of classes of the data.

    Networks with `num_classes: 0` have to do with no classes, whatever the data have.

    Metrics of these classes that leave out `class_names` get their names.

    Args:
        config: a training config, changed in place.
        image_class_names: classes of the data by id; empty where they have none.

    Raises:
        ValueError: the config has another number, or the data have no classes; a network takes the
            classes of label maps, and the data have no label maps.
    """
    computing = [name for name in image_class_names if "${" in str(name)]
    if computing:  # as a value of the config it would be resolved
        raise ValueError(
            f"Expected names of classes without '${{'. Received: {computing[0]!r}. Rename its "
            "folder."
        )
    check_label_maps(config)
    for network in networks_with_classes(config):
        count = config[network].num_classes
        if not image_class_names:
            raise ValueError(
                f"{network} reads or tells the class of an image and needs data with classes. "
                f"Received: data={config.data.source._target_} without any. Choose another "
                "network, or data with classes: data=class_folders, data=tfds, "
                "data=synthetic_classes."
            )
        if count is not None and count != len(image_class_names):
            raise ValueError(
                f"{network}.num_classes must be the number of classes of the data, "
                f"{len(image_class_names)}: {first(image_class_names)}. Received: "
                f"{network}.num_classes={count}. Set it to null, which takes that of the data."
            )
        config[network].num_classes = len(image_class_names)
    metrics = OmegaConf.select(config, "evaluation.metrics") or {}
    for metric in metrics.values():
        if metric and metric.get("_target_") == ACCURACY and metric.get("class_names") is None:
            names = [str(name) for name in image_class_names]
            OmegaConf.update(metric, "class_names", names, force_add=True)


def check_label_maps(config) -> None:
    """Raises ValueError where a network has `label_map_classes` and the data have no label maps."""
    for network in _networks_with("label_map_classes", config):
        if OmegaConf.select(config, "data.encoding.num_classes") is None:
            raise ValueError(
                f"{network} tells the class of each pixel and needs data with label maps. "
                f"Received: data={config.data.source._target_} without any. Choose "
                "data=paired_folders, data=facades, data=synthetic_facades."
            )


def networks_with_classes(config) -> list[str]:
    """Keys of the networks of a training config whose `num_classes` are the classes of images."""
    names = _networks_with("num_classes", config)
    return [name for name in names if config[name].num_classes != 0]


def _networks_with(setting, config) -> list[str]:
    nodes = {key: config._get_node(key) for key in config}
    return [
        key
        for key, node in nodes.items()
        if isinstance(node, DictConfig)
        and str(node.get("_target_")).startswith("models.")
        and setting in node
    ]


def keep(run, image_class_names) -> None:
    """Writes the classes into the run folder, or compares them with those it was started with.

    Args:
        run: RunFolder.
        image_class_names: classes of the data by id; nothing is written where there are none.

    Raises:
        ValueError: the run was started with others, or in another order.
    """
    check(run, image_class_names)
    if image_class_names and not run.image_class_names.is_file():
        names = [str(name) for name in image_class_names]
        with whole_files.written(run.image_class_names) as partial:
            text = json.dumps(names, ensure_ascii=False, indent=1) + "\n"
            # JSON's own form for bytes of a folder's name that are no letters
            partial.write_bytes(text.encode(errors="backslashreplace"))


def check(run, image_class_names) -> None:
    """Compares the classes of the data with those a run was started with.

    Raises:
        ValueError: they are others, or in another order.
    """
    names = [str(name) for name in image_class_names]
    started_with = saved(run)
    if started_with is not None and started_with != names:
        changed = [
            f"id {index}: {old!r} is now {new!r}"
            for index, (old, new) in enumerate(zip(started_with, names, strict=False))
            if old != new
        ]
        raise ValueError(
            f"Expected the {len(started_with)} classes that this run was started with, in their "
            f"order: {first(started_with)} ({run.image_class_names}). Received: data with "
            f"{len(names)}: {first(names)}{'; ' + changed[0] if changed else ''}. Class folders "
            "may have been added, removed or renamed: restore them, or set data.root to the data "
            "set of the run."
        )


def saved(run) -> list[str] | None:
    """The classes a run was started with, by id; None where it has kept none.

    Raises:
        ValueError: the file is damaged.
    """
    if not run.image_class_names.is_file():
        return None
    try:
        names = json_files.read(run.image_class_names)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "Expected a JSON list of the names of the classes, in the order of their ids. "
            f"Received: {run.image_class_names}. Restore it, or delete it to have the names "
            "read from the data set again."
        )
    return names


def chosen(requested, names) -> list[int]:
    """Ids of the classes that a user asks for by name or number; None = all.

    A name counts before a number: digits may be names themselves.

    Raises:
        ValueError: a class that does not exist.
    """
    if requested is None:
        return list(range(len(names)))
    ids = {str(index): index for index in range(len(names))}
    ids |= {name: index for index, name in enumerate(names)}
    items = requested if isinstance(requested, list) else [requested]
    unknown = [str(item) for item in items if str(item) not in ids]
    if unknown or not items:
        hint = run_config.close_match(unknown[0], names) if unknown else ""
        raise ValueError(
            f"Expected names of classes of the run, or their numbers 0 to {len(names) - 1}. "
            f"Received: classes={items}, unknown {unknown}.{hint} Known: {first(names, 50)}"
        )
    return [ids[str(item)] for item in items]


def first(names, count=MAX_NAMED) -> str:
    """The first of some names in one line."""
    return f"{', '.join(map(str, names[:count]))}" + (" ..." if len(names) > count else "")
