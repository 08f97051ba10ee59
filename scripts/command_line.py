"""What all commands share: run folders for Hydra, and errors a user can read."""

import datetime
import functools
import logging
import os
import re
import sys
import tempfile
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scripts import run_config

RESUMED, EFFECTIVE = "resumed_", "effective.yaml"
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


def load_tensorflow() -> None:
    """Imports TensorFlow and finds the devices without its start-up chatter on stderr.

    The chatter comes from C++ before its log level counts, so the file descriptor itself is
    turned away for that moment; if the import fails, what was said is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def register_resolvers() -> None:
    """Makes `${run_folder:...}` and `${hydra_folder:...}` known to the configs."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_new_resolver("hydra_folder", _hydra_folder, replace=True)


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


def quoted(path) -> str:
    """A path as the value of an override, in quotes where Hydra would read it otherwise."""
    text = str(path)
    if re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text):
        return text
    # Backslashes count as two before a quote, and as one elsewhere.
    text = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", r"\'"), text)
    return f"'{text}'"


def task_overrides() -> list[str]:
    """The overrides of this command line that do not concern Hydra itself."""
    return list(HydraConfig.get().overrides.task)


def load_run(run_folder) -> tuple[DictConfig, dict]:
    """A run's config, with what resuming has changed, and the group choices it started with."""
    changed = sorted(run_folder.config.parent.glob(f"{RESUMED}*/{EFFECTIVE}"))
    config = run_config.load(changed[-1] if changed else run_folder.config)
    hydra_config = OmegaConf.load(run_folder.config.parent / "hydra.yaml")
    return config, dict(OmegaConf.select(hydra_config, "hydra.runtime.choices") or {})


def save_effective(config: DictConfig) -> None:
    """Keeps the config of a resumed run: what was changed stays changed the next time."""
    folder = Path(HydraConfig.get().runtime.output_dir) / HydraConfig.get().output_subdir
    OmegaConf.save(config, folder / EFFECTIVE)


def resumes() -> bool:
    """Whether this command goes on with a run that was there before."""
    return Path(HydraConfig.get().output_subdir).name.startswith(RESUMED)


@functools.cache
def _run_to_resume(resume: str | None, output_root: str, name: str) -> str | None:
    """The folder that `resume` names; None = a new run."""
    if not resume:
        return None
    load_tensorflow()
    from training import run_folder

    if resume != "auto":
        return str(run_folder.RunFolder(resume, must_exist=True).path)
    found = run_folder.newest_run(Path(output_root) / name)
    return str(found) if found else None


@functools.cache  # Hydra resolves its folder several times
def _run_folder(resume: str | None, output_root: str, name: str, strategy: str) -> str:
    """The folder of the run to resume, or a new one."""
    found = _run_to_resume(resume, output_root, name)
    if found:
        return found
    load_tensorflow()
    from training import devices, run_folder

    parent = Path(output_root) / name
    if not devices.is_chief(strategy):
        parent = parent / "workers"  # logs only: the chief's folder is the run
    return str(run_folder.new_run_folder(parent, now()))


@functools.cache
def _hydra_folder(resume: str | None, output_root: str, name: str) -> str:
    """`.hydra` for a new run; a folder of its own below it for each time the run is resumed."""
    if _run_to_resume(resume, output_root, name):
        return f".hydra/{RESUMED}{now()}"
    return ".hydra"


def now() -> str:
    """Time stamp for the names of folders."""
    return datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


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
