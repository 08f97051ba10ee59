"""Brings label maps into the form that trains fastest; checks and shows data before training."""

import re
import sys
from pathlib import Path

import hydra
import yaml
from omegaconf import DictConfig, OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, not another one

from scripts.command import errors, overrides
from scripts.preparing import preview_data
from training.loop import tensorflow_import

COMMANDS = ("convert", "check", "preview")
CONFIG_FILE = "data_config.yaml"
PREVIEW_FILE = "preview.png"
PREVIEW_SIDE = 192


def with_command(arguments: list[str]) -> list[str]:
    """The arguments as Hydra understands them: the command as an override."""
    example = "python scripts/prepare_dataset.py check root=datasets/mine"
    return overrides.with_command(arguments, COMMANDS, example)


@hydra.main(version_base="1.3", config_path="../configs", config_name="prepare_dataset")
def main(config: DictConfig) -> None:
    config = OmegaConf.to_container(config, resolve=True)
    actions = {"convert": convert, "check": check}
    if config["command"] not in actions:
        raise ValueError(
            f"Expected command={' or '.join(actions)}. Received: command={config['command']!r}"
        )
    tensorflow_import.load_tensorflow()
    try:
        actions[config["command"]](config)
    except ValueError as error:
        raise ValueError(with_settings_of_this_command(str(error))) from None


def with_settings_of_this_command(message: str) -> str:
    """Messages about data name the settings of a data config; most have the same name here."""
    renamed = {"splits.fractions": "validation_share", "splits.seed": "split_seed"}
    for name, here in renamed.items():
        message = message.replace(f"data.source.{name}", here)
    return re.sub(r"data\.(encoding|source)\.", "", message)


def convert(config: dict) -> None:
    """Converts a folder, draws a preview and says how to train on the result."""
    from data.labels import conversion
    from data.sources import paired_folders

    source_root, out = required(config, "source"), Path(required(config, "out"))
    names, colours, encoding = read_encoding(config)
    source = open_source(source_root, config)
    if colours is None:
        first = source.records(source.splits[0])[0].label_map
        unmapped = encoding.palette is None and not encoding.id_map
        colours = conversion.stored_colours(first) if unmapped else None
    size = config["size"] and checked_size(config["size"])
    result = conversion.convert(
        source, out, encoding, size=size, colours=colours, overwrite=config["overwrite"]
    )
    found = int(max(result.pixels.nonzero()[0], default=0)) + 1
    count = config["num_classes"] or (len(names) if names else found)
    labels = label_settings(count, names, colours, 255 if result.ignored else None)
    text = data_config(out.absolute(), labels, image_size(out), paired_folders.PairedFolders(out))
    (out / CONFIG_FILE).write_text(text)
    pairs = ", ".join(f"{n} {split}" for split, n in result.counts.items())
    print(f"{out}: {pairs} pairs, {count} classes.")
    if config["preview_count"]:
        draw_preview(out, config["preview_count"], labels)
        print(f"Look at {out / PREVIEW_FILE}")
    print_config(text, f"{out / CONFIG_FILE}")


def check(config: dict) -> None:
    """Reads every pair of a data set and prints what it holds."""
    from data.labels import label_check, label_maps

    root = required(config, "root")
    names, colours, encoding = read_encoding(config)
    source = open_source(root, config)
    saved = Path(root) / CONFIG_FILE
    if saved.is_file() and encoding.num_classes == label_maps.MAX_CLASSES:
        labels = dict(OmegaConf.to_container(OmegaConf.load(saved)).get("encoding") or {})
        labels.pop("_target_", None)
        encoding = label_maps.LabelEncoding(**labels)
        names = labels.get("class_names")
        colours = [tuple(colour) for colour in labels.get("class_colors", ())]
    report = label_check.check_source(source, encoding, None)
    count = encoding.num_classes
    if count == label_maps.MAX_CLASSES:  # nobody has said how many classes there are
        count = int(max(report.pixels.nonzero()[0], default=0)) + 1
    named = encoding.class_names[:count]
    shown = label_check.LabelReport(named, report.pixels[:count], report.ignored, report.files)
    print(f"{report.files} pairs: " + ", ".join(f"{source.count(s)} {s}" for s in source.splits))
    print(shown.table())
    labels = label_settings(count, names, colours, encoding.ignore_index)
    labels |= {key: value for key in ("id_map", "palette") if (value := getattr(encoding, key))}
    print_config(data_config(Path(root).absolute(), labels, image_size(root, config), source))


def required(config: dict, key: str):
    if config[key] is None:
        raise ValueError(
            f"`{config['command']}` needs {key}=FOLDER. Received: {key}=null. "
            f"Add it to the command, for instance {key}=datasets/mine"
        )
    return config[key]


def checked_size(size) -> tuple[int, int]:
    from data import transforms

    return tuple(transforms.checked_size("size", size))


