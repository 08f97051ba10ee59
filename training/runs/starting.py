"""Where a run's folder lies when Hydra starts, and what it keeps of its config."""

import atexit
import contextlib
import datetime
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from training.loop import tensorflow_import
from training.runs import plain_config, run_config, whole_files

OUTPUTS = run_config.CONFIGS.parent / "outputs"
"""Where runs, evaluations and comparisons lie by default, whatever the working directory."""
AUTO = "auto"
PLACES = ("output_root", "resume")  # overrides that do not tell runs apart

log = logging.getLogger(__name__)
_choosing = contextlib.ExitStack()


def task_overrides() -> list[str]:
    """The overrides of this command line that do not concern Hydra itself."""
    return list(HydraConfig.get().overrides.task)


def settings_given(config) -> dict[str, int | float | str]:
    """{key: value}: the name and the seed of a run, and what its command line chose."""
    parsed = OverridesParser.create().parse_overrides(task_overrides())
    chosen = [each for each in parsed if each.key_or_group not in PLACES and not each.is_delete()]
    return {"name": config.name, "seed": config.seed} | {
        each.key_or_group: value
        if isinstance(value := each.value(), int | float)
        else each.get_value_element_as_str()
        for each in chosen
    }


def code_files_given() -> tuple[str, ...]:
    """The files that can hold code which the user has named himself, on this command line.

    The values of one key alone: a run could name its own folder, which `resume` names as well.
    """
    parsed = OverridesParser.create().parse_overrides(task_overrides())
    return tuple(
        str(override.value())
        for override in parsed
        if override.key_or_group == "feature_weights" and not override.is_delete()
    )


def load_run(run_folder) -> tuple[DictConfig, dict]:
    """A run's config, with what resuming has changed, and the group choices it started with."""
    config = run_config.load(run_folder.effective_config)
    path = run_folder.config.parent / "hydra.yaml"
    choices: Any = plain_config.read(path)  # data: its own interpolations compute values
    for key in ("hydra", "runtime", "choices"):
        choices = choices.get(key) if isinstance(choices, dict) else None
    if not isinstance(choices, dict):
        raise ValueError(
            f"Expected the choices of groups below hydra.runtime.choices. Received: {path} without "
            "them. Restore the file, such as from a copy of the run."
        )
    return config, choices


def keep_config(run, config: DictConfig, measured: dict[str, Any]) -> None:
    """Writes the config into the folder of a run that starts or goes on.

    What resuming has changed stays changed the next time. Nothing of a command that is refused
    before is kept.

    Args:
        run: RunFolder.
        config: as it was composed, or as it was saved with what resuming changes.
        measured: values by key that stay what they are when the run goes on, put into it.
    """
    from training.runs import checkpoint_files

    for key, value in measured.items():
        OmegaConf.update(config, key, value)
    texts: dict[Path, DictConfig | ListConfig] = {}
    if run.config.is_file():
        texts[run.config.with_name("effective.yaml")] = config
        log.info("Resumed with: %s", " ".join(task_overrides()))
    else:  # the config comes last: with it, the folder is a run
        texts[run.config.with_name("hydra.yaml")] = OmegaConf.create({"hydra": HydraConfig.get()})
        texts[run.config.with_name("overrides.yaml")] = OmegaConf.create(task_overrides())
        texts[run.config] = config
    for path, content in texts.items():
        with whole_files.written(path) as partial:
            OmegaConf.save(content, partial)
            checkpoint_files.flush_to_disk(partial)  # a name on the disk before its bytes is a loss


def fallback_of(run: Path, folder: str | None) -> Path | None:
    """Where in a folder for the checkpoints of all runs those of this one go, or None."""
    if folder is None:
        return None
    path = run.absolute()
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]  # two runs may have one name
    return Path(folder).expanduser().absolute() / f"{path.parent.name}_{path.name}_{mark}"


