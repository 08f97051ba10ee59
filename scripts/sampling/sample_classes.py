"""Classes in, images out: what scripts/sample.py does with a class-conditional generator."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.sampling import generation
from training.runs import classes

SHEET_ROWS = 64
MIN_TRUNCATION = 0.02  # below it nearly every draw is thrown away, for noise that is all but zero
# Settings of configs/sample.yaml that only these runs have.
SETTINGS = ("classes", "per_class", "seed", "truncation", "interpolate", "steps")

NUMBERS = {"per_class": int, "steps": int, "seed": int, "truncation": int | float | None}


@dataclass(frozen=True)
class Grid:
    """What the generator is to make, in rows and columns."""

    rows: list[str]  # titles, and names of folders
    columns: dict[str, str]  # name of file -> title
    label: np.ndarray  # int32 ids or float32 [.., K] mixtures, broadcast over [rows, columns]
    noise: np.ndarray  # float32 [.., noise_dim], the same

    def cells(self, array, trailing) -> np.ndarray:
        """The array for each cell, row by row: [rows * columns, *trailing axes]."""
        shape = (len(self.rows), len(self.columns), *array.shape[array.ndim - trailing :])
        return np.broadcast_to(array, shape).reshape(-1, *shape[2:])


def sample(run, config, out: Path) -> int:
    """Writes an image for every cell of the grid, and sheet.png; returns how many.

    Raises:
        ValueError: settings out of range, or that this run does not allow.
    """
    check_settings(config)
    grid = GRIDS[config.interpolate](run, config)
    mixed = np.issubdtype(grid.label.dtype, np.floating)
    label, noise = grid.cells(grid.label, int(mixed)), grid.cells(grid.noise, 1)
    made = generation.generate(
        run, lambda part: {"label": label[part], "noise": noise[part]}, [0] * len(noise),
        config.batch_size, layouts=config.layouts, title="Sampling",
    )  # fmt: skip
    write(out, grid, made["image"])
    if config.layouts:
        write(out, grid, made["layout"], "_layout", "layouts.png")
    return len(noise)


def check_settings(config) -> None:
    """Raises ValueError where a setting is out of its range."""
    if config.interpolate not in GRIDS:
        raise ValueError(
            "Expected interpolate=seeds, interpolate=classes or null. Received: "
            f"interpolate={config.interpolate}."
        )
    for name, kinds in NUMBERS.items():
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise ValueError(f"Expected a number. Received: {name}={value!r}.")
    if config.per_class < 1 or config.steps < 2:
        raise ValueError(
            "Expected at least one image of each class, and two steps of an interpolation. "
            f"Received: per_class={config.per_class}, steps={config.steps}."
        )
    if config.truncation is not None and config.truncation < MIN_TRUNCATION:
        raise ValueError(
            f"Expected a threshold of at least {MIN_TRUNCATION} for the noise, or null for none. "
            f"Received: truncation={config.truncation}. BigGAN uses 0.5 to 2."
        )


def class_by_seed(run, config) -> Grid:
    """A row for each class, a column for each seed."""
    ids, seeds = chosen_ids(run, config), chosen_seeds(config)
    return Grid(
        rows=[run.image_class_names[index] for index in ids],
        columns={f"seed_{seed}": f"seed {seed}" for seed in seeds},
        label=np.array(ids, np.int32)[:, None],
        noise=noise_of(run, seeds, config),
    )


def between_seeds(run, config) -> Grid:
    """A row for each class, on the way from one seed to another.

    cos(a) * first + sin(a) * second stays N(0, 1); a straight line would come too near to zero.
    """
    ids = chosen_ids(run, config)
    seeds = chosen_seeds(config) if config.seeds else [config.seed, config.seed + 1]
    if len(seeds) != 2:
        raise ValueError(
            f"Expected the two seeds to go between. Received: seeds={seeds}. For instance "
            "seeds=[3,7]."
        )
    first, second = noise_of(run, seeds, config)
    angles = np.linspace(0.0, np.pi / 2, config.steps)[:, None]
    return Grid(
        rows=[run.image_class_names[index] for index in ids],
        columns=steps_between(f"seed {seeds[0]}", f"seed {seeds[1]}", config.steps),
        label=np.array(ids, np.int32)[:, None],
        noise=(np.cos(angles) * first + np.sin(angles) * second).astype(np.float32),
    )


def between_classes(run, config) -> Grid:
    """A row for each seed, on the way from one class to another: their parameters are blended."""
    ids, seeds = chosen_ids(run, config), chosen_seeds(config)
    if len(ids) != 2:
        names = f"{run.image_class_names[0]},{run.image_class_names[-1]}"
        raise ValueError(
            f"Expected the two classes to go between. Received: {len(ids)} classes. For instance "
            f"classes=[{names}]."
        )
    first, second = np.eye(len(run.image_class_names), dtype=np.float32)[ids]
    share = np.linspace(0.0, 1.0, config.steps, dtype=np.float32)[:, None]
    return Grid(
        rows=[f"seed {seed}" for seed in seeds],
        columns=steps_between(*(run.image_class_names[index] for index in ids), config.steps),
        label=(1.0 - share) * first + share * second,
        noise=noise_of(run, seeds, config)[:, None],
    )


GRIDS = {None: class_by_seed, "seeds": between_seeds, "classes": between_classes}


def chosen_ids(run, config) -> list[int]:
    """Ids of the classes asked for, each once."""
    asked = config.classes
    one = asked is None or isinstance(asked, str | int)
    return list(dict.fromkeys(classes.chosen(asked if one else list(asked), run.image_class_names)))


def chosen_seeds(config) -> list[int]:
    """The seeds listed, each once, or `per_class` from `seed` on."""
    return list(dict.fromkeys(config.seeds or range(config.seed, config.seed + config.per_class)))


def noise_of(run, seeds, config) -> np.ndarray:
    """float32 [seeds, noise_dim]; a row is a function of its seed and the threshold."""
    import tensorflow as tf

    from training.tasks import steps

    seeds, noise_dim = tf.constant(seeds, tf.int32), run.task.generator.noise_dim
    if config.truncation is None:
        return steps.noise_from_seeds(seeds, noise_dim).numpy()
    return steps.truncated_noise(seeds, noise_dim, tf.constant(float(config.truncation))).numpy()


def steps_between(first, last, steps) -> dict[str, str]:
    """Columns of an interpolation: files are numbered, titles name the ends."""
    titles = [first, *(f"{index / (steps - 1):.2f}" for index in range(1, steps - 1)), last]
    return {f"{index:02d}": title for index, title in enumerate(titles)}


def write(out: Path, grid: Grid, images, ending="", sheet="sheet.png") -> None:
    """One PNG an image, `<row>/<column>.png`, and the sheet."""
    from training.watch import contact_sheet

    images = images.reshape(len(grid.rows), len(grid.columns), *images.shape[1:])
    for row, of_row in zip(grid.rows, images, strict=True):
        for column, image in zip(grid.columns, of_row, strict=True):
            contact_sheet.write_png(out / folder_name(row) / f"{column}{ending}.png", image)
    shown = {
        title: images[:SHEET_ROWS, number] for number, title in enumerate(grid.columns.values())
    }
    titled = contact_sheet.contact_sheet(shown, grid.rows[:SHEET_ROWS])
    contact_sheet.write_png(out / sheet, titled)


def folder_name(title: str) -> str:
    """The title, with %xx for what a folder's name may not have."""
    return re.sub(r"^\.|[^\w .-]", lambda found: f"%{ord(found[0]):02x}", title).replace(" ", "_")
