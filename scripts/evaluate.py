"""Measures a run, or a folder of images: figures with a passport of what they were measured on."""

import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.command import errors
from scripts.evaluating import (
    evaluation_data,
    evaluation_metrics,
    evaluation_plan,
    evaluation_report,
    evaluation_sheet,
    evaluation_subject,
    real_images,
)
from training.loop import tensorflow_import
from training.runs import starting, trained_run

OUT = starting.OUTPUTS / "evaluation"  # of folders of images


@hydra.main(version_base="1.3", config_path="../configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    tensorflow_import.load_tensorflow()
    print(evaluate(config))


def evaluate(config: DictConfig) -> str:
    """Measures what a config asks for, writes the reports, and returns the last as text.

    Raises:
        ValueError: settings that cannot be, do not go together or are not read.
        FileNotFoundError, KeyError: no such run, folder, weights or split.
    """
    check(config)
    if config.run is None:
        subject = evaluation_subject.of_folders(config)
    else:
        # Of all steps the newest is opened first; the others take its place one by one.
        step = None if config.step == "all" else config.step
        run = trained_run.open_run(
            config.run, step=step, data_root=config.data_root, device=config.device,
            averaged=config.averaged,
        )  # fmt: skip
        subject = evaluation_subject.of_run(run, config)
    names = evaluation_metrics.chosen(subject, config)
    check_subject(subject, config)
    make_folder(folder_of(subject, config))
    plan = evaluation_plan.Plan(subject, names, config)
    reference = Reference(subject, plan, config)
    if config.step != "all":
        return measure(subject, plan, reference, config)
    texts = [
        measure(subject.at_step(step), plan, reference, config)
        for step in trained_run.steps(subject.run)
    ]
    return "\n\n".join(texts)


def check(config) -> None:
    """Raises ValueError for values that cannot be, and for neither a run nor two folders."""
    for name, least in (("num_images", 1), ("batch_size", 1), ("seed", 0), ("repeats", 1)):
        value = config[name]
        if value is None and name == "num_images":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be an integer >= {least}. Received: {name}={value}")
    if not isinstance(config.averaged, bool):
        raise ValueError(f"averaged must be true or false. Received: averaged={config.averaged}")
    size = config.image_size
    if size is not None and (
        not OmegaConf.is_list(size)
        or len(size) != 2
        or not all(isinstance(side, int) and side >= 1 for side in size)
    ):
        raise ValueError(
            "image_size must be [height, width], integers >= 1. Received: "
            f"image_size={size}. For example: image_size=[256,256]"
        )
    folders = config.real is not None and config.fake is not None
    either = config.real is not None or config.fake is not None
    if (config.run is not None) == either or either != folders:
        raise ValueError(
            "Expected run=RUN, or two folders of images, real=FOLDER fake=FOLDER. Received: "
            f"run={config.run}, real={config.real}, fake={config.fake}."
        )
    of_runs = ("step", "data_root", "judge", "lpips")
    of_others = of_runs if config.run is None else ("image_size",)
    unread = [n for n in of_others if config[n] is not None]
    if unread:
        what = "two folders" if config.run is None else "a run"
        raise ValueError(
            f"Expected settings that the evaluation of {what} reads. Received: "
            f"{unread[0]}=..., which it does not. Leave it out."
        )


def check_subject(subject, config) -> None:
    """Raises ValueError for settings that do nothing for this subject."""
    if config.repeats > 1 and not subject.random:
        raise ValueError(
            f"Expected repeats=1: {subject.described} gives the same figures with every seed. "
            f"Received: repeats={config.repeats}. Leave it out."
        )
    if subject.kind != "inpainting" and OmegaConf.select(config, "data.holes") is not None:
        raise ValueError(
            "Expected holes= for an inpainting run only. Received: holes=... for "
            f"{subject.described.rstrip(',')}. Leave it out."
        )


def folder_of(subject, config) -> Path:
    """Where the reports go."""
    return Path(config.out or (subject.run.folder.evaluation if subject.run else OUT))


def make_folder(folder: Path) -> None:
    """Makes the folder of the reports before hours are spent on them.

    Raises:
        ValueError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "it is read-only"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise ValueError(
            f"Expected a folder that reports can be written to. Received: {folder}, {reason}. "
            "Choose another: out=DIR"
        )


class Reference:
    """The real side of an evaluation, measured once for all steps and repeats.

    Attributes:
        facts: what the real items are, see `real_images.facts`.
        features: their features, or None.
        figures: {column: {figure: value}} of the columns of the real data.
    """

    def __init__(self, subject, plan, config):
        split = config.split if config.run is not None else evaluation_data.ALL
        self.facts = real_images.facts(subject.data, split, config.batch_size)
        self.features = None
        if plan.network is not None:
            self.features = real_images.features(
                subject.data, self.facts, plan.network, config.batch_size
            )
        columns = plan.real()
        self.figures = {}
        if columns:
            batches = subject.data.evaluation_dataset(split, config.batch_size)
            limit = None if subject.kind == "class-conditional" else config.num_images
            self.figures = measured(
                columns, lambda batch, seeds: {}, batches, subject, config, limit, "Real images"
            )


def measure(subject, plan, reference, config) -> str:
    """One evaluation with all its repeats, written down; its table as text."""
    sheet = evaluation_sheet.Sheet(subject)
    columns, repeats = plan.generated(reference.features), []
    for repeat in range(config.repeats):
        seed = config.seed + repeat
        found = measured(
            [*columns, *([] if repeat else [sheet])],
            evaluation_subject.seeded(subject.generate, seed),
            subject.inputs(config.split, config.batch_size),
            subject, config, config.num_images, "Generating",
        )  # fmt: skip
        repeats.append(found)
    means, deviations = evaluation_report.over_repeats(repeats)
    protocol = {
        "kind": subject.kind, "data": reference.facts, "n_fake": sheet.count, "seed": config.seed,
        "repeats": config.repeats, **plan.facts, **subject.facts,
    }  # fmt: skip
    report = {
        "title": subject.title,
        "name": subject.file_name,
        "run": subject.name,
        "step": subject.run and subject.run.step,
        "protocol": evaluation_report.protocol_hash(protocol),
        "figures": means | reference.figures,
        "std": deviations,
        "confusion": evaluation_plan.confusions(columns),
        "notes": plan.notes(reference, sheet.count),
        "passport": {
            "subject": subject.passport(),
            "protocol": protocol,
            "versions": evaluation_report.versions(),
        },
    }
    path = evaluation_report.write(folder_of(subject, config), report, sheet.picture())
    if subject.run is not None and config.out is None:
        evaluation_report.write_curves(subject.run.folder, report["protocol"])
    return "\n".join(
        [evaluation_report.text(report), f"{subject.title}; written to {path.with_suffix('.*')}"]
    )


def measured(columns, generate, batches, subject, config, limit, title) -> dict:
    """{column: {figure: value}} of some columns over some batches."""
    from tqdm import tqdm

    from training.watch import evaluation

    named = {str(index): column for index, column in enumerate(columns)}
    engine = evaluation.Evaluation(named, num_images=limit, batch_size=config.batch_size)
    found = engine.measure(generate, tqdm(batches, title, disable=None), subject.data.preprocess)
    figures = {}
    for key, value in found.items():
        column, _, name = key.removeprefix("eval/").partition("/")
        figures.setdefault(column, {})[name] = value
    return figures


if __name__ == "__main__":
    errors.run(main)
