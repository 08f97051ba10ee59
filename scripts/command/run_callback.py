"""What Hydra calls around the runs of train.py: their folders, and the reasons of failures."""

import logging
import sys
import traceback
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from scripts.command import errors, overrides
from training.runs import starting

log = logging.getLogger(__name__)


class RunCallback(Callback):
    """Chooses folders before Hydra writes, and says at once why a job has failed.

    The reason of every failure stands in the log of its run, with the traceback. The other jobs of
    a sweep go on; the command then ends with a list of those that failed and exit code 1.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.jobs = 0

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        with errors.ending(), read_write(config), open_dict(config):
            starting.choose_run(config)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        with errors.ending(), read_write(config), open_dict(config):
            path = starting.choose_sweep(config)
            config.hydra.sweep.dir = str(path)
            # The config of each job is composed anew, from these.
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={overrides.quoted(path)}")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        self.jobs += 1
        if job_return.status != JobStatus.FAILED:
            return
        error = job_return._return_value
        words = " ".join(job_return.overrides or ()) or "none"
        _log(f"Failed. Overrides: {words}", error)
        if config.hydra.mode != RunMode.MULTIRUN:
            return  # it is raised, and said
        job = f"Job {config.hydra.job.num} failed. Overrides: {words}"
        self.failures.append(job)
        print(f"{job}\n{errors.traceback_and_message(error)}", file=sys.stderr, flush=True)
        # Otherwise Hydra would end the sweep with the first error alone.
        job_return.status, job_return.return_value = JobStatus.COMPLETED, None

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        if self.failures:
            sweep = OmegaConf.select(config, "hydra.sweep.dir")
            failed = "\n".join(self.failures)
            sys.exit(f"{failed}\n{len(self.failures)} of {self.jobs} jobs failed: {sweep}")


def _log(text, error) -> None:
    """The traceback and, last, the reason: into files alone, a terminal shows the reason once."""
    lines = [text, "".join(traceback.format_exception(error)).rstrip(), errors.full_reason(error)]
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, "\n".join(lines), (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
