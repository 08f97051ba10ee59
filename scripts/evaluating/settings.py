"""Which metrics apply to which subject, with which settings of configs/evaluate.yaml."""

import hydra
from omegaconf import DictConfig, OmegaConf

from data import transforms
from scripts.command import checks
from training.runs import run_config

# Settings that metrics may need, and the local files that each of them reads.
FILES = {
    "features": ("feature_weights",),
    "lpips": ("lpips_backbone", "lpips_heads"),
    "judge": (),
}


def check(config: DictConfig) -> None:
    """Raises ValueError for values that cannot be, and for neither a run nor two folders."""
    checks.check_whole_numbers(
        config, optional=["num_images"], num_images=1, batch_size=1, seed=0, repeats=1
    )
    checks.check_averaged(config)
    if config.image_size is not None:
        size = config.image_size
        transforms.checked_size("image_size", list(size) if OmegaConf.is_list(size) else size)
    given = {name for name in ("run", "real", "fake", "labels") if config[name] is not None}
    if given not in ({"run"}, {"real", "fake"}, {"fake", "labels"}):
        raise ValueError(
            "Expected run=RUN, or two folders of images, real=FOLDER fake=FOLDER, or one of images "
            "and one of the label maps they were made from, fake=FOLDER labels=FOLDER judge=RUN. "
            f"Received: run={config.run}, real={config.real}, fake={config.fake}, "
            f"labels={config.labels}."
        )
    if "labels" in given and config.judge is None:
        raise ValueError(
            "Expected judge=SEGMENTATION_RUN, which predicts the maps of images. Received: "
            f"labels={config.labels} without. Add it."
        )
    of_runs = ["step", "data_root", "lpips", *([] if "labels" in given else ["judge"])]
    defaults = OmegaConf.load(run_config.CONFIGS / "evaluate.yaml")
    for name in of_runs if config.run is None else ("image_size", "background", "bits_used"):
        if config[name] != defaults.get(name):
            what = "two folders" if config.run is None else "a run"
            raise ValueError(
                f"Expected settings that the evaluation of {what} reads. Received: "
                f"{name}=..., which it does not. Leave it out."
            )


def check_subject(subject, config: DictConfig) -> None:
    """Raises ValueError for settings that do nothing for what is evaluated."""
    if config.repeats > 1 and not subject.random:
        raise ValueError(
            f"Expected repeats=1: {subject.described} gives the same figures with every seed. "
            f"Received: repeats={config.repeats}. Leave it out."
        )
    if "hole" not in subject.kind.provides and OmegaConf.select(config, "data.holes") is not None:
        raise ValueError(
            "Expected holes= for an inpainting run only. Received: holes=... for "
            f"{subject.described.rstrip(',')}. Leave it out."
        )


def needs_of(config: DictConfig) -> dict[str, frozenset[str]]:
    """Name of each metric there is -> `needs` of its class."""
    targets = {name: node._target_ for name, node in config.available.items() if node is not None}
    return {name: hydra.utils.get_object(target).needs for name, target in targets.items()}


def settings_of(needs: frozenset[str], kind) -> list[str]:
    """Those of `FILES` that a metric needs for a kind: a judge, where the kind does not predict."""
    wanted = needs | ({"judge"} if "prediction" in needs and kind.makes_images else set())
    return [setting for setting in FILES if setting in wanted]


def chosen_metrics(subject, config: DictConfig) -> dict[str, frozenset[str]]:
    """The metrics to measure and their needs: those asked for, else all whose settings are given.

    Raises:
        ValueError: an unknown metric, one that is not of this kind or lacks a setting; none at
            all; a setting that none of them reads.
    """
    others = {"prediction", "class_names", *FILES} - {"features"}
    known = {n: f for n, f in needs_of(config).items() if f - others <= subject.kind.provides}
    needed = {name: settings_of(needs, subject.kind) for name, needs in known.items()}
    missing = {name: [s for s in needed[name] if config[s] is None] for name in known}
    asked = config.metrics
    if asked is not None and (isinstance(asked, str) or not asked):
        raise ValueError(
            f"Expected a list of metrics, out of {', '.join(known)}. Received: metrics={asked}. "
            "For example: metrics=[kid,fid]; without metrics= all are measured that the settings "
            "allow."
        )
    for name in asked or ():
        if name not in known:
            raise ValueError(
                f"Metrics of {subject.described} are {', '.join(known)}. Received: metrics="
                f"[{name}].{run_config.close_match(str(name), known)}"
            )
        if missing[name]:
            raise ValueError(
                f"The metric {name} needs {_as_written(missing[name], subject)}. Received: {name} "
                "without. Add it, or leave the metric out."
            )
    names = [name for name in known if (not missing[name] if asked is None else name in asked)]
    if not names:
        give = dict.fromkeys(_as_written(settings, subject) for settings in missing.values())
        raise ValueError(
            f"Expected something to measure {subject.described} with. Received: neither "
            f"{' nor '.join(give)}. Give at least one of these."
        )
    _check_read(subject, config, {name: needed[name] for name in names})
    return {name: known[name] for name in names}


def _as_written(settings, subject) -> str:
    """Settings as a user writes them."""
    judge = subject.kind.judge
    names = dict.fromkeys(FILES, "NAME") | {"judge": judge and f"{judge.kind.upper()}_RUN"}
    words = [[f"{s}={names[s]}", *(f"{file}=FILE" for file in FILES[s])] for s in settings]
    return " ".join(word for setting in words for word in setting)


def _check_read(subject, config, needed) -> None:
    """Raises ValueError for settings that no metric reads, and for a network or weights alone."""
    read = {setting for settings in needed.values() for setting in settings}
    for setting in FILES:
        if config[setting] is not None and setting not in read:
            raise ValueError(
                f"Expected settings that the metrics of {subject.described} read, here "
                f"{', '.join(needed)}. Received: {setting}=..., which none of them does. Leave it "
                "out."
            )
    for setting, files in FILES.items():
        for file in files:
            if config[setting] is None and config[file] is not None:
                raise ValueError(
                    f"Expected {setting}=NAME, which reads {file}. Received: {file}="
                    f"{config[file]} alone. Add it, or leave the file out."
                )
            node = config._get_node(setting)
            reads = f"${{{file}}}" in str(node) and not node.get("download")
            if config[setting] is not None and config[file] is None and reads:
                raise ValueError(
                    f"Expected a local file of weights. Received: {setting}=... without {file}. "
                    f"Add {file}=FILE; which one: configs/{setting}/"
                )
