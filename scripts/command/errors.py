"""Errors a user can read: what every command is run by."""

import contextlib
import io
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from scripts.command import overrides
from training.runs import provenance, run_config

_WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"
DATA_KEY = re.compile(r"(?<![\w/.-])data(?:\.\w+)+")
OF_USERS = (ValueError, KeyError, OSError, HydraException, OmegaConfBaseException)


def run(main: Callable[[], None], *, interrupted: str = "Interrupted.") -> None:
    """Calls a Hydra main; errors of the user end in one message, no traceback.

    `--version` is handled here; how parts are left out and replaced: `overrides.with_nulls`.

    Args:
        main: function without arguments.
        interrupted: what Ctrl-C ends in.
    """
    if "--version" in sys.argv[1:]:
        print(f"tessera {provenance.in_words()}")
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may have no letters
            stream.reconfigure(errors="backslashreplace")
    sys.argv[1:] = overrides.with_nulls(sys.argv[1:])
    if _WANTS_TRACEBACK:
        main()
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print its own account and exit
    os.environ["OC_CAUSE"] = "1"  # OmegaConf would drop what an interpolation failed of
    try:
        main()
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        sys.exit(130)
    except OF_USERS as error:
        sys.exit(message(error))


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Ends the process with the message of an error, where Hydra would only warn of it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        sys.exit(traceback_and_message(error))


def traceback_and_message(error: BaseException) -> str:
    """The message; the traceback before it where it is asked for, or no user could have erred."""
    if _WANTS_TRACEBACK or not isinstance(error, OF_USERS):
        return "".join([*traceback.format_exception(error), message(error)])
    return message(error)


def message(error: BaseException) -> str:
    """The reason of an error, and how to see where it arose."""
    composing = ConfigCompositionException | MissingConfigException | OverrideParseException
    hint = "" if isinstance(error, composing) else "\n(HYDRA_FULL_ERROR=1 shows the traceback.)"
    return with_keys_of_this_command(full_reason(error)) + hint


def with_keys_of_this_command(text: str) -> str:
    """Messages about data name settings of train.py: here by what this command calls them.

    What it has no setting for is said to be one of train.py.
    """
    known = _known_keys()
    everywhere = {key.partition(".")[2].partition(".")[0] for key in _known_keys("train")}
    foreign = {}

    def here(found: re.Match) -> str:
        key, leaf = found[0], found[0].rpartition(".")[2]
        if key in known or key.split(".")[1] not in everywhere:
            return key
        names = [name for name in (leaf, f"data_{leaf}") if name in known]
        if not names:
            foreign[key] = None
        return names[0] if names else key

    text = DATA_KEY.sub(here, text)
    if foreign:
        text += f"\n(Settings of train.py, not of this command: {', '.join(foreign)}.)"
    return text


def full_reason(error: BaseException) -> str:
    """The reason of an error, with the config key it arose at."""
    causes = list(_causes(error))
    if isinstance(error, MissingConfigException):
        return f"Error: {_no_such_choice(error)}"
    if isinstance(error, OverrideParseException):
        return f"Error: {_unreadable(error.override)}"
    unknown = [e for e in causes if isinstance(e, ConfigAttributeError | ConfigKeyError)]
    if isinstance(error, ConfigCompositionException) and unknown:
        return f"Error: {_unknown_key(_override_of(str(unknown[0].full_key)))}"
    if isinstance(error, ConfigCompositionException) and (group := _group_in(str(error))):
        return (
            "Error: Every choice must be one that the config has a place for. Received: a choice "
            f"of {group}, for which this command, or what was chosen of data and task, has none."
        )
    keys = [key for key in map(_key, causes) if key]
    where = f"{keys[-1]}: " if keys and isinstance(error, InstantiationException) else ""
    return f"Error: {where}{reason(error)}"


