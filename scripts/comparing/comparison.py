"""One comparison from settings to files: configs, training, figures and pictures of runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from data import outputs
from scripts.command import checks, tables
from scripts.comparing import run_differences, run_figures, run_pictures
from training.runs import run_folder, starting
from training.watch import contact_sheet

COMPARISONS = starting.OUTPUTS / "comparisons"
CELL_LENGTH = 44


@dataclass(frozen=True)
class Run:
    """A run to compare. Its networks are built when they are used."""

    name: str  # short, and no other run's
    folder: Any
    config: DictConfig


def compare(config: DictConfig) -> str:
    """Writes comparison.md, comparison.json and sheet.png; returns the comparison as text.

    Raises:
        ValueError: settings that cannot be, fewer than two runs, or one of them twice.
        FileNotFoundError: a folder is no run.
    """
    checks.check_whole_numbers(config, count=0, seed=0)
    runs = opened(config.runs)
    differences = run_differences.of_configs({run.name: run.config for run in runs})
    training = {run.name: run_differences.state(run.folder) for run in runs}
    figures = run_figures.collected({run.name: run.folder for run in runs})
    pictures = run_pictures.made(runs, config) if config.count else None
    out = Path(config.out) if config.out else run_folder.new_run_folder(
        COMPARISONS, starting.now()
    )  # fmt: skip
    outputs.refuse_losses([out / "sheet.png"] if pictures is not None else ())
    sections = [
        ("Runs", [[["run", "folder"], *([run.name, str(run.folder.path)] for run in runs)]]),
        ("Settings that differ", run_differences.config_blocks(differences, list(training))),
        ("Training", run_differences.state_blocks(training)),
        ("Figures", run_figures.blocks(figures)),
    ]
    content = {
        "runs": {run.name: str(run.folder.path) for run in runs},
        "config": differences,
        "training": training,
        "figures": figures,
    }
    image = sheet = ""
    if pictures is not None:
        sections.append(("Pictures", run_pictures.blocks(pictures)))
        content["pictures"] = {"shown": pictures.shown, "left_out": pictures.left_out}
        if pictures.sheet is not None:
            contact_sheet.write_sheet(out / "sheet.png", pictures.sheet)
            image = "\n![The same inputs, a column a run](sheet.png)\n"
            sheet = f", sheet {out}/sheet.png"
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (out / "comparison.json").write_text(f"{text}\n")
    (out / "comparison.md").write_text(as_markdown(sections) + image)
    return f"{as_text(sections)}\n\nWritten to {out}/comparison.md and .json{sheet}"


def opened(paths) -> list[Run]:
    """The runs of these folders, under names of their own; their configs are checked."""
    paths = [paths] if isinstance(paths, str) else [str(path) for path in paths or ()]
    if len(paths) < 2:
        raise ValueError(
            f"Expected at least two runs. Received: runs={paths}. For example: "
            "python scripts/compare.py outputs/a/2026-11-20_10-00-00 outputs/b/2026-11-21_10-00-00"
        )
    folders = [run_folder.RunFolder(path, must_exist=True) for path in paths]
    places = [folder.path.resolve() for folder in folders]
    twice = [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]
    if twice:
        raise ValueError(
            f"Expected runs that are not the same. Received: {' and '.join(twice)}. Name each "
            "folder once."
        )
    configs = [starting.load_run(folder)[0] for folder in folders]
    names = short_names(places, [str(config.get("name")) for config in configs])
    return [Run(*parts) for parts in zip(names, folders, configs, strict=True)]


def short_names(places, names) -> list[str]:
    """A name for each run: of its config, or the end of its path that tells it from the others.

    Args:
        places: resolved folders, all different.
        names: of the configs.
    """
    if len(set(names)) == len(names):
        return list(names)
    for length in range(1, max(len(place.parts) for place in places) + 1):
        ends = ["/".join(place.parts[-length:]) for place in places]
        if len(set(ends)) == len(ends):
            break
    return ends


def as_text(sections) -> str:
    """Titles, sentences and tables for a terminal."""
    parts = []
    for title, blocks in sections:
        shown = [block if isinstance(block, str) else text_table(block) for block in blocks]
        parts.append("\n\n".join([f"{title}\n{'=' * len(title)}", *shown]))
    return "\n\n".join(parts)


def text_table(rows) -> str:
    """The rows, their values cut to what fits into a terminal; the files have them whole."""

    def cut(cell) -> str:
        return cell if len(cell) <= CELL_LENGTH else f"{cell[: CELL_LENGTH - 1]}…"

    return tables.table([[title, *map(cut, cells)] for title, *cells in rows])


def as_markdown(sections) -> str:
    """The same as Markdown."""
    parts = ["# Comparison"]
    for title, blocks in sections:
        parts.append(f"## {title}")
        parts += [b if isinstance(b, str) else tables.markdown(b) for b in blocks]
    return "\n\n".join(parts) + "\n"
