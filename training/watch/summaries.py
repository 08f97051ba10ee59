"""What a run leaves to look at: TensorBoard, metrics.jsonl and sample sheets."""

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams

from training.kinds import kind as kinds
from training.runs import run_folder
from training.watch import contact_sheet, descriptions
from training.watch import health as health_rules

log = logging.getLogger(__name__)


class Summaries:
    """Writes scalars, sheets, histograms and the config of one run.

    What cannot be written, on a full disk, never ends the run: it is said once, and the next write
    tries again. Lines of metrics.jsonl wait until then.

    Args:
        run: folder of the run.
        kind: what sheets show beside previews.
        colorize: class ids [..., H, W] -> uint8 [..., H, W, 3], for label maps in sheets.
        image_class_names: of whole images by id, titles of the rows where they are the condition.
        health: rules on the scalars, whose sentences are logged and written; or None.
        histograms: whether to write weight histograms with every preview.
        legend: {name: colour} of the classes in label maps.
        settings: {key: value} that tell this run from others, for TensorBoard's table of runs.

    Source: tag groups as TensorBoard reads them, "group/name".
    """

    def __init__(
        self,
        run: run_folder.RunFolder,
        *,
        kind: kinds.Kind | None = None,
        colorize=None,
        image_class_names=(),
        health: health_rules.Health | None = None,
        histograms: bool = False,
        legend: dict | None = None,
        settings: dict | None = None,
    ) -> None:
        self.run = run
        self.kind = kind or kinds.Kind()
        self.colorize = colorize
        self.image_class_names = image_class_names
        self.health = health
        self.histograms = histograms
        self.legend = legend or {}
        self.settings = settings or {}
        self._writer: Any = None
        self._refused: set[str] = set()
        self._waiting = ""  # lines of metrics.jsonl

    def start(self, step: int, config_text: str = "") -> None:
        """Opens the files; what a killed process wrote beyond `step` no longer counts."""
        with self._or_later("metrics.jsonl"):
            run_folder.drop_metrics_after(self.run.metrics, step)
        with self._events(step) as writer:
            # TensorBoard drops later steps of earlier processes. It reads files in the order of
            # their names, so the mark cannot have a file of its own.
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            event = event_pb2.Event(step=step + 1, wall_time=time.time(), session_log=start)
            if writer is not None:
                tf.raw_ops.ImportEvent(writer=writer._resource, event=event.SerializeToString())
        if self.health is not None:
            self.health.replay(run_folder.metrics_lines(self.run.metrics))
        if config_text:
            with self._events(step):
                tf.summary.text("config", f"```yaml\n{config_text}\n```")
                if step == 0:  # a resumed run is the same one
                    hparams.hparams(self.settings)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One point of each curve, in TensorBoard and as a line of metrics.jsonl."""
        with self._events(step):
            for name, value in values.items():
                tf.summary.scalar(name, value, description=descriptions.of(name))
        line = {"step": step} | {name: float(f"{value:.6g}") for name, value in values.items()}
        self._waiting += json.dumps(line) + "\n"
        with self._or_later("metrics.jsonl"):
            _append(self.run.metrics, self._waiting)
            self._waiting = ""
        for text in self.health.observe(values) if self.health else ():
            log.warning("step %d: %s", step, text)
            with self._events(step):
                tf.summary.text("health", text)

    def evaluation(self, step: int, values: dict[str, float]) -> None:
        """The figures of an evaluation: points of curves, and a table as text."""
        self.scalars(step, values)
        with self._events(step):
            tf.summary.text("evaluation", descriptions.table(values))

    @contextlib.contextmanager
    def _events(self, step) -> Iterator[tf.summary.SummaryWriter | None]:
        """Where `tf.summary` writes to, or None; after an error the next time has a new file."""
        writer, self._writer = self._writer, None
        with self._or_later("TensorBoard's files"):
            writer = writer or tf.summary.create_file_writer(str(self.run.tensorboard))
            with writer.as_default(step=step):
                yield writer
            writer.flush()
            self._writer = writer
        if writer is None:
            with tf.summary.record_if(False):
                yield None

    @contextlib.contextmanager
    def _or_later(self, what) -> Iterator[None]:
        try:
            yield
            self._refused.discard(what)
        except (OSError, tf.errors.OpError) as error:
            if what not in self._refused:
                self._refused.add(what)
                log.warning("%s of %s cannot be written: %s. Training goes on; each later write "
                            "tries again.", what, self.run.path, str(error)[-200:])  # fmt: skip

    def sheet(self, step: int, batch: dict, previews: dict) -> Path:
        """Conditions, real image and previews of fixed items, one row an item.

        Args:
            step: the training step.
            batch: the items.
            previews: column title -> float32 [B,H,W,3] in [-1, 1], or class ids int [B,H,W]; those
                named "sheet/title" make a sheet of their own, of another size if need be.

        Returns:
            Path of the PNG, `samples/step_00001200.png`; others are `step_00001200_<sheet>.png`.
        """
        columns, rows = self.kind.given(batch, self.colorize, self.image_class_names)
        sheets = {"samples": columns}
        for name, image in previews.items():
            sheet, slash, title = name.rpartition("/")
            of_ids = len(image.shape) == 3
            image = self.colorize(image) if of_ids else contact_sheet.to_uint8(image)
            sheets.setdefault(sheet if slash else "samples", {})[title] = image
        for name, columns in sheets.items():
            large = {title: contact_sheet.enlarged(images) for title, images in columns.items()}
            shown = contact_sheet.contact_sheet(large, rows)
            if self.legend and name == "samples":
                shown = contact_sheet.with_legend(shown, self.legend)
            titles = f"Columns: {', '.join(columns)}. A row is an item, the same at every step."
            sheet = contact_sheet.contact_sheet(columns, rows)
            self.picture(step, name, sheet, shown=shown, description=titles)
        return self._path(step, "samples")

    def picture(
        self, step: int, name: str, image: np.ndarray, *, shown: np.ndarray | None = None,
        description: str | None = None,
    ) -> Path:  # fmt: skip
        """One picture, uint8 [H,W,3], in TensorBoard and as a PNG; returns the path of that.

        TensorBoard shows `shown` in its place, and the description. The file is
        `samples/step_00001200_<name>.png`; of "group/name", the last part is in the path.
        """
        with self._events(step):
            shown = image if shown is None else shown
            tf.summary.image(name, shown[np.newaxis], description=description)
        path = self._path(step, name)
        with self._or_later("sheets"):
            contact_sheet.write_sheet(path, image)
        return path

    def _path(self, step, name) -> Path:
        suffix = "" if name == "samples" else f"_{name.rpartition('/')[2]}"
        return self.run.samples / f"step_{step:08d}{suffix}.png"

    def weights(self, step: int, owners: dict) -> None:
        """Histograms of every variable, where asked for."""
        if not self.histograms:
            return
        with self._events(step):
            for owner, holder in owners.items():
                for variable in holder.variables:
                    name = getattr(variable, "path", variable.name)
                    tf.summary.histogram(f"{owner}/{name}", variable.numpy())

    def close(self) -> None:
        """Ends the files."""
        with self._or_later("TensorBoard's files"):
            if self._writer is not None:
                self._writer.close()


def _append(path: Path, text: str) -> None:
    """Appends to a file all of a text or nothing."""
    content = text.encode(errors="backslashreplace")
    with open(path, "a+b", buffering=0) as file:
        size = file.seek(0, 2)
        try:
            if file.write(content) != len(content):
                raise OSError(f"{path}: written in part")
        except OSError:
            file.truncate(size)
            raise
