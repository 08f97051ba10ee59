"""train.py called in this process, as a user calls it."""

import logging
import os
import runpy
import sys

from hydra.core.global_hydra import GlobalHydra

from tests.helpers import tiny

SMALL = [
    *tiny.SEGMENTER_OVERRIDES, "trainer.batch_size=2", "trainer.steps=1",
    "trainer.steps_per_call=1", "evaluation=null", "summaries.rows=2",
]  # fmt: skip


def train(*words, script="train.py"):
    """What the command exits with: 0, a number, or the message that it prints to stderr."""
    root = logging.getLogger()
    argv, handlers, level = sys.argv, root.handlers[:], root.level
    environment = dict(os.environ)
    sys.argv = [str(tiny.ROOT / script), *map(str, words)]
    GlobalHydra.instance().clear()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        return stop.code or 0
    finally:
        for handler in root.handlers:
            if handler not in handlers and isinstance(handler, logging.FileHandler):
                handler.close()
        sys.argv, root.handlers[:] = argv, handlers
        root.setLevel(level)
        os.environ.clear()
        os.environ.update(environment)
        GlobalHydra.instance().clear()
    return 0


def content(folder, *, but=()):
    """{path: bytes} of every file below a folder, links by what they lead to."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }
