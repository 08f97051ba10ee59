"""Which metrics there are, of which subjects, and what each needs."""

from dataclasses import dataclass

from training.runs import run_config

IMAGES = ("class-conditional", "semantic", "inpainting", "folders")


@dataclass(frozen=True)
class Spec:
    """Kinds of subjects a metric is for, and the setting it needs if any."""

    kinds: tuple[str, ...]
    setting: str | None = None
    give: str = ""  # the setting as a user writes it


FEATURES = ("features", "features=NAME feature_weights=FILE")
METRICS = {
    "kid": Spec(IMAGES, *FEATURES),
    "fid": Spec(IMAGES, *FEATURES),
    "inception_score": Spec(IMAGES, *FEATURES),
    "intra_fid": Spec(("class-conditional",), *FEATURES),
    "precision_recall": Spec(IMAGES, *FEATURES),
    "density_coverage": Spec(IMAGES, *FEATURES),
    "miou": Spec(("semantic", "segmenter"), "judge", "judge=SEGMENTATION_RUN"),
    "class_accuracy": Spec(("class-conditional", "classifier"), "judge", "judge=CLASSIFIER_RUN"),
    "image_quality": Spec(("inpainting",)),
    "hole_area_bins": Spec(("inpainting",)),
    "lpips": Spec(("inpainting",), "lpips", "lpips=alex lpips_backbone=FILE lpips_heads=FILE"),
}
PREDICTING = ("classifier", "segmenter")  # kinds that need no judge of what they predict
FILES = {"features": ("feature_weights",), "lpips": ("lpips_backbone", "lpips_heads")}
SETTINGS = sorted({spec.setting for spec in METRICS.values() if spec.setting})


def chosen(subject, config) -> list[str]:
    """Names of the metrics to measure: those asked for, else all whose settings are given.

    Raises:
        ValueError: an unknown metric, one that is not of this kind of subject or lacks a setting;
            none at all; a setting that none of them reads.
    """
    known = [name for name, spec in METRICS.items() if subject.kind in spec.kinds]
    asked = config.metrics
    if asked is not None and (isinstance(asked, str) or not asked):
        raise ValueError(
            f"Expected a list of metrics, out of {', '.join(known)}. Received: metrics={asked}. "
            "For example: metrics=[kid,fid]; without metrics= all are measured that the settings "
            "allow."
        )
    asked = None if asked is None else list(asked)
    for name in asked or ():
        if name not in known:
            raise ValueError(
                f"Metrics of {subject.described} are {', '.join(known)}. Received: metrics="
                f"[{name}].{run_config.close_match(str(name), known)}"
            )
        if not _is_given(name, subject, config):
            raise ValueError(
                f"The metric {name} needs {METRICS[name].give}. Received: {name} without. Add it, "
                "or leave the metric out."
            )
    names = [n for n in known if _is_given(n, subject, config)] if asked is None else asked
    if not names:
        give = dict.fromkeys(METRICS[name].give for name in known)
        raise ValueError(
            f"Expected something to measure {subject.described} with. Received: neither "
            f"{' nor '.join(give)}. Give at least one of these."
        )
    read = {METRICS[name].setting for name in names} if subject.kind not in PREDICTING else ()
    for setting in SETTINGS:
        if config[setting] is not None and setting not in read:
            raise ValueError(
                f"Expected settings that the metrics of {subject.described} read, here "
                f"{', '.join(names)}. Received: {setting}=..., which none of them does. Leave it "
                "out."
            )
    check_files(config)
    return names


def check_files(config) -> None:
    """Raises ValueError for a network without its weights, and for weights without a network."""
    for setting, files in FILES.items():
        for file in files:
            if config[setting] is None and config[file] is not None:
                raise ValueError(
                    f"Expected {setting}=NAME, which reads {file}. Received: {file}="
                    f"{config[file]} alone. Add it, or leave the file out."
                )
            fetched = config[setting] is not None and config[setting].get("download")
            if config[setting] is not None and config[file] is None and not fetched:
                raise ValueError(
                    f"Expected a local file of weights. Received: {setting}=... without {file}. "
                    f"Add {file}=FILE; which one: configs/{setting}/"
                )


def _is_given(name, subject, config):
    setting = METRICS[name].setting
    return setting is None or subject.kind in PREDICTING or config[setting] is not None


def reading(names, setting) -> list[str]:
    """Those of some metrics that need a setting."""
    return [name for name in names if METRICS[name].setting == setting]
