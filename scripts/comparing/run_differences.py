"""In what the configs of runs differ, and how far their training has come."""

import json
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from training.runs import checkpoint, run_folder

ABSENT = "-"
# Where files go and how long they stay; no number of a run depends on them.
NOISE = ("name", "output_root", "resume", "checkpoints", "data.cache")
# Of metrics.jsonl, in this order, before names without a group; learning rates are settings, and
# shares of entities are too many to read.
GROUPS = ("d/", "g/", "loss/", "eval/", "speed/")


# --- Configs ----------------------------------------------------------------------------------


def of_configs(configs: dict[str, DictConfig]) -> dict[str, dict]:
    """Settings whose values differ: {key: {name of run: value}}, a run without the key left out.

    Left out are `NOISE`, and settings that all runs take from another one by the same
    interpolation: that one is listed itself.

    Args:
        configs: name of run -> its config, interpolations unresolved.
    """
    leaves = {name: dict(_leaves(config)) for name, config in configs.items()}
    keys = dict.fromkeys(key for found in leaves.values() for key in found)
    differences = {}
    for key in keys:
        if any(key == noise or key.startswith(f"{noise}.") for noise in NOISE):
            continue
        present = {name: found[key] for name, found in leaves.items() if key in found}
        everywhere = len(present) == len(leaves)
        sources = {source for source, _ in present.values()}
        same = len({repr(value) for _, value in present.values()}) == 1
        if everywhere and (same or (len(sources) == 1 and None not in sources)):
            continue
        differences[key] = {name: value for name, (_, value) in present.items()}
    return differences


def _leaves(config, prefix="") -> Iterator[tuple]:
    """Yields (key, (interpolation or None, value)); lists are values, empty mappings are none."""
    for name in config:
        key, node = f"{prefix}{name}", config._get_node(name)
        if node._is_interpolation():
            source, value = str(node._value()), config[name]
            if isinstance(value, DictConfig):
                value = source  # a whole section: where it comes from is enough
            elif OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
            yield key, (source, value)
        elif node._is_missing() or node._is_none() or not OmegaConf.is_config(node):
            yield key, (None, node._value())
        elif isinstance(node, DictConfig):
            yield from _leaves(node, f"{key}.")
        else:
            yield key, (None, OmegaConf.to_container(node, resolve=True))


def config_blocks(differences: dict, names: list[str]) -> list:
    """Sentences and tables of `of_configs`."""
    if not differences:
        return ["No differences."]
    rows = [
        [key, *(_shown(values[name]) if name in values else ABSENT for name in names)]
        for key, values in differences.items()
    ]
    return [[["setting", *names], *rows]]


def _shown(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- Training ---------------------------------------------------------------------------------


def state(folder) -> dict:
    """How far a run has come.

    Args:
        folder: RunFolder.

    Returns:
        {"checkpoint": newest step or None, "step": newest logged step or None, "values": {name:
        {"value": float, "step": where it was logged last}}}.
    """
    steps = checkpoint.CheckpointStore(folder.checkpoints).steps()
    values, newest = {}, None
    for logged in run_folder.metrics_lines(folder.metrics):
        newest = logged.pop("step")
        values |= {name: {"value": value, "step": newest} for name, value in logged.items()}
    return {"checkpoint": steps[-1] if steps else None, "step": newest, "values": values}


def state_blocks(states: dict[str, dict]) -> list:
    """Sentences and tables of `state` by name of run."""
    names = list(states)
    rows = [["", *names]]
    for title, key in (("newest checkpoint", "checkpoint"), ("newest logged step", "step")):
        steps = [states[name][key] for name in names]
        rows.append([title, *(ABSENT if step is None else str(step) for step in steps)])
    found = dict.fromkeys(key for name in names for key in states[name]["values"])
    shown = [key for key in found if "/" not in key or key.startswith(GROUPS)]
    for key in sorted(shown, key=_rank):
        rows.append([key, *(_logged(states[name], key) for name in names)])
    if len({states[name]["step"] for name in names}) == 1:
        return [rows]
    return [rows, "The newest logged steps differ, so these values are not of the same step."]


def _rank(key) -> int:
    """Place of a name's group; a name without one comes last."""
    return next((n for n, group in enumerate(GROUPS) if key.startswith(group)), len(GROUPS))


def _logged(state, key) -> str:
    entry = state["values"].get(key)
    if entry is None:
        return ABSENT
    at = "" if entry["step"] == state["step"] else f" (step {entry['step']})"
    return f"{entry['value']:.5g}{at}"
