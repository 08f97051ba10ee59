"""Words of a command line as Hydra's overrides."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from training.runs import run_config

PATHS = frozenset(
    ("root", "source", "out", "photos", "labels", "images", "masks", "run", "runs", "resume",
     "start_from", "output_root", "fake", "real", "style", "judge", "palette", "annotations",
     "folder", "name")
)  # fmt: skip
"""Last parts of keys whose values are names of files or folders, whatever number they look like."""


def with_nulls(arguments: list[str]) -> list[str]:
    """Gives leaving out, replacing and paths one meaning each, in every command.

    `~key` and `key=null` leave a part out. Hydra takes the second form of settings alone, and of
    groups the first alone. `key={_target_: ...}` replaces the part that was there, with which
    Hydra would merge it: `key=null` stands before it. `key=~/x` is a folder of the user. Values
    that Hydra cannot read, or reads as something else than the path they are, are put in quotes.
    """
    words, sweeps = [], any(text in ("-m", "--multirun") for text in arguments)
    for text in arguments:
        text = _readable(text, sweeps)
        left_out = re.fullmatch(r"~([\w./@]+)|([\w./@]+)=null", text)
        replaced = re.fullmatch(r"([A-Za-z_][\w.]*)=\s*\{.*\b_target_\b.*\}", text, re.DOTALL)
        if replaced:
            words.append(f"{replaced[1]}=null")
        key = left_out and (left_out[1] or left_out[2])
        is_group = key and (run_config.CONFIGS / key.partition("@")[0]).is_dir()
        words.append((f"~{key}" if is_group else f"{key}=null") if key else text)
    return words


def _readable(text: str, sweeps: bool) -> str:
    """An override whose value Hydra reads as the text that it is."""
    key, _, value = text.partition("=")
    if not re.fullmatch(r"\+{0,2}[\w@][\w./@-]*", key) or not value or os.path.exists(text):
        return text
    if value[0] == "~":
        value = os.path.expanduser(value)
    exists, is_path = os.path.exists(value), key_of(text).rpartition(".")[2] in PATHS
    read = _read(value)
    if read is None:  # Hydra cannot
        inner = value[1:-1] if re.fullmatch(r"\[[^][{}'\"]*\]", value) else None
        if not exists and inner is not None:
            return f"{key}=[{_each_readable(inner)}]"
        if not exists and sweeps and "," in value:
            return f"{key}={_each_readable(value)}"
        return text if value[0] in "[{'\"" and not exists else f"{key}={quoted(value)}"
    if read.is_sweep_override():
        is_group = (run_config.CONFIGS / key_of(text)).is_dir()
        other = exists or (not sweeps and not is_group and (is_path or "/" in value))
    elif isinstance(read.value(), str):
        other = exists and ("${" in value or read.value() != value)
    else:  # a folder may be called 2024
        other = is_path and (exists or isinstance(read.value(), int | float))
    return f"{key}={quoted(value)}" if other or value != text.partition("=")[2] else text


def _read(value: str) -> Any:
    """The override of some key to this value, or None where Hydra cannot read it."""
    try:
        return OverridesParser.create().parse_overrides([f"x={value}"])[0]
    except OverrideParseException:
        return None


def _each_readable(values: str) -> str:
    """The values between commas, in quotes where Hydra cannot read them."""
    parts = (os.path.expanduser(part.strip()) for part in values.split(","))
    return ",".join(part if _read(part) is not None else quoted(part) for part in parts)


def with_command(arguments: list[str], commands: tuple[str, ...], example: str) -> list[str]:
    """Turns a first word such as `check` into the override `command=check`.

    Args:
        arguments: what follows the script's name.
        commands: the words there are.
        example: a whole command line that works.

    Raises:
        ValueError: the first word is no command, or there is none.
    """
    first = arguments[0] if arguments else ""
    if first in commands:
        return [f"command={first}", *arguments[1:]]
    if first.startswith("-") or any(text.startswith("command=") for text in arguments):
        return arguments
    raise ValueError(
        f"Expected a command, {', '.join(commands[:-1])} or {commands[-1]}, as the first word. "
        f"Received: {first!r}. For example: {example}"
    )


def with_paths(arguments: list[str], key: str) -> list[str]:
    """Turns words such as `outputs/a outputs/b` into the override `key=[outputs/a,outputs/b]`.

    Words are what stands before the first flag, has no "=" (or is a folder, or begins as a path
    does), and is no override that deletes.

    Raises:
        ValueError: there are words and the override as well.
    """
    flags = [index for index, text in enumerate(arguments) if text.startswith("-")]
    first = arguments[: flags[0]] if flags else arguments
    words = [
        t for t in first
        if Path(t).is_dir() or t.startswith(("/", ".")) or ("=" not in t and t[:1] != "~")
    ]  # fmt: skip
    if not words:
        return arguments
    if any(text.startswith(f"{key}=") for text in arguments):
        raise ValueError(
            f"Expected either paths as words or {key}=[A,B]. Received: both, {words[0]!r} and "
            f"{key}=. Write all of them in one of the two ways."
        )
    rest = [text for text in first if text not in words] + arguments[len(first) :]
    return [f"{key}=[{','.join(quoted(word) for word in words)}]", *rest]


def key_of(override: str) -> str:
    """The key or group that an override sets, adds or deletes."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def quoted(path) -> str:
    """A path as the value of an override, in quotes where Hydra would read it otherwise."""
    text = str(path)
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text)
    if plain and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    text = text.replace("${", r"\${")  # no interpolation
    # Backslashes count as two before a quote, and as one elsewhere.
    text = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", r"\'"), text)
    return f"'{text}'"


def to_type(script: str, **settings) -> str:
    """The line of a shell that calls a command with settings, whatever characters they have."""
    words = [shlex.quote(f"{key}={quoted(value)}") for key, value in settings.items()]
    return f"python {script} {' '.join(words)}"