def choose_run(config: DictConfig) -> None:
    """Sets `hydra.run.dir` to the folder of this command's run, a new one or one to go on with.

    Hydra writes into it afterwards; a folder that is refused stays as it is.

    Args:
        config: of the whole command, with Hydra's part.

    Raises:
        ValueError, FileNotFoundError: a name, folder or `resume` that cannot be, or a run in use.
    """
    tensorflow_import.load_tensorflow()
    from training.loop import devices
    from training.runs import run_folder

    run_folder.check_name(config.name)
    _check_subdir(config)
    if config.get("preflight"):
        config.hydra.run.dir = str(_thrown_away(config))
        return
    chief = devices.is_chief(config.devices.strategy)
    given = config.hydra.run.dir
    path = _resumed(config, chief)
    if path is not None and given:
        raise ValueError(
            "Expected resume=RUN, which names the folder, or hydra.run.dir. Received: both, "
            f"resume={config.resume}, hydra.run.dir={given}. Leave one out."
        )
    parent = runs_of(config.output_root, config.name)
    if path is not None:
        run_folder.RunFolder(path, must_exist=True).check_writable()
    elif given:
        path = Path(given)
        if chief:
            run_folder.refuse_used(path, "hydra.run.dir")
            run_folder.RunFolder(path).check_parts()
        run_folder.make(path)
    else:  # of workers that are not the chief, logs only: the chief's folder is the run
        path = run_folder.new_run_folder(parent if chief else parent / "workers", now())
    config.hydra.run.dir = str(path)


def _thrown_away(config) -> Path:
    """A folder that is gone when this process ends."""
    if config.resume is not None or config.hydra.run.dir:
        raise ValueError(
            "Expected preflight=true of a new run, which leaves no folder. Received: "
            f"resume={config.resume}, hydra.run.dir={config.hydra.run.dir or 'null'}. Leave it out."
        )
    path = Path(tempfile.mkdtemp(prefix="tessera_preflight_"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _resumed(config, chief) -> Path | None:
    """The folder that `resume` names; None = a new run."""
    from training.runs import run_folder

    if config.resume is None:
        return None
    if str(config.resume).strip() == "":
        raise ValueError(
            f"resume must be the folder of a run, {AUTO}, or null. Received: an empty text. "
            "A variable of the shell may have no value."
        )
    if config.resume != AUTO:
        return Path(str(config.resume))
    parent = runs_of(config.output_root, config.name)
    if chief:  # Of several commands at the same instant, one chooses at a time; see `chosen`.
        run_folder.make(parent)
        descriptor = os.open(parent, os.O_RDONLY)
        _choosing.callback(os.close, descriptor)
        with contextlib.suppress(OSError):  # some file systems of networks lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    found = run_folder.newest_run(parent, or_in_use=chief)
    if found and chief and run_folder.RunFolder(found).in_use():
        _choosing.close()
        with run_folder.RunFolder(found).locked():  # says which process
            pass
    return found


def chosen() -> None:
    """Lets other commands choose: this one holds the run that it has chosen."""
    _choosing.close()


def choose_sweep(config: DictConfig) -> Path:
    """Returns the folder for the runs of a sweep, a new one or the one that the user names.

    Args:
        config: of the whole command, with Hydra's part.

    Raises:
        ValueError: a sweep to be resumed, a folder that holds something, or places outside it.
    """
    tensorflow_import.load_tensorflow()
    from training.runs import run_folder

    if config.get("preflight"):
        raise ValueError("Expected preflight=true of one run. Received: -m with it. Leave out -m.")
    if config.resume is not None:
        raise ValueError(
            f"A sweep cannot be resumed as a whole. Received: -m with resume={config.resume}. "
            "Resume its runs one by one: resume=outputs/<name>/<sweep>/<number>."
        )
    _check_subdir(config)
    subdir = Path(str(config.hydra.sweep._get_node("subdir")._value()))
    if subdir.is_absolute() or ".." in subdir.parts:
        raise ValueError(
            "hydra.sweep.subdir must lie in the folder of the sweep. Received: "
            f"hydra.sweep.subdir={subdir}"
        )
    given = config.hydra.sweep.dir
    if given:
        run_folder.refuse_used(given, "hydra.sweep.dir")
        run_folder.make(Path(given))
        return Path(given)
    run_folder.check_name(config.name)
    parent = runs_of(config.output_root, config.name)
    return run_folder.new_run_folder(parent, f"sweep_{now()}")


def _check_subdir(config) -> None:
    """Refuses to have Hydra write over the config of a run."""
    if config.hydra.output_subdir is not None:
        raise ValueError(
            "hydra.output_subdir must be null: .hydra is written when training starts. Received: "
            f"hydra.output_subdir={config.hydra.output_subdir}"
        )


def runs_of(output_root: str | None, name: str) -> Path:
    """The folder of the runs of one name, absolute.

    Raises:
        ValueError: `output_root` is an empty text.
    """
    if output_root is not None and not str(output_root).strip():
        raise ValueError("output_root must be a folder, or null. Received: an empty text.")
    return (OUTPUTS if output_root is None else Path(str(output_root)).absolute()) / name


def now() -> str:
    """Time stamp for the names of folders."""
    return datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
