"""Samples images from a run: label maps in, PNGs and a contact sheet out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from omegaconf import DictConfig

from scripts import command_line, trained_run

SHEET_ROWS = VALIDATION_ITEMS = 16


@dataclass(frozen=True)
class Column:
    """One way to sample every label map: a noise seed or a style photograph."""

    title: str
    seed: int = 0
    style_image: Any = None  # float32 [H, W, 3] in [-1, 1]


@hydra.main(version_base="1.3", config_path="../configs", config_name="sample")
def main(config: DictConfig) -> None:
    command_line.load_tensorflow()
    print(sample(config))


def sample(config: DictConfig) -> str:
    """Writes the images a config asks for; returns a sentence that says where."""
    import tensorflow as tf

    from training import run_folder

    check_numbers(config)
    run = trained_run.open_run(
        config.run, step=config.step, data_root=config.data_root, device=config.device
    )
    names, items = label_maps(run, config)
    columns = ways_to_sample(run, config)
    out = Path(config.out) if config.out else run_folder.new_run_folder(
        run.folder.samples, command_line.now()
    )  # fmt: skip
    generate_batch = tf.function(run.task.generate, reduce_retracing=True)
    images = [generate(run, generate_batch, items, column, config.batch_size) for column in columns]
    write(out, run, names, items, columns, images)
    return f"{len(names) * len(columns)} images of step {run.step} in {out}, sheet {out}/sheet.png"


def check_numbers(config) -> None:
    """Raises ValueError for a count, batch size or seed list that cannot be."""
    for name, least in (("count", 1), ("batch_size", 1), ("grid_styles", 1)):
        value = config[name]
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(f"{name} must be an integer >= {least}. Received: {name}={value}")
    seeds = config.seeds
    if isinstance(seeds, int) or not seeds or not all(isinstance(seed, int) for seed in seeds):
        raise ValueError(f"seeds must be a list of integers, seeds=[0,1]. Received: seeds={seeds}")


def label_maps(run, config) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names and {"label_map": uint8 [N,H,W]}; from the validation split also "image"."""
    if config.labels is None:
        names, batch = run.data.examples("validation", config.count or VALIDATION_ITEMS)
        return names, {key: batch[key].numpy() for key in ("label_map", "image")}
    from data import label_files

    root = Path(config.labels)
    paths = files_of(root, label_files.LABEL_SUFFIXES, "labels=FILE or FOLDER of label maps")
    paths = paths[: config.count]
    read = run.data.read_label_map if config.resize else run.data.labels.read
    maps = [read(path) for path in paths]
    expected = tuple(run.data.image_size)
    for path, ids in zip(paths, maps, strict=True):
        if ids.shape != expected:
            raise ValueError(
                f"Expected label maps of {expected[0]}x{expected[1]} (height x width), the size "
                f"of the run. Received: {path} of {ids.shape[0]}x{ids.shape[1]}. Add resize=true "
                "to bring maps to that size as training does."
            )
    stems = [p.relative_to(root) if root.is_dir() else Path(p.name) for p in paths]
    names = [str(stem.with_suffix("")) for stem in stems]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "Expected label maps of different names, as each gives its name to an image. "
            f"Received: {twice[:5]} with several suffixes. Move one of each elsewhere."
        )
    return names, {"label_map": np.stack(maps)}


def ways_to_sample(run, config) -> list[Column]:
    """The columns of the sheet: styles where asked for, else noise seeds."""
    generator = run.task.generator
    if config.style is None:
        if len(config.seeds) > 1 and not generator.noise_dim:
            raise ValueError(
                "Expected one seed: the generator of this run takes no noise, so all seeds give "
                f"the same image. Received: seeds={list(config.seeds)}. Train with "
                "generator=spade_style for images that vary."
            )
        return [Column(f"seed {seed}", seed=seed) for seed in config.seeds]
    if "style_image" not in getattr(generator, "optional_keys", ()):
        raise ValueError(
            "Expected a run whose generator has a style encoder (generator=spade_style). "
            f"Received: style={config.style} for {type(generator).__name__}. Leave style out."
        )
    if config.style == "grid":
        names, batch = run.data.examples("validation", config.grid_styles)
        return [
            Column(f"style {Path(n).name}", style_image=p)
            for n, p in zip(names, batch["image"].numpy(), strict=True)
        ]
    from data import sources

    expected = "style=grid, a photograph or a folder of photographs"
    return [
        Column(f"style {path.stem}", style_image=run.data.read_image(path))
        for path in files_of(Path(config.style), sources.PHOTO_SUFFIXES, expected)
    ]


def files_of(path: Path, suffixes, expected: str) -> list[Path]:
    """The file itself, or those of a folder and its sub-folders, sorted."""
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes)
    if not found:
        state = "a folder without any" if path.is_dir() else "not there"
        raise FileNotFoundError(
            f"Expected {expected}, {', '.join(suffixes)}. Received: {path}, {state}."
        )
    return found


def generate(run, generate_batch, items, column: Column, batch_size: int) -> np.ndarray:
    """uint8 [N,H,W,3]: every label map sampled one way, batch by batch."""
    import tensorflow as tf
    from tqdm import tqdm

    from training import contact_sheet

    maps, images = items["label_map"], []
    for first in tqdm(range(0, len(maps), batch_size), column.title, disable=None):
        part = maps[first : first + batch_size]
        batch = {"mask": run.data.finish({"label_map": part})["mask"]}
        if column.style_image is not None:
            batch["style_image"] = tf.repeat(column.style_image[None], len(part), axis=0)
        generated = generate_batch(batch, tf.fill([len(part)], column.seed))
        images.append(contact_sheet.to_uint8(generated["image"]))
    return np.concatenate(images)


def write(out: Path, run, names, items, columns, images) -> None:
    """One PNG an image, `<name>.png` or `<name>_<column>.png`, and sheet.png."""
    from training import contact_sheet

    for column, column_images in zip(columns, images, strict=True):
        suffix = f"_{column.title.replace(' ', '_')}" if len(columns) > 1 else ""
        for name, image in zip(names, column_images, strict=True):
            contact_sheet.write_png(out / f"{name}{suffix}.png", image)
    shown = {"label map": run.data.labels.colors_of(items["label_map"][:SHEET_ROWS])}
    if "image" in items:
        shown["real"] = contact_sheet.to_uint8(items["image"][:SHEET_ROWS])
    shown |= {c.title: i[:SHEET_ROWS] for c, i in zip(columns, images, strict=True)}
    if columns[0].style_image is not None:
        shown = _with_style_row(shown, columns)
    contact_sheet.write_png(out / "sheet.png", contact_sheet.contact_sheet(shown))


def _with_style_row(shown, columns):
    """A row on top with the photograph each column takes its style from."""
    from training import contact_sheet

    styles = {column.title: contact_sheet.to_uint8(column.style_image) for column in columns}
    blank = np.full_like(next(iter(shown.values()))[0], 255)
    return {title: np.concatenate([styles.get(title, blank)[None], images])
            for title, images in shown.items()}  # fmt: skip


if __name__ == "__main__":
    command_line.run(main)
