"""The data config of a data set of pairs, and how to train with it."""

from pathlib import Path

import yaml

from data.images import photos
from data.sources import paired_folders, splits

FILE = "data_config.yaml"


def label_settings(count: int, names, colours, ignore_index: int | None) -> dict:
    """Arguments of LabelEncoding, those left out that are not known."""
    settings: dict = {"num_classes": count}
    if names and len(names) == count:
        settings["class_names"] = list(names)
    if colours and len(set(colours[:count])) == count:
        settings["class_colors"] = [list(colour) for colour in colours[:count]]
    if ignore_index is not None:
        settings["ignore_index"] = ignore_index
    return settings


def text(source: paired_folders.PairedFolders, encoding: dict, reader: photos.PhotoReader) -> str:
    """The file configs/data/<name>.yaml of a data set, over configs/data/paired_folders.yaml."""
    default = paired_folders.PairedFolders("")
    changed = ("photos", "labels", "photo_suffixes", "label_suffixes", "photo_ending",
               "label_ending")  # fmt: skip
    values = {name: (getattr(source, name), getattr(default, name)) for name in changed}
    folders: dict = {
        name: list(value) if isinstance(value, tuple) else value
        for name, (value, usual) in values.items()
        if value != usual
    }
    rule = source.splits_by
    kinds = {splits.FolderSplits: "folders", splits.ListSplits: "lists"}
    name = kinds.get(type(rule), "hashed")
    usual = vars(splits.FolderSplits()) if name == "folders" else {}
    settings = {k: v for k, v in vars(rule).items() if not k.startswith("_")}
    settings = {k: v for k, v in settings.items() if v is not None and v != usual.get(k)}
    folders |= {"splits": settings} if settings else {}
    overridden = {"override splits": name}
    config = {
        "defaults": ["paired_folders", overridden, "_self_"],
        "root": str(Path(source.root).absolute()),
        "image_size": list(reader.inspect_file(source.records(source.splits[0])[0].photo).size),
        "background": reader.background and list(reader.background),
        "bits_used": reader.bits_used,
        "resize": {"load_size": None},
        **({"source": folders} if folders else {}),
        "encoding": encoding,
    }
    return yaml.safe_dump(
        config, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )


def show(content: str, path: str = "these lines") -> None:
    """Prints a data config and how to train with it."""
    print(f"To train on it, save {path} as configs/data/mine.yaml and run, say,")
    print("    python train.py experiment=spade_facades_small data=mine name=mine")
    print(f"\n{content}", end="")
