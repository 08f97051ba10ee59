"""Inpainting: how near repaired images are to the originals, beside fills without learning."""

import hydra
import numpy as np
from omegaconf import OmegaConf

from scripts import evaluation

NAME = "inpainting"
SETTINGS = ("data.holes",)
DEFAULTS = {"num_images": None, "batch_size": 8}  # None = all images of the split
TARGET = "masked_image"
COLUMNS = {
    "psnr": ("PSNR", "{:.2f}"),
    "ssim": ("SSIM", "{:.4f}"),
    "l1_percent": ("L1 %", "{:.2f}"),
    "hole_l1_percent": ("L1 % in the hole", "{:.2f}"),
}


def evaluate(run, config) -> dict:
    """The figures, with the passport of what they were measured on.

    Args:
        run: TrainedRun of an inpainting generator.
        config: settings of configs/evaluate.yaml; `data.holes`, where it is there, takes the place
            of the run's own holes.

    Returns:
        {"metric", "holes": {"kind", "mean_area", "settings"}, "rows": row -> figures of
        metrics.image_quality.ImageQuality, "passport"}.

    Raises:
        KeyError: the data have no such split.
    """
    from tqdm import tqdm

    from training import evaluation as measurement

    data_config, data = data_with(run, OmegaConf.select(config, "data.holes"))
    rows = {name: Row(name, fill) for name, fill in fills_of(run).items()}
    measured = measurement.Evaluation(
        {**rows, "area": HoleArea()}, num_images=config.num_images, batch_size=config.batch_size
    )
    batches = tqdm(
        data.evaluation_dataset(config.split, config.batch_size), "Repairing", disable=None
    )
    figures = measured.measure(run.generate, batches, data.finish)
    figures = {name.removeprefix("eval/"): value for name, value in figures.items()}
    kind = kind_of(data_config.holes)
    return {
        "metric": f"{NAME}_{kind}",
        "holes": {
            "kind": kind,
            "mean_area": figures["hole_area"],
            "settings": OmegaConf.to_container(data_config.holes, resolve=True),
        },
        "rows": {row: {key: figures[f"{row}/{key}"] for key in COLUMNS} for row in rows},
        "passport": {
            "split": config.split,
            "n_real": int(figures["images"]),
            "image_size": list(data.image_size),
            "generator": evaluation.passport(run),
            "versions": evaluation.versions(),
        },
    }


def data_with(run, holes):
    """(config, pipeline) of the run's data, with other holes where `holes` is a config of some."""
    if holes is None:
        return run.config.data, run.data
    config = run.config.copy()
    OmegaConf.update(config, "data.holes", holes, merge=False, force_add=True)
    return config.data, hydra.utils.instantiate(config.data, _convert_="all")


def kind_of(holes) -> str:
    """Names of the classes that draw holes: "RandomRectangle", "FreeForm+RandomRectangle"."""
    if "makers" in holes:
        return "+".join(kind_of(maker) for maker in holes.makers.values())
    return holes["_target_"].rpartition(".")[2]


def fills_of(run) -> dict:
    """Row title -> function (batch, generated) -> images whose holes are filled."""
    from metrics import fills

    def by(fill):
        return lambda batch, _: fill(batch[TARGET], batch["hole"])

    def coarse(batch, generated):
        return generated["coarse"] * batch["hole"] + batch[TARGET]

    return {
        "generator": lambda _, generated: generated["image"],
        "its coarse stage": coarse,
        "harmonic": by(fills.harmonic),
        "nearest known pixel": by(fills.nearest_known),
        "mean colour": by(fills.mean_colour),
    }


class Row:
    """ImageQuality of one way to fill the holes, for training.evaluation.Evaluation.

    Args:
        title: in front of the names of its figures.
        fill: function (batch, generated) -> [B, H, W, 3] in [-1, 1].
    """

    def __init__(self, title, fill):
        from metrics import image_quality

        self.title = title
        self.fill = fill
        self.quality = image_quality.ImageQuality()

    def reset_state(self):
        self.quality.reset_state()

    def update_state(self, batch, generated):
        self.quality.update_state(batch, {"image": self.fill(batch, generated)})

    def result(self):
        return {f"{self.title}/{name}": value for name, value in self.quality.result().items()}


class HoleArea:
    """Number of images and mean share of their pixels that is missing, for Evaluation."""

    def reset_state(self):
        self.shares = []

    def update_state(self, batch, generated):
        self.shares += list(np.mean(batch["hole"], axis=(1, 2, 3), dtype=np.float64))

    def result(self):
        return {"images": float(len(self.shares)), "hole_area": float(np.mean(self.shares))}


def table(report: dict) -> str:
    """The figures for people: a row for each way to fill the holes."""
    rows = [
        [title, *(text.format(figures[key]) for key, (_, text) in COLUMNS.items())]
        for title, figures in report["rows"].items()
    ]
    text = evaluation.table([NAME, *(title for title, _ in COLUMNS.values())], rows)
    holes, facts = report["holes"], report["passport"]
    return (
        f"{text}\nHoles: {holes['kind']}, mean area {100 * holes['mean_area']:.1f} %; "
        f"{facts['n_real']} images of {facts['split']}"
    )
