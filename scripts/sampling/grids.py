"""Pictures of the size of the run, in rows and columns: of label maps, of classes, of noise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from data import outputs
from data.labels import label_files
from data.sources import folder_source
from scripts.sampling import files
from training.kinds import kind as kinds
from training.runs import classes
from training.watch import contact_sheet


def sample(run, config: DictConfig, out: Path) -> str:
    """Writes a PNG for every cell of the kind's grid, and sheet.png; returns a sentence.

    With `layouts` there are `<name>_layout.png` and layouts.png as well.
    """
    settings = settings_of(run, config)
    grid = run.task.kind.grid(run, **settings)
    refuse_losses(grid, settings, out, config.layouts)
    shown = {"sheet.png": [], "layouts.png": []}
    for first in tqdm(range(0, len(grid.names), config.batch_size), "Sampling", disable=None):
        numbers = np.arange(first, min(first + config.batch_size, len(grid.names)))
        made = run.task.kind.sample(
            run, grid.conditions(numbers), grid.seeds[numbers], layouts=config.layouts
        )
        write(contact_sheet.write_png, out, grid, numbers, made["image"], "", shown["sheet.png"])
        if config.layouts:
            layouts = made["layout"], "_layout", shown["layouts.png"]
            write(contact_sheet.write_sheet, out, grid, numbers, *layouts)
    for name, pictures in shown.items():
        if pictures:
            contact_sheet.write_sheet(out / name, sheet(grid, np.stack(pictures)))
    return f"{len(grid.names)} images of step {run.step} in {out}, sheet {out}/sheet.png"


def settings_of(run, config: DictConfig) -> dict[str, Any]:
    """The kind's settings as `Kind.grid` takes them: files are found, classes are ids."""
    names = ("seeds", *run.task.kind.settings)
    asked = {name: OmegaConf.to_container(config)[name] for name in names}
    if asked.get("labels") is not None:
        asked["labels"] = files.by_name(
            Path(str(config.labels)), "labels", label_files.LABEL_SUFFIXES,
            expected="FILE or FOLDER of label maps",
        )  # fmt: skip
    if asked.get("style") not in (None, "grid"):
        asked["style"] = files.by_name(
            Path(str(config.style)), "style", folder_source.PHOTO_SUFFIXES,
            expected="grid, a photograph or a folder of photographs",
        )  # fmt: skip
    if "classes" in asked:
        asked["classes"] = classes.chosen(asked["classes"], run.image_class_names)
    return asked


def refuse_losses(grid: kinds.Grid, settings: dict, out: Path, layouts: bool) -> None:
    """As `outputs.refuse_losses`, of the pictures of a grid and the files it was made from."""
    endings = ("", "_layout") if layouts else ("",)
    written = [out / f"{name}{ending}.png" for name in grid.names for ending in endings]
    written += [out / "sheet.png", *([out / "layouts.png"] if layouts else [])]
    files_of = [settings.get(name) for name in ("labels", "style")]
    read = [path for given in files_of if isinstance(given, dict) for path in given.values()]
    outputs.refuse_losses(written, read)


def write(
    writer: Callable, out: Path, grid: kinds.Grid, numbers, pictures, ending: str, shown: list
) -> None:
    """Writes these pictures of the grid; those that go on its sheet are added to `shown`."""
    for number, picture in zip(numbers, pictures, strict=True):
        writer(out / f"{grid.names[number]}{ending}.png", picture)
        if number < grid.shown_rows * len(grid.columns):
            shown.append(picture)


def sheet(grid: kinds.Grid, pictures: np.ndarray) -> np.ndarray:
    """What was given and the pictures, a row a row of the grid.

    Args:
        grid: what was made.
        pictures: uint8 [N, H, W, 3], the first ones.

    Returns:
        uint8 [height, width, 3].
    """
    width = len(grid.columns)
    blank = np.full_like(pictures[0], 255)
    missing = [blank] * (-len(pictures) % width)
    rows = np.stack([*pictures, *missing]).reshape(-1, width, *blank.shape)
    columns = dict(grid.given) | {title: rows[:, n] for n, title in enumerate(grid.columns)}
    if grid.heads is not None:
        heads = dict.fromkeys(columns, blank) | dict(zip(grid.columns, grid.heads, strict=True))
        columns = {title: np.stack([heads[title], *images]) for title, images in columns.items()}
    return contact_sheet.contact_sheet(columns, grid.rows[: len(rows)])
