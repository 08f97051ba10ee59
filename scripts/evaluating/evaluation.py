"""One evaluation from settings to reports: the real data are read once, images are made once."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tqdm import tqdm

from scripts.evaluating import (
    measures,
    painted_folder,
    real_images,
    reports,
    settings,
    sheet,
    subjects,
)
from training.runs import provenance, trained_run
from training.watch import evaluation


def evaluate(config: DictConfig) -> str:
    """Measures what a config asks for, writes the reports, and returns the last as text.

    Raises:
        ValueError: settings that cannot be, do not go together or are not read.
        FileNotFoundError, KeyError: no such run, folder, weights or split.
    """
    settings.check(config)
    if config.run is None:
        from_maps = config.labels is not None
        folder = painted_folder.PaintedFolder if from_maps else subjects.EvaluatedFolder
        subject: Any = folder(config)
    else:
        # Of all steps the newest is opened first; the others take its place one by one.
        step = None if config.step == "all" else config.step
        run = trained_run.open_run(
            config.run, step=step, data_root=config.data_root, device=config.device,
            averaged=config.averaged,
        )  # fmt: skip
        subject = subjects.EvaluatedRun(run, config)
    needs = settings.chosen_metrics(subject, config)
    settings.check_subject(subject, config)
    make_folder(Path(subject.out))
    measured_by = measures.Measures(subject, needs, config)
    from_data = subject.inputs is None
    real = real_images.RealImages(
        subject.data, subject.split, config.batch_size, network=measured_by.network,
        columns=measured_by.of_real(), num_images=config.num_images if from_data else None,
        content=("label_map",) if config.labels is not None else real_images.CONTENT,
    )  # fmt: skip
    if not from_data:
        real.protocol()  # what is wrong with the data is said before hours of generating
    if config.step != "all":
        return measure(subject, measured_by, real, config)
    return "\n\n".join(
        measure(subject.at_step(step), measured_by, real, config)
        for step in trained_run.steps(subject.run)
    )


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


def measure(subject, measured_by, real, config) -> str:
    """One evaluation with all its repeats, written down; its table as text."""
    made, shown, repeats = measured_by.of_generated(real.features), sheet.Sheet(subject), []
    for repeat in range(config.repeats):
        seen = [*made, *([] if repeat else [shown])]
        engine = evaluation.Evaluation(
            {str(index): column for index, column in enumerate(seen)},
            num_images=config.num_images, batch_size=config.batch_size,
        )  # fmt: skip
        inputs = real.batches() if subject.inputs is None else subject.inputs
        generate = measured_by.generate(config.seed + repeat)
        engine.observe(generate, tqdm(inputs, "Generating", disable=None))
        repeats.append({column.title: column.result() for column in made})
    means, deviations = reports.over_repeats(repeats)
    data = real.protocol()
    figures = means | {column.title: column.result() for column in real.columns}
    protocol = {
        "kind": subject.kind_name, "data": data, "n_fake": shown.count, "seed": config.seed,
        "repeats": config.repeats, **measured_by.protocol, **subject.protocol,
    }  # fmt: skip
    report = {
        "title": subject.title,
        "name": subject.file_name,
        "run": subject.name,
        "step": subject.run and subject.run.step,
        "protocol": reports.protocol_hash(protocol),
        "figures": figures,
        "std": deviations,
        "confusion": {c.title: counts for c in made for counts in c.confusions()},
        "notes": measured_by.notes(data["n_real"], shown.count, real.features, figures),
        "passport": {
            "subject": subject.passport(),
            "real_images": real.seen(),
            "protocol": protocol,
            "versions": provenance.provenance(),
        },
    }
    path = reports.write(Path(subject.out), report, shown.picture())
    if subject.run is not None and config.out is None:
        reports.write_curves(subject.run.folder, report["protocol"])
    return "\n".join(
        [reports.text(report), f"{subject.title}; written to {path.with_suffix('.*')}"]
    )
