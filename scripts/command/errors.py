"""Errors a user can read: what every command is run by."""

import os
import re
import sys

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from training.runs import run_config

_WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"


def run(main, *, interrupted: str = "Interrupted.") -> None:
    """Calls a Hydra main; errors of the user end in one message, no traceback.

    Args:
        main: function without arguments.
        interrupted: what Ctrl-C ends in.
    """
    if _WANTS_TRACEBACK:
        main()
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print its own account and exit
    try:
        main()
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        sys.exit(130)
    except (ValueError, KeyError, OSError, hydra.errors.HydraException,
            OmegaConfBaseException) as error:  # fmt: skip
        sys.exit(_report(error))


def _report(error) -> str:
    """The innermost reason of an error, with the config key it arose at.

    Of ours, which say what to do next, the innermost is taken, whatever it came from.
    """
    where, causes = "", []
    while error is not None:
        found = re.search(r"full_key: (\S+)", str(error))
        if found and found.group(1) not in ("None", ""):
            where = found.group(1)
        causes.append(error)
        error = error.__cause__
    error = causes[0]
    reason = next((e for e in reversed(causes) if "Received:" in str(e)), causes[-1])
    missing = "is not in struct" in str(reason) or "Could not delete" in str(error)
    unknown = re.search(r"Could not (?:override|append to|delete)[^']*'([^']+)'", str(error))
    if missing and unknown:
        return f"Error: {_unknown_key(unknown.group(1))}"
    text = reason.args[0] if isinstance(reason, KeyError) and reason.args else str(reason)
    text = re.sub(r"\s+(full_key:|Config search path:).*", "", str(text), flags=re.DOTALL)
    if "Received:" in text:  # One of ours: what the compiled step says around it is no help.
        text = re.sub(r"\Ain user code:\n.*?\n\n    \w+: ", "", text.rstrip(), flags=re.DOTALL)
    text = re.sub(r"^\w+ raised while resolving interpolation: ", "", text)
    prefix = f"{where}: " if where and "InstantiationException" in type(error).__name__ else ""
    return f"Error: {prefix}{text}\n(HYDRA_FULL_ERROR=1 shows the traceback.)"


def _unknown_key(full: str) -> str:
    """An override names a key that is not there: which one is like it?"""
    parent = full.rpartition(".")[0]
    known = set()
    for file in run_config.CONFIGS.rglob("*.yaml"):
        package = re.match(r"# @package (\S+)", file.read_text())
        group = package[1] if package else ".".join(file.relative_to(run_config.CONFIGS).parts[:-1])
        group = "" if group == "_global_" else group
        known |= {f"{group}.{k}".strip(".") for k in _leaves(OmegaConf.load(file))}
    if full in known:
        return (
            f"Every key of the config must be there to be set. Received: {full!r}, which belongs "
            "to a choice that this command has not made. See --cfg job for the keys there are."
        )
    same_level = {name for name in known if name.rpartition(".")[0] == parent} or known
    hint = run_config.close_match(full, same_level) or run_config.close_match(full, known)
    return f"Every key of the config must exist. Received: unknown key {full!r}.{hint}"


def _leaves(config, prefix=""):
    for key in config if isinstance(config, DictConfig) else ():
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from _leaves(node, f"{prefix}{key}.")