def read_encoding(config: dict):
    """(class names or None, colours or None, LabelEncoding) of what the files hold."""
    from data.labels import conversion, label_maps

    names, palette, colours = config["class_names"], None, None
    if config["palette"]:
        palette_names, palette, colours = conversion.load_palette(config["palette"])
        names = names or palette_names
    ignore = config["ignore_index"]
    if palette and 255 in palette.values():
        ignore = 255
    count = config["num_classes"] or (len(names) if names else label_maps.MAX_CLASSES)
    # With an unknown number of classes, those that do not occur are nobody's concern.
    check = "all" if count < label_maps.MAX_CLASSES else f"sample:{sys.maxsize}"
    encoding = label_maps.LabelEncoding(
        count, names, ignore_index=ignore, id_map=config["id_map"], palette=palette, check=check
    )
    return names, colours, encoding


def open_source(root, config: dict):
    from data.labels import conversion
    from data.sources import paired_folders

    folder = Path(root) / config["photos"]
    rule = None  # where a folder is missing, the source says so
    if folder.is_dir():
        rule = conversion.choose_splits(
            folder, config["validation_share"], config["group_pattern"],
            config["group_modulo"], config["split_seed"],
        )  # fmt: skip
    return paired_folders.PairedFolders(
        root, photos=config["photos"], labels=config["labels"], splits=rule
    )


def image_size(root, config=None) -> list[int]:
    """Height and width of the first photograph."""
    from data.images import photos
    from data.sources import folder_source

    folder = Path(root) / (config["photos"] if config else "photos")
    files = folder_source.files_by_stem(folder, folder_source.PHOTO_SUFFIXES, "photographs")
    return list(photos.inspect_photo(next(iter(files.values()))))


def label_settings(count: int, names, colours, ignore_index) -> dict:
    """Arguments of LabelEncoding, those left out that are not known."""
    settings = {"num_classes": count}
    if names and len(names) == count:
        settings["class_names"] = list(names)
    if colours and len(set(colours[:count])) == count:
        settings["class_colors"] = [list(colour) for colour in colours[:count]]
    if ignore_index is not None:
        settings["ignore_index"] = ignore_index
    return settings


def data_config(root: Path, encoding: dict, size: list[int], source) -> str:
    """The file configs/data/<name>.yaml of a data set, over configs/data/paired_folders.yaml."""
    from data.sources import splits

    folders = {k: getattr(source, k) for k in ("photos", "labels") if getattr(source, k) != k}
    rule = source.splits_by
    hashed = not isinstance(rule, splits.FolderSplits)
    if hashed:
        settings = {k: v for k, v in vars(rule).items() if not k.startswith("_")}
        folders["splits"] = {k: v for k, v in settings.items() if v is not None}
    config = {
        "defaults": [
            "paired_folders",
            {"override splits": "hashed" if hashed else "folders"},
            "_self_",
        ],
        "root": str(root),
        "image_size": size,
        "resize": {"load_size": None},
        **({"source": folders} if folders else {}),
        "encoding": encoding,
    }
    return yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=100)


def draw_preview(out: Path, count: int, labels: dict) -> None:
    """A sheet of photographs, maps in class colours, and both mixed, spread over the data set."""
    import numpy as np
    from PIL import Image

    from data.images import photos
    from data.labels import label_check, label_maps
    from data.sources import paired_folders
    from training.watch import contact_sheet

    encoding = label_maps.LabelEncoding(**labels)
    source = paired_folders.PairedFolders(out)
    records = [record for split in source.splits for record in source.records(split)]
    columns = {"photograph": [], "label map": [], "both": []}
    for record in label_check.sample(records, count):
        photo = Image.fromarray(photos.read_photo(record.photo))
        coloured = Image.fromarray(encoding.colors_of(encoding.read(record.label_map)))
        side = (PREVIEW_SIDE, PREVIEW_SIDE)
        tiles = [photo.resize(side), coloured.resize(side, Image.Resampling.NEAREST)]
        for column, tile in zip(columns, [*tiles, Image.blend(*tiles, 0.5)], strict=True):
            columns[column].append(np.asarray(tile))
    stacked = {title: np.stack(tiles) for title, tiles in columns.items()}
    contact_sheet.write_png(out / PREVIEW_FILE, contact_sheet.contact_sheet(stacked))


def print_config(text: str, path: str = "these lines") -> None:
    print(f"To train on it, save {path} as configs/data/mine.yaml and run, say,")
    print("    python train.py experiment=spade_facades_small data=mine name=mine")
    print(f"\n{text}", end="")


def start() -> None:
    sys.argv[1:] = with_command(sys.argv[1:])
    # The preview is composed of the groups of train.py, unlike the others.
    (preview_data.main if "command=preview" in sys.argv else main)()


if __name__ == "__main__":
    errors.run(start)
