"""The commands of prepare_dataset.py: convert label maps, check a data set, preview training."""

import re
import sys
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from data import files, transforms
from data.images import photos
from data.labels import (
    annotations,
    conversion,
    label_check,
    label_maps,
    palette_files,
    void_classes,
)
from data.sources import folder_source, paired_folders, splits
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
    renamed = {
        "data.source.splits.fractions": "validation_share",
        "data.source.splits.seed": "split_seed",
        "data/splits=lists 'data.source.splits.files=": "'lists=",
        "data.source.splits.files": "lists",
    }
    for name, here in renamed.items():
        message = message.replace(name, here)
    return re.sub(r"data\.(encoding\.|source\.|(?=background|bits_used))", "", message)


def convert(config: dict) -> None:
    """Converts a folder, draws a preview and prints how to train on the result."""
    root = Path(required(config, "source")).expanduser()
    out = Path(required(config, "out")).expanduser().absolute()
    if not config["annotations"]:
        return convert_maps(config, out, paired_folders.PairedFolders)
    conversion.check_output(out, root, overwrite=config["overwrite"])
    with files.folder_beside(out.with_name(f"{out.name}_maps")) as maps:
        drawn = annotations.draw(
            Path(str(config["annotations"])), root / config["photos"], root / config["labels"],
            maps, config["class_names"],
        )  # fmt: skip
        known = {"labels": str(maps), "class_names": drawn.names, "ignore_index": 255}
        convert_maps(config | known, out, annotations.AnnotatedPairs, drawn.colours)


def convert_maps(config: dict, out: Path, kind: type, given_colours=None) -> None:
    """Converts label maps there are, as `convert`."""
    names, colours, encoding = read_encoding(config)
    source = open_source(required(config, "source"), config, kind)
    colours = colours or given_colours
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
    if left_out := getattr(source, "left_out", None):
        print(f"{len(left_out)} photographs without annotations are left out: "
              f"{folder_source.first_few(left_out)}")  # fmt: skip
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
    shown = label_check.LabelReport(
        named, report.pixels[:count], report.ignored, report.files, inside=report.inside
    )
    print(f"{report.files} pairs: " + ", ".join(f"{source.count(s)} {s}" for s in source.splits))
    print(shown.table())
    for question in void_classes.questions(shown, encoding, named=bool(names)):
        print(f"Question: {question}.")
    labels = data_config.label_settings(count, names, colours, encoding.ignore_index)
    labels |= {key: value for key in ("id_map", "palette") if (value := getattr(encoding, key))}
    data_config.show(data_config.text(source, labels, reader))


def required(config: dict, key: str) -> str:
    if config[key] is None:
        raise ValueError(
            f"`{config['command']}` needs {key}=FOLDER. Received: {key}=null. "
            f"Add it to the command, for instance {key}=datasets/mine"
        )
    return str(config[key])


def count_classes(pixels: np.ndarray) -> int:
    """Number of classes up to the highest id that occurs, of pixels per id."""
    return int(max(pixels.nonzero()[0], default=0)) + 1


def read_encoding(config: dict) -> tuple[list | None, list | None, label_maps.LabelEncoding]:
    """(class names or None, colours or None, LabelEncoding) of what the files hold."""
    names, colours, palette, ignore = config["class_names"], None, None, config["ignore_index"]
    if isinstance(config["palette"], list | dict):  # as the config of a run has it
        palette = config["palette"]
        ignore = 255 if isinstance(palette, dict) and 255 in palette.values() else ignore
    elif config["palette"]:
        found = palette_files.load_palette(str(config["palette"]))
        names = names or found.names
        palette, colours = found.ids or None, found.colours or None
        ignore = 255 if found.ignores else ignore
    count = config["num_classes"] or (len(names) if names else label_maps.MAX_CLASSES)
    # With an unknown number of classes there is no warning of those that do not occur.
    checked = "all" if count < label_maps.MAX_CLASSES else f"sample:{sys.maxsize}"
    encoding = label_maps.LabelEncoding(
        count, names, ignore_index=ignore, id_map=config["id_map"], palette=palette, check=checked
    )
    return names, colours, encoding


def open_source(
    root: str, config: dict, kind: type = paired_folders.PairedFolders
) -> paired_folders.PairedFolders:
    folder = Path(root).expanduser()
    there = any(found.is_dir() for _, found in folder_source.matching(folder, config["photos"]))
    rule: splits.SplitRule | None = None  # where a folder is missing, the source raises
    if config["lists"]:
        rule = splits.ListSplits(config["lists"])
    elif there:
        rule = conversion.choose_splits(
            folder, config["photos"], config["validation_share"], config["group_pattern"],
            config["group_modulo"], config["split_seed"],
        )  # fmt: skip
    names = ("photo_suffixes", "label_suffixes", "photo_ending", "label_ending")
    given = {name: config[name] for name in names if config[name]}
    return kind(root, photos=config["photos"], labels=config["labels"], splits=rule, **given)
