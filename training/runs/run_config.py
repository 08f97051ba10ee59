"""Configs of runs: unknown keys, foreign targets, and what a resumed run may change."""

import difflib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from training.runs import moved, plain_config, targets

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NETWORKS = ("generator", "discriminator", "image_classifier", "segmenter")
RESUMABLE = (
    "data.root",
    "data.holes.folder",
    "data.on_bad_item",
    "devices.device",
    "devices.logical_cpus",
    "devices.strategy",
    "resume",
    "output_root",
    "perceptual_weights",
    "feature_weights",
    "checkpoints.fallback",
    "checkpoints.keep",
    "checkpoints.best_metric",
    "checkpoints.best_is",
    "checkpoints.patience",
    "summaries.histograms",
    "trainer.steps",
    "trainer.steps_per_call",
    "trainer.log_every_steps",
    "trainer.preview_every_steps",
    "trainer.checkpoint_every_steps",
    "trainer.evaluate_every_steps",
    "trainer.on_nonfinite",
    "health",
)

LEFT_OUT_BY_NULL = ("checkpoints.best_metric", "checkpoints.patience")
"""Settings that null switches off, though they have another default."""


def close_match(name: str, known) -> str:
    """ " Did you mean 'x'?" for the known name most like this one, or an empty text."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def check_targets(config, files: tuple[str, ...] | None = None) -> None:
    """Refuses a config that could do more than build public classes from plain values.

    Args:
        config: DictConfig, interpolations unresolved.
        files: see `targets.check`.

    Raises:
        ValueError: see `plain_config.resolved` and `targets.check`.
    """
    targets.check(plain_config.resolved(OmegaConf.to_container(config)), files)


def check_keys(config, config_name: str) -> None:
    """Refuses keys that nothing reads, with the close match.

    Args:
        config: the composed config.
        config_name: the command whose root config says which keys there are.

    Raises:
        ValueError: an unknown key, a key without a value, a target that does not exist, a value of
            the wrong type, or settings of a network that is not there.
    """
    root = OmegaConf.load(CONFIGS / f"{config_name}.yaml")
    _check_known("", config, root_keys(config_name))
    for path, node in _nodes(config):
        for key in node if node is not config else ():  # Hydra asks for those of the root
            if node._get_node(key)._value() == "???":
                raise ValueError(without_value(f"{path}.{key}"))
    for key in root:  # settings that belong to no class
        node = root._get_node(key)
        if isinstance(node, DictConfig) and key in config:
            _check_settings(key, config[key], node)
    for network in NETWORKS:
        node = config._get_node(network) if network in config else None
        if isinstance(node, DictConfig) and not node._is_none() and "_target_" not in node:
            raise ValueError(
                f"Expected settings of networks that this run has. Received: {network}."
                f"{next(iter(node), '')} without a {network} (attention=... is for generators and "
                "discriminators). Leave it out, or choose another experiment."
            )
    for path, node in _nodes(config):
        if "_target_" not in node:
            continue
        known = _parameters(targets.trusted(f"{path}._target_", node["_target_"]))
        own = {key: node._get_node(key) for key in node if not str(key).startswith("_")}
        _check_known(f"{path}.", own, known)
        for key, value in own.items():
            _check_type(f"{path}.{key}", value, known[key])


def without_value(key: str) -> str:
    """What to say of a key that must be given."""
    return f"Expected a value of {key}, which has no default. Received: none. Add {key}=..."


def _check_settings(key, settings, known) -> None:
    """Null stands for a part that is left out: there are such parts, those with a `_target_`."""
    if settings is None and "_target_" in known:
        return
    if not isinstance(settings, DictConfig):
        raise ValueError(
            f"Expected settings below {key}: {', '.join(known)}. Received: {key}={settings}"
        )
    _check_known(f"{key}.", settings, set(known))
    for name in settings if "_target_" not in known else ():  # that of the default, mostly a text
        kind, path = str if known[name] is None else type(known[name]), f"{key}.{name}"
        optional = known[name] is None or path in LEFT_OUT_BY_NULL
        if settings[name] is not None or not optional:
            _check_type(path, settings._get_node(name), kind)


def _check_known(prefix, node, known) -> None:
    for key in node:
        if key not in known:
            raise ValueError(
                f"Every key of the config must exist. Received: unknown key '{prefix}{key}'."
                f"{close_match(str(key), known)} Known: {', '.join(sorted(known))}."
            )


def root_keys(config_name: str) -> set[str]:
    """Top-level keys that the root config of a command declares, groups included."""
    root = OmegaConf.load(CONFIGS / f"{config_name}.yaml")
    keys = {key for key in root if key not in ("defaults", "hydra")}
    for entry in root.get("defaults", []):
        if isinstance(entry, DictConfig):
            keys |= {str(key).split()[-1] for key in entry if not str(key).startswith("override")}
    return keys - {"experiment", "attention", "holes", "normalizer", "debug"}


def load(path: Path) -> DictConfig:
    """The config a run was started with, as it would be written today, checked as data.

    Raises:
        ValueError: it is no YAML mapping, names foreign code, or computes values; the file is
            named.
    """
    config = moved.up_to_date(plain_config.read(path))
    try:
        values = plain_config.resolved(config)
        targets.check(values)
        # These are built when a run is opened, and nothing of theirs is read from such a file.
        targets.check({key: values.get(key) for key in ("data", "task")}, files=())
        created = OmegaConf.create(config)
        same = OmegaConf.to_container(created, resolve=True) == values
    except OmegaConfBaseException:
        same = False
    except ValueError as error:
        raise ValueError(f"{error} (in {path})") from None
    if not same:  # what was checked must be what OmegaConf gives to those who build
        raise ValueError(
            "Expected plain interpolations of keys that have values. Received: others in "
            f"{path}. {plain_config.ADVICE}"
        )
    return created


def write_defaults(config) -> None:
    """Writes the defaults of `moved.ADDED_ARGUMENTS` into the config of a new run that lacks them.

    Without them it would be read as that of an old run.
    """
    for _, node in _nodes(config):
        for key, (_, default) in moved.ADDED_ARGUMENTS.get(node.get("_target_"), {}).items():
            if key not in node:
                OmegaConf.update(node, key, default, force_add=True)


def resumed(saved: DictConfig, choices: dict, overrides: list[str]) -> DictConfig:
    """The saved config with those overrides that a resumed run may have.

    Overrides that say what the run says already are accepted, so that a queue can start the same
    command again and again with `resume=auto`. What was computed from `trainer.steps`, such as
    the end of a learning-rate schedule, keeps its value when the steps change.

    Args:
        saved: config of the run.
        choices: group choices the run was started with.
        overrides: the overrides of this command, as Hydra takes them.

    Raises:
        ValueError: an override would change what the run is.
    """
    config = saved.copy()
    for _, node in _nodes(config):
        for key in node:
            child = node._get_node(key)
            if child is not None and "${trainer.steps}" in str(child._value()):
                node[key] = node[key]
    refused = []
    parsed = OverridesParser.create().parse_overrides(overrides)
    for override in {override.key_or_group: override for override in parsed}.values():  # the last
        key, text = override.key_or_group, override.input_line
        parent = key.rpartition(".")[0]
        has_parent = not parent or OmegaConf.select(saved, parent) is not None
        value = None if override.is_delete() else override.value()
        if key in choices:
            if _text(choices[key]) != _text(value):
                refused.append(f"{text} (the run has {key}={_text(choices[key])})")
        elif has_parent and any(key == n or key.startswith(f"{n}.") for n in RESUMABLE):
            OmegaConf.update(config, key, value)
        elif override.is_delete():
            if OmegaConf.select(saved, key) is not None:
                refused.append(f"{text} (the run has it)")
        elif OmegaConf.create({"v": value}).v != (old := OmegaConf.select(saved, key)):
            refused.append(f"{text} (the run has {key}={old})")
    if refused:
        raise ValueError(
            "A resumed run may change only " + ", ".join(k for k in RESUMABLE if k != "resume")
            + ". Received: " + "; ".join(refused) + ". Start a new run for anything else."
        )  # fmt: skip
    return config


def _text(choice) -> str:
    return "null" if choice is None else str(choice)


def _nodes(config, path="") -> Iterator[tuple]:
    """(path, mapping) of every mapping in the config, interpolations left alone."""
    if isinstance(config, DictConfig):
        if config._is_none() or config._is_missing():
            return
        yield path or "config", config
        items = [(key, config._get_node(key)) for key in config]
    elif isinstance(config, ListConfig) and not (config._is_none() or config._is_missing()):
        items = [(index, config._get_node(index)) for index in range(len(config))]
    else:
        return
    for key, child in items:
        if child is not None and not child._is_interpolation():
            yield from _nodes(child, f"{path}.{key}" if path else str(key))


def _check_type(path, node, annotation) -> None:
    """Refuses "abc" where the constructor says int; what it does not say is not checked."""
    accepted: Any = {int: int, float: (int, float), bool: bool, str: str}.get(annotation)
    if accepted is None or node is None or node._is_interpolation():
        return
    value = node._value()
    if not isinstance(value, accepted) or (isinstance(value, bool) and annotation is not bool):
        raise ValueError(
            f"{path} must be of type {annotation.__name__}. Received: {path}={value!r}"
        )


def _parameters(callable_) -> dict:
    """Names a target takes with their types; with **kwargs, those of its base classes too."""
    names, open_ended = {}, True
    classes = inspect.getmro(callable_) if inspect.isclass(callable_) else [callable_]
    for item in classes:
        if not open_ended or item is object:
            break
        function = item.__dict__.get("__init__") if inspect.isclass(item) else item
        if function is None:
            continue
        parameters = inspect.signature(function).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names = {p.name: p.annotation for p in parameters if p.kind in named} | names
        open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    names.pop("self", None)
    return names
