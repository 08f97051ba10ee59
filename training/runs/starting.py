"""Where a run's folder lies when Hydra starts, and what it keeps of its config."""

import datetime
import functools
import hashlib
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from training.loop import tensorflow_import
from training.runs import run_config

OUTPUTS = run_config.CONFIGS.parent / "outputs"
"""Where runs, evaluations and comparisons lie by default, whatever the working directory."""
RESUMED, EFFECTIVE = "resumed_", "effective.yaml"


def register_resolvers() -> None:
    """Makes `${run_folder:...}`, `${hydra_folder:...}` and `${sweep_folder:...}` known to Hydra.

    Its own part of the config alone uses them: what a run saves of its config computes nothing.
    """
    OmegaConf.register_new_resolver("sweep_folder", _sweep_folder, replace=True)
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_new_resolver("hydra_folder", _hydra_folder, replace=True)


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
    folder = Path(HydraConfig.get().runtime.output_dir, str(HydraConfig.get().output_subdir))
    OmegaConf.save(config, folder / EFFECTIVE)


def fallback_of(run: Path, folder: str | None) -> Path | None:
    """Where in a folder for the checkpoints of all runs those of this one go, or None."""
    if folder is None:
        return None
    path = run.absolute()
    mark = hashlib.sha256(str(path).encode()).hexdigest()[:8]  # two runs may have one name
    return Path(folder).expanduser().absolute() / f"{path.parent.name}_{path.name}_{mark}"


def resumes() -> bool:
    """Whether this command goes on with a run that was there before."""
    return Path(str(HydraConfig.get().output_subdir)).name.startswith(RESUMED)


@functools.cache
def _run_to_resume(resume: str | None, output_root: str | None, name: str) -> str | None:
    """The folder that `resume` names; None = a new run."""
    if not resume:
        return None
    tensorflow_import.load_tensorflow()
    from training.runs import run_folder

    if resume != "auto":
        return str(run_folder.RunFolder(resume, must_exist=True).path)
    found = run_folder.newest_run(runs_of(output_root, name))
    return str(found) if found else None


@functools.cache  # Hydra resolves its folder several times
def _run_folder(resume: str | None, output_root: str | None, name: str, strategy: str) -> str:
    """The folder of the run to resume, or a new one."""
    found = _run_to_resume(resume, output_root, name)
    if found:
        return found
    tensorflow_import.load_tensorflow()
    from training.loop import devices
    from training.runs import run_folder

    parent = runs_of(output_root, name)
    if not devices.is_chief(strategy):
        parent = parent / "workers"  # logs only: the chief's folder is the run
    return str(run_folder.new_run_folder(parent, now()))


def _sweep_folder(output_root: str | None, name: str, time_stamp: str) -> str:
    """The folder of a sweep."""
    return str(runs_of(output_root, name) / f"sweep_{time_stamp}")


@functools.cache
def _hydra_folder(resume: str | None, output_root: str | None, name: str) -> str:
    """`.hydra` for a new run; a folder of its own below it for each time the run is resumed."""
    if _run_to_resume(resume, output_root, name):
        return f".hydra/{RESUMED}{now()}"
    return ".hydra"


def runs_of(output_root: str | None, name: str) -> Path:
    """The folder of the runs of one name, absolute."""
    return (OUTPUTS if output_root is None else Path(output_root).absolute()) / name


def now() -> str:
    """Time stamp for the names of folders."""
    return datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
