"""What several runs make of the same inputs, as one sheet with a column a run."""

import gc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from training.runs import classes, trained_run
from training.watch import contact_sheet

BATCH_SIZE = 8
TILE_SIDE = 128  # smaller images are enlarged, so that the titles fit


@dataclass
class Pictures:
    """What was made."""

    sheet: Any = None  # uint8 [height, width, 3]; None where no run could be shown
    shown: list[str] = field(default_factory=list)  # names of runs
    left_out: dict[str, str] = field(default_factory=dict)  # name -> reason


@dataclass(frozen=True)
class Inputs:
    """Items of the first run that can be opened, for all of them."""

    run: str
    facts: dict  # what another run must have in common to be shown
    batch: dict[str, np.ndarray]
    seeds: np.ndarray
    columns: dict[str, np.ndarray]
    rows: list[str]


def made(runs, config) -> Pictures:
    """Opens one run after the other and keeps its pictures alone.

    Args:
        runs: with `name` and `folder`.
        config: of the command.
    """
    pictures, columns = Pictures(), {}
    inputs: Any = None  # those of the first run that can be opened
    for run in runs:
        try:
            root = config.data_root if inputs is None else None
            opened = trained_run.open_run(run.folder.path, data_root=root, device=config.device)
            facts = facts_of(opened)
        except (ValueError, KeyError, OSError) as error:
            pictures.left_out[run.name] = error.args[0] if len(error.args) == 1 else str(error)
            continue
        if inputs is None:
            try:
                inputs = inputs_of(run.name, opened, facts, config)
            except (ValueError, KeyError, OSError) as error:
                why = f"the inputs would be those of {run.name}, but: {error}. Set data_root=DIR"
                pictures.left_out |= {other.name: why for other in runs}
                return pictures
        reason = unlike(facts, inputs)
        if reason:
            pictures.left_out[run.name] = reason
        else:
            columns[run.name] = generated(opened, inputs)
            pictures.shown.append(run.name)
        del opened
        gc.collect()
    if columns:
        tiles = {title: enlarged(x) for title, x in (inputs.columns | columns).items()}
        pictures.sheet = contact_sheet.contact_sheet(tiles, inputs.rows)
    return pictures


def facts_of(run) -> dict:
    """What a run's network reads: {"reads", "image size", "classes"}.

    Raises:
        ValueError: there is nothing to look at.
    """
    kind = run.task.kind
    if kind.pictured is None:
        raise ValueError(f"{type(run.task.generating_network).__name__} makes no pictures")
    return {
        "reads": kind.condition or "noise",
        "image size": list(run.data.image_size),
        "classes": list(kind.class_names(run)),
    }


def unlike(facts: dict, inputs: Inputs) -> str:
    """In what a run does not fit the inputs; an empty text where it does."""

    def text(value) -> str:
        return f"{len(value)}: {classes.first(value)}" if isinstance(value, list) else value

    for name, expected in inputs.facts.items():
        if facts[name] != expected:
            here, there = ("x".join(map(str, value)) if name == "image size" else text(value)
                           for value in (facts[name], expected))  # fmt: skip
            return f"{name} {here}, where {inputs.run} has {there}"
    return ""


def inputs_of(name: str, run, facts: dict, config) -> Inputs:
    """What the kind of a run takes for examples: validation items, classes in turn, noise."""
    names, batch = run.task.kind.examples(run, config.count)
    colorize = run.data.encoding.colors_of
    columns, rows = run.task.kind.given(batch, colorize, run.image_class_names)
    seeds = config.seed + np.arange(len(names), dtype=np.int32)
    return Inputs(name, facts, batch, seeds, columns, rows)


def generated(run, inputs: Inputs) -> np.ndarray:
    """uint8 [N, H, W, 3], what a run makes of the inputs; class ids in their colours."""
    pictures = []
    for first in tqdm(range(0, len(inputs.seeds), BATCH_SIZE), "Pictures", disable=None):
        part = slice(first, first + BATCH_SIZE)
        batch = {key: value[part] for key, value in inputs.batch.items()}
        made = run.generate(batch, tf.constant(inputs.seeds[part]))[run.task.kind.pictured]
        of_ids = len(made.shape) == 3
        pictures.append(
            run.data.encoding.colors_of(made) if of_ids else contact_sheet.to_uint8(made)
        )
    return np.concatenate(pictures)


def enlarged(images: np.ndarray) -> np.ndarray:
    """Each pixel repeated until both sides have at least TILE_SIDE."""
    times = max(1, -(-TILE_SIDE // min(images.shape[1:3])))
    return images.repeat(times, axis=1).repeat(times, axis=2)


def blocks(pictures: Pictures) -> list[str]:
    """Sentences about `made`."""
    shown = [f"On sheet.png: {', '.join(pictures.shown)}."] if pictures.shown else []
    return shown + [
        f"Not shown: {name}, {why.rstrip('.')}." for name, why in pictures.left_out.items()
    ]
