"""Words of a command line as Hydra's overrides."""

import re
import shlex
from pathlib import Path

from training.runs import run_config


def with_nulls(arguments: list[str]) -> list[str]:
    """Gives leaving out, replacing and `~/` one meaning each, in every command.

    `~key` and `key=null` leave a part out. Hydra takes the second form of settings alone, and of
    groups the first alone. `key={_target_: ...}` replaces the part that was there, with which
    Hydra would merge it: `key=null` stands before it. `key=~/x` is a folder of the user.
    """
    words = []
    for text in arguments:
        name, _, value = text.partition("=")
        if value == "~" or value.startswith("~/"):
            text = f"{name}={quoted(Path(value).expanduser())}"
        left_out = re.fullmatch(r"~([\w./@]+)|([\w./@]+)=null", text)
        replaced = re.fullmatch(r"([A-Za-z_][\w.]*)=\s*\{.*\b_target_\b.*\}", text, re.DOTALL)
        if replaced:
            words.append(f"{replaced[1]}=null")
        key = left_out and (left_out[1] or left_out[2])
        is_group = key and (run_config.CONFIGS / key.partition("@")[0]).is_dir()
        words.append((f"~{key}" if is_group else f"{key}=null") if key else text)
    return words


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

    Words are what stands before the first flag, has no "=" (or is a folder), and is no override
    that deletes.

    Raises:
        ValueError: there are words and the override as well.
    """
    flags = [index for index, text in enumerate(arguments) if text.startswith("-")]
    first = arguments[: flags[0]] if flags else arguments
    words = [t for t in first if Path(t).is_dir() or ("=" not in t and not t.startswith("~"))]
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
    if re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text):
        return text
    # Backslashes count as two before a quote, and as one elsewhere.
    text = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", r"\'"), text)
    return f"'{text}'"


def to_type(script: str, **settings) -> str:
    """The line of a shell that calls a command with settings, whatever characters they have."""
    words = [shlex.quote(f"{key}={quoted(value)}") for key, value in settings.items()]
    return f"python {script} {' '.join(words)}"
