"""A new run that starts from the networks of another one, and layers that keep their weights."""

import json
import logging
from pathlib import Path
from typing import Any

import hydra

from training.runs import classes, run_config, trained_run, whole_files

SHOWN = 6  # names of variables in a line of the log

log = logging.getLogger(__name__)


def open_source(config) -> trained_run.TrainedRun | None:
    """The run whose networks a new one starts from, with all of them; None = none is named.

    It has the averaged weights where it keeps them, for the generator in training as well.

    Args:
        config: of the new run.

    Raises:
        FileNotFoundError, CheckpointError, ValueError: as `trained_run.open_run`; settings without
            `start_from`; a run of another kind.
    """
    path = config.get("start_from")
    if path is None:
        given = [k for k in ("start_from_step", "start_from_classes") if config.get(k) is not None]
        if given:
            raise ValueError(
                f"{given[0]} says how to start from another run. Received: {given[0]}="
                f"{config[given[0]]} without one. Add start_from=RUN, or leave it out."
            )
        return None
    if not isinstance(path, str) or not path.strip():
        raise ValueError(f"start_from must be the folder of a run, or null. Received: {path!r}")
    source = trained_run.open_run(
        path, step=config.start_from_step, device=config.devices.device, all_networks=True
    )
    kind = hydra.utils.instantiate(config.task.kind)
    if source.task.kind.name != kind.name:
        raise ValueError(
            f"Expected start_from to be a run of the same kind, {kind.name}. Received: {path}, a "
            f"run of kind {source.task.kind.name}. Choose another run or another experiment."
        )
    return source


def class_maps(source, data, given) -> dict[str, Any]:
    """Which classes of the new data are which of the source's, by entry of transfer.CLASSES.

    Args:
        source: TrainedRun.
        data: of the new run.
        given: {new name: old name or None}, or None; other names map to their equals.

    Raises:
        ValueError: it is no such mapping, or a name is none of the classes.
    """
    from training.tasks import transfer

    pairs = dict(given) if hasattr(given, "items") else {}
    texts = all(isinstance(name, str) for name in pairs)
    texts = texts and all(old is None or isinstance(old, str) for old in pairs.values())
    if not texts or (given is not None and not hasattr(given, "items")):
        raise ValueError(
            "start_from_classes must be {name of a class: name in the other run, or null}. "
            f"Received: start_from_classes={given}. Write 'start_from_classes={{wall: facade}}'."
        )
    entry = source.task.kind.classes
    new = {"label_map": data.class_names, "label": data.image_class_names}.get(entry, ())
    new, old = tuple(new), source.task.kind.class_names(source)
    for name, origin in pairs.items():
        for where, known, asked in (("the new run", new, name), (source.folder.path, old, origin)):
            if asked is not None and asked not in known:
                raise ValueError(
                    "start_from_classes must map names of classes of this run to names of classes "
                    f"of the other one. Received: {name}: {origin}, where {asked!r} is no class of "
                    f"{where}.{run_config.close_match(asked, known)} Known: "
                    f"{classes.first(known, 50) or 'none, as it has no classes'}."
                )
    ids = {name: index for index, name in enumerate(old)}
    sources = tuple(ids.get(pairs.get(name, name)) for name in new)
    return {entry: transfer.ClassMap(new, old, sources)} if new and old else {}


