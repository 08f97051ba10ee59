"""Photographs in class folders, a few pixels each, and a pipeline over them."""

import numpy as np
from PIL import Image

from data import pipeline, transforms
from data.images import decoded_cache
from data.labels import no_label_maps
from data.sources import class_folders

SIZE = (6, 4)


def write(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 10 * number % 256, np.uint8)).save(path)
    return root


def write_set(root):
    """Eleven training and three validation images of three classes."""
    train = [f"train/{'cat dog eel'.split()[i % 3]}/{i:02d}.png" for i in range(11)]
    return write(root, *train, *(f"validation/{c}/x.png" for c in ("eel", "dog", "cat")))


def make(root, folder=None, kind="memory", check="all", in_step=False, **changes):
    settings = {
        "source": class_folders.ClassFolders(root),
        "image_size": list(SIZE),
        "encoding": no_label_maps.NoLabelMaps(check, mask_in_step=in_step),
        "augmentations": {"flip": transforms.RandomFlip(),
                          "light": transforms.RandomBrightnessContrast()},
        "cache": decoded_cache.CacheSettings(kind, folder),
        "seed": 3,
    }  # fmt: skip
    return pipeline.ImagePipeline(**{**settings, **changes})