def reason(error: BaseException) -> str:
    """The innermost of what an error came from; of ours, which say what to do next, before all."""
    causes = [_text(cause) for cause in _causes(error)]
    return next((text for text in reversed(causes) if "Received:" in text), causes[-1])


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, outermost first.

    What was raised `from None` ends it, but for what TensorFlow makes of an error in a compiled
    step, which hides the plain one.
    """
    while error is not None:
        yield error
        cause, context = error.__cause__, error.__context__
        hidden = error.__suppress_context__ and not hasattr(error, "ag_error_metadata")
        error = cause if cause is not None or hidden else context


def _text(error: BaseException) -> str:
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return run_config.without_value(error.full_key)
    if isinstance(error, InstantiationException | OmegaConfBaseException):
        return str(error).partition("\n    full_key: ")[0].partition(_FULL_KEY)[0]
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


_FULL_KEY = "\nfull_key: "  # only the message of Hydra has the key of what it cannot build


def _key(error: BaseException) -> str:
    """The config key an error arose at, or an empty text."""
    if isinstance(error, InstantiationException):
        return str(error).partition(_FULL_KEY)[2]
    return str(getattr(error, "full_key", None) or "")


def _no_such_choice(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = list(error.options or [])
    return (
        f"Expected a choice of {group} that there is: {', '.join(options)}. Received: "
        f"{group}={name}.{run_config.close_match(name, options)}"
    )


def _given() -> list[str]:
    """The keys and groups of the overrides of this command line."""
    words = [text for text in sys.argv[1:] if not text.startswith("-")]
    try:
        return [o.key_or_group for o in OverridesParser.create().parse_overrides(words)]
    except OverrideParseException:
        return []


def _override_of(key: str) -> str:
    """The key of the override that this missing key stopped: as long as it was written."""
    return next((name for name in _given() if f"{name}.".startswith(f"{key}.")), key)


def _group_in(message: str) -> str | None:
    """The group of an override that Hydra's message is about."""
    groups = [name for name in _given() if (run_config.CONFIGS / name).is_dir()]
    return next((name for name in groups if f"'{name}'" in message), None)


def _unreadable(override: str) -> str:
    """What to type in the place of an override that Hydra cannot parse."""
    key, _, value = override.partition("=")
    quoted = shlex.quote(f"{key}={overrides.quoted(value)}")
    return (
        f"Every override must be written as Hydra reads it. Received: {override}. A text with "
        f"other characters than letters, digits, and those of paths stands in quotes, and those "
        f"in quotes of the shell: {quoted}"
    )


def _unknown_key(full: str) -> str:
    """An override names a key that is not there: which one is like it?"""
    parent = full.rpartition(".")[0]
    known = _known_keys()
    if full in known:
        return (
            f"Every key of the config must be there to be set. Received: {full!r}, which belongs "
            "to a choice that this command has not made. See --cfg job for the keys there are."
        )
    same_level = {name for name in known if name.rpartition(".")[0] == parent} or known
    hint = run_config.close_match(full, same_level) or run_config.close_match(full, known)
    return f"Every key of the config must exist. Received: unknown key {full!r}.{hint}"


def _known_keys(command: str | None = None) -> set[str]:
    """Keys that a command, by default this one, can have: of its config and its groups' choices."""
    command = command or ("preview" if "command=preview" in sys.argv else Path(sys.argv[0]).stem)
    own = run_config.CONFIGS / f"{command}.yaml"
    files = [own] if own.is_file() else list(run_config.CONFIGS.glob("*.yaml"))
    for file in files:  # grows: a config may begin with another one
        content = OmegaConf.load(file)
        for entry in content.get("defaults", []) if isinstance(content, DictConfig) else ():
            names = [entry] if isinstance(entry, str) else [str(key) for key in entry]
            for name in names:
                folder = run_config.CONFIGS / name.split()[-1]
                other = folder.with_suffix(".yaml")
                if folder.is_dir():
                    files += [f for f in folder.rglob("*.yaml") if f not in files]
                elif other.is_file() and other not in files:
                    files.append(other)
    known = set()
    for file in files:
        header = next(iter(file.read_text().splitlines()), "")
        package = header.removeprefix("# @package ") if header.startswith("# @package ") else None
        if package is None:
            package = ".".join(file.relative_to(run_config.CONFIGS).parts[:-1])
        package = "" if package == "_global_" else package
        known |= {f"{package}.{key}".strip(".") for key in _leaves(OmegaConf.load(file))}
    return known


def _leaves(config: Any, prefix: str = "") -> Iterator[str]:
    for key in config if isinstance(config, DictConfig) else ():
        yield prefix + str(key)
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from _leaves(node, f"{prefix}{key!s}.")
