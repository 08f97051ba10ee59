"""The data of an evaluation: those of a run, with other holes if asked for, or plain folders."""

import hydra
from omegaconf import OmegaConf

ALL = "train"  # the split of all images of a folder


def with_holes(run, holes):
    """(config, pipeline) of the run's data, with other holes where `holes` is a config of some."""
    if holes is None:
        return run.config.data, run.data
    config = run.config.copy()
    OmegaConf.update(config, "data.holes", holes, merge=False, force_add=True)
    return config.data, hydra.utils.instantiate(config.data, _convert_="all")


def facts_of_holes(data_config) -> dict:
    """The kind of holes by the names of the classes that draw them, and their settings."""
    settings = OmegaConf.to_container(data_config.holes, resolve=True)
    return {"kind": kind_of_holes(settings), "settings": settings}


def kind_of_holes(settings) -> str:
    """Such as "RandomRectangle" or "FreeForm+RandomRectangle"."""
    if "makers" in settings:
        return "+".join(kind_of_holes(maker) for maker in settings["makers"].values())
    return settings["_target_"].rpartition(".")[2]


def of_folder(folder, image_size):
    """Pipeline of all images of a folder, as its split ALL; its check reads every file."""
    from data import pipeline
    from data.labels import no_label_maps
    from data.sources import photo_folder, splits

    source = photo_folder.PhotoFolder(folder, splits=splits.NoSplits())
    labels = no_label_maps.NoLabelMaps(check="all")
    return pipeline.ImagePipeline(source, image_size, encoding=labels)


def common_size(*folders) -> tuple[int, int]:
    """(height, width) of all images below some folders.

    Raises:
        FileNotFoundError, ValueError: as `of_folder`, or images of several sizes.
    """
    from PIL import Image

    first = None
    for folder in folders:
        for record in of_folder(folder, (1, 1)).source.records(ALL):
            with Image.open(record.photo) as image:
                size = image.size[::-1]
            first = first or (size, record.photo)
            if size != first[0]:
                raise ValueError(
                    "Expected images of one size (height x width). Received: "
                    f"{first[1]} of {_text(first[0])}, {record.photo} of {_text(size)}. Say what "
                    "all are to be resized to: image_size=[256,256]"
                )
    return first[0]


def _text(size):
    return "x".join(map(str, size))