def start(networks: dict, source, spec, maps) -> dict[str, Any]:
    """Puts into new networks what fits of a run; returns what was done, as `keep` writes it.

    Args:
        networks: name -> built network.
        source: TrainedRun of `open_source`.
        spec: of the new run's batches.
        maps: of `class_maps`.

    Raises:
        ValueError: nothing of the network that generates fits.
    """
    from training.tasks import network_inputs, transfer

    log.info(
        "Starts from %s, step %d, its %s weights",
        source.folder.path, source.step, "averaged" if source.averaged else "raw",
    )  # fmt: skip
    for entry, classes_ in maps.items():
        log.info("  classes of %ss: %s", entry.replace("_", " "), "; ".join(_pairs(classes_)))
    olds, reports = source.task.networks, {}
    for name, network in networks.items():
        shapes = network_inputs.shapes(network, spec)
        report = transfer.transfer(network, olds[name], shapes, maps)
        reports[name] = vars(report)
        log.info(
            "  %s: %d variables taken, %d more class by class, %d new%s, %d left behind%s",
            name, len(report.whole), len(report.by_class), len(report.new), _some(report.new),
            len(report.dropped), _some(report.dropped),
        )  # fmt: skip
    first = next(iter(reports))
    found = transfer.variables_by_name(networks[first])
    taken = [*reports[first]["whole"], *reports[first]["by_class"]]
    if not any(len(found[name].shape) > 1 for name in taken):  # vectors fit by chance
        raise ValueError(
            f"Expected networks that have something in common. Received: start_from="
            f"{source.folder.path}, of whose {first} no kernel fits by name and shape. Set the "
            f"sizes of the {first} to those of that run."
        )
    return {
        "run": str(Path(source.folder.path).absolute()),
        "step": source.step,
        "averaged": source.averaged,
        "classes": {entry: _pairs(classes_) for entry, classes_ in maps.items()},
        "variables": reports,
    }


def _pairs(maps) -> list[str]:
    return [
        f"{name} <- {'nothing' if source is None else maps.old[source]}"
        for name, source in zip(maps.new, maps.sources, strict=True)
    ]


def _some(names) -> str:
    return f" ({classes.first(names, SHOWN)})" if names else ""


def keep(run, report: dict) -> None:
    """Writes what a run took from another, if anything, into its folder."""
    if report:
        with whole_files.written(run.start_from) as partial:
            partial.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def freeze(networks: dict, names, aliases: dict[str, str]) -> None:
    """Freezes layers: their weights, and the batch statistics in them, stay as they are.

    Args:
        networks: name -> built network.
        names: "network.layer" or "network.layer.layer"; layers count at any depth below.
        aliases: network -> the name that its users know.

    Raises:
        ValueError: a name without a layer, or a network of which nothing is left to train.
    """
    from training.tasks import transfer

    if isinstance(names, str) or not all(isinstance(name, str) for name in names or ()):
        raise ValueError(
            f"freeze must be a list of names of layers. Received: freeze={names}. Write "
            "freeze=[discriminator.critic_0]"
        )
    layers = [
        (f"{aliases.get(owner, owner)}/{known[layer.path]}".rstrip("/"), network, layer)
        for owner, network in networks.items()
        for known in [transfer.layer_names(network)]
        for layer in network._flatten_layers()
        if layer.path in known
    ]
    for name in names or ():
        owner, *inner = name.split(".")
        found = [(network, layer) for path, network, layer in layers if _names(path, owner, inner)]
        if not found:
            names_known = {path.replace("/", ".") for path, _, layer in layers if layer.weights}
            known = sorted(names_known, key=lambda name: (name.count("."), name))
            raise ValueError(
                f"freeze must name layers of the networks. Received: {name!r}, which is none."
                f"{run_config.close_match(name, known)} Known: {classes.first(known, 40)}"
            )
        for _, layer in found:
            layer.trainable = False
        count = len({id(v) for _, layer in found for v in layer.weights})
        log.info("%s is frozen: %d variables keep their values", name, count)
        for network in (network for network, _ in found if not network.trainable_variables):
            raise ValueError(
                f"Expected a {owner} of which something is left to train. Received: freeze="
                f"{list(names)}, which is all of {network.name}. Name fewer layers."
            )


def aliases(config) -> dict[str, str]:
    """What a user calls the network of a task that has one: as its config does."""
    chosen = [n for n in ("image_classifier", "segmenter") if config.get(n) is not None]
    return {"network": chosen[0]} if chosen else {}


def _names(path, owner, inner) -> bool:
    """Whether a layer is of a network and ends in a row of names."""
    own, *parts = path.split("/")
    return own == owner and parts[max(0, len(parts) - len(inner)) :] == inner
