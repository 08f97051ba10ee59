"""The commands of prepare_dataset.py: convert label maps, check a data set, preview training."""

import re
import sys
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from data import transforms
from data.images import photos
from data.labels import conversion, label_check, label_maps
from data.sources import paired_folders
from scripts.preparing import data_config, preview
from training.runs import plain_config


def run(config: DictConfig) -> None:
    """Runs the command `config.command`.

    Raises:
        ValueError: what the settings and the data refuse, in the settings of this command.
    """
    if config.command == "preview":
        return preview.preview(config)
    settings = OmegaConf.to_container(config, resolve=True)
    try:
        {"convert": convert, "check": check}[config.command](settings)
    except ValueError as error:
        raise ValueError(with_settings_of_this_command(str(error))) from None


def with_settings_of_this_command(message: str) -> str:
    """Messages about data name the settings of a data config; most have the same name here."""
    renamed = {"splits.fractions": "validation_share", "splits.seed": "split_seed"}
    for name, here in renamed.items():
        message = message.replace(f"data.source.{name}", here)
    return re.sub(r"data\.(encoding\.|source\.|(?=background|bits_used))", "", message)


def convert(config: dict) -> None:
    """Converts a folder, draws a preview and prints how to train on the result."""
    source_root, out = required(config, "source"), Path(required(config, "out"))
    names, colours, encoding = read_encoding(config)
    source = open_source(source_root, config)
    if colours is None and encoding.palette is None and not encoding.id_map:
        colours = conversion.stored_colours(source.records(source.splits[0])[0].label_map)
    size = config["size"] and transforms.checked_size("size", config["size"])
    reader = photos.PhotoReader(config["background"], config["bits_used"])
    result = conversion.convert(
        source, out, encoding, size=size, colours=colours, overwrite=config["overwrite"],
        reader=reader, inputs=[config["palette"]] if isinstance(config["palette"], str) else (),
    )  # fmt: skip
    count = config["num_classes"] or (len(names) if names else count_classes(result.pixels))
    labels = data_config.label_settings(count, names, colours, 255 if result.ignored else None)
    converted = paired_folders.PairedFolders(out)
    text = data_config.text(converted, labels, reader)
    (out / data_config.FILE).write_text(text)
    pairs = ", ".join(f"{n} {split}" for split, n in result.counts.items())
    print(f"{out}: {pairs} pairs, {count} classes.")
    if config["preview_count"]:
        preview.preview_pairs(
            converted, label_maps.LabelEncoding(**labels), config["preview_count"], reader
        )
        print(f"Look at {out / preview.FILE}")
    data_config.show(text, f"{out / data_config.FILE}")


def check(config: dict) -> None:
    """Reads every pair of a data set and prints what it holds."""
    root = required(config, "root")
    names, colours, encoding = read_encoding(config)
    source = open_source(root, config)
    saved = Path(root) / data_config.FILE
    if saved.is_file() and encoding.num_classes == label_maps.MAX_CLASSES:
        labels = plain_config.resolved(plain_config.read(saved)).get("encoding")
        labels = dict(labels) if isinstance(labels, dict) else {}
        labels.pop("_target_", None)
        encoding = label_maps.LabelEncoding(**labels)
        names = labels.get("class_names")
        colours = [tuple(colour) for colour in labels.get("class_colors", ())]
    reader = photos.PhotoReader(config["background"], config["bits_used"])
    report = label_check.check_source(source, encoding, None, reader=reader)
    if encoding.is_open:
        label_maps.question_sparse(report.pixels)
    count = encoding.num_classes
    if count == label_maps.MAX_CLASSES:  # the number of classes is not given
        count = count_classes(report.pixels)
    named = encoding.class_names[:count]
    shown = label_check.LabelReport(named, report.pixels[:count], report.ignored, report.files)
    print(f"{report.files} pairs: " + ", ".join(f"{source.count(s)} {s}" for s in source.splits))
    print(shown.table())
    labels = data_config.label_settings(count, names, colours, encoding.ignore_index)
    labels |= {key: value for key in ("id_map", "palette") if (value := getattr(encoding, key))}
    data_config.show(data_config.text(source, labels, reader))


def required(config: dict, key: str) -> str:
    if config[key] is None:
        raise ValueError(
            f"`{config['command']}` needs {key}=FOLDER. Received: {key}=null. "
            f"Add it to the command, for instance {key}=datasets/mine"
        )
    return config[key]


def count_classes(pixels: np.ndarray) -> int:
    """Number of classes up to the highest id that occurs, of pixels per id."""
    return int(max(pixels.nonzero()[0], default=0)) + 1


def read_encoding(config: dict) -> tuple[list | None, list | None, label_maps.LabelEncoding]:
    """(class names or None, colours or None, LabelEncoding) of what the files hold."""
    names, palette, colours = config["class_names"], None, None
    if isinstance(config["palette"], list | dict):  # as the config of a run has it
        palette = config["palette"]
    elif config["palette"]:
        palette_names, palette, colours = conversion.load_palette(config["palette"])
        names = names or palette_names
    mapped = isinstance(palette, dict) and 255 in palette.values()
    ignore = 255 if mapped else config["ignore_index"]
    count = config["num_classes"] or (len(names) if names else label_maps.MAX_CLASSES)
    # With an unknown number of classes there is no warning of those that do not occur.
    checked = "all" if count < label_maps.MAX_CLASSES else f"sample:{sys.maxsize}"
    encoding = label_maps.LabelEncoding(
        count, names, ignore_index=ignore, id_map=config["id_map"], palette=palette, check=checked
    )
    return names, colours, encoding


def open_source(root: str, config: dict) -> paired_folders.PairedFolders:
    folder = Path(root) / config["photos"]
    rule = None  # where a folder is missing, the source raises
    if folder.is_dir():
        rule = conversion.choose_splits(
            folder, config["validation_share"], config["group_pattern"],
            config["group_modulo"], config["split_seed"],
        )  # fmt: skip
    return paired_folders.PairedFolders(
        root, photos=config["photos"], labels=config["labels"], splits=rule
    )
