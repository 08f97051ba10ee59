"""Configs of runs: unknown keys, foreign targets, and what a resumed run may change."""

import difflib
import inspect
from pathlib import Path

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
# Code that a config may name. A run folder can come from someone else, and instantiating a
# config calls whatever its `_target_`s name.
TRUSTED = ("data.", "losses.", "metrics.", "models.", "training.", "keras.", "tensorflow.")
RESUMABLE = (
    "data.root",
    "devices",
    "resume",
    "checkpoints.keep",
    "summaries.histograms",
    "trainer.steps",
    "trainer.steps_per_call",
    "trainer.log_every_steps",
    "trainer.preview_every_steps",
    "trainer.checkpoint_every_steps",
)


def close_match(name: str, known) -> str:
    """ " Did you mean 'x'?" for the known name most like this one, or an empty text."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def check_targets(config) -> None:
    """Refuses code from outside this project, Keras and TensorFlow.

    Raises:
        ValueError: a `_target_` lies elsewhere; it is named.
    """
    for path, node in _nodes(config):
        target = node.get("_target_")
        if target is not None and not str(target).startswith(TRUSTED):
            raise ValueError(
                f"Every _target_ of a config must lie in {', '.join(TRUSTED)}. Received: "
                f"{path}._target_={target}. Do not use a run folder you do not trust."
            )


def check_keys(config, root_keys) -> None:
    """Refuses keys that nothing reads, with the close match.

    Args:
        config: the composed config.
        root_keys: the keys known at the top.

    Raises:
        ValueError: an unknown key, a target that does not exist, a value of the wrong type.
    """
    for key in config:
        if key not in root_keys:
            raise ValueError(
                f"Every key of the config must exist. Received: unknown key {key!r}."
                f"{close_match(str(key), root_keys)}"
            )
    for path, node in _nodes(config):
        if "_target_" not in node:
            continue
        known = _parameters(f"{path}._target_", node["_target_"])
        for key in node:
            if str(key).startswith("_"):
                continue
            if key not in known:
                raise ValueError(
                    f"Every key of the config must exist. Received: unknown key '{path}.{key}'."
                    f"{close_match(str(key), known)} {node['_target_']} takes {sorted(known)}."
                )
            _check_type(f"{path}.{key}", node._get_node(key), known[key])


def root_keys(config_name: str) -> set[str]:
    """Top-level keys that the root config of a command declares, groups included."""
    root = OmegaConf.load(CONFIGS / f"{config_name}.yaml")
    keys = {key for key in root if key not in ("defaults", "hydra")}
    for entry in root.get("defaults", []):
        if isinstance(entry, DictConfig):
            keys |= {str(key).split()[-1] for key in entry if not str(key).startswith("override")}
    return keys - {"experiment", "attention", "debug"}


def load(path: Path) -> DictConfig:
    """The config a run was started with, its targets checked.

    Raises:
        ValueError: it is no YAML mapping, or names foreign code.
    """
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise ValueError(f"Expected a config in {path}. Received: {type(config).__name__}")
    check_targets(config)
    return config


def resumed(saved: DictConfig, choices: dict, overrides: list[str]) -> DictConfig:
    """The saved config with those overrides that a resumed run may have.

    Overrides that say what the run says already are accepted, so that a queue can start the same
    command again and again with `resume=auto`.

    Args:
        saved: config of the run.
        choices: group choices the run was started with.
        overrides: the overrides of this command, "key=value".

    Raises:
        ValueError: an override would change what the run is.
    """
    config = saved.copy()
    OmegaConf.set_struct(config, True)
    refused = []
    for text in overrides:
        key, _, value = text.lstrip("+~").partition("=")
        group = key.partition("@")[0]
        if group in choices:
            if str(choices[group]) != value and value != "null":
                refused.append(f"{text} (the run has {group}={choices[group]})")
            continue
        override = OmegaConf.from_dotlist([f"{key}={value}"])
        new = OmegaConf.select(override, key)
        old = OmegaConf.select(saved, key)
        if key.startswith(RESUMABLE):
            OmegaConf.update(config, key, new)
        elif text.startswith("~") or new != old:
            refused.append(f"{text} (the run has {key}={old})")
    if refused:
        raise ValueError(
            "A resumed run may change only " + ", ".join(k for k in RESUMABLE if k != "resume")
            + ". Received: " + "; ".join(refused) + ". Start a new run for anything else."
        )  # fmt: skip
    return config


def _nodes(config, path=""):
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


def _check_type(path, node, annotation):
    """Refuses "abc" where the constructor says int; what it does not say is not checked."""
    accepted = {int: int, float: (int, float), bool: bool, str: str}.get(annotation)
    if accepted is None or node is None or node._is_interpolation():
        return
    value = node._value()
    if not isinstance(value, accepted) or (isinstance(value, bool) and annotation is not bool):
        raise ValueError(
            f"{path} must be of type {annotation.__name__}. Received: {path}={value!r}"
        )


def _parameters(path: str, target: str) -> dict:
    """Names a target takes with their types; with **kwargs, those of its base classes too."""
    try:
        callable_ = hydra.utils.get_object(target)
    except ImportError as error:
        raise ValueError(
            f"Every _target_ must name a class or function that exists. Received: {path}={target}"
        ) from error
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
