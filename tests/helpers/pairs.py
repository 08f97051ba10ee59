"""Seven training and three validation pairs of 10 x 8 pixels, and a pipeline over them."""

from data import pipeline, transforms
from data.images import decoded_cache
from data.labels import label_maps
from data.sources import paired_folders
from tests.helpers import image_files

COUNT, CLASSES, SIZE = 7, 4, (8, 6)


def write(root):
    counts = {"train": COUNT, "validation": 3}
    return image_files.write_folder(root, counts, (10, 8), CLASSES, ("a", "b"))


def make(root, tmp_path=None, kind="memory", augment=True, in_step=False, load=(10, 8), **changes):
    encoding = changes.pop("encoding", None) or label_maps.LabelEncoding(
        CLASSES, check="none", mask_in_step=in_step
    )
    augmentations = {"crop": transforms.RandomCrop(list(SIZE)), "flip": transforms.RandomFlip()}
    settings = {
        "source": paired_folders.PairedFolders(root, class_folders=True),
        "image_size": list(SIZE),
        "encoding": encoding,
        "resize": transforms.Resize(list(load) if load else None),
        "augmentations": augmentations if augment else None,
        "cache": decoded_cache.CacheSettings(kind, tmp_path),
        "seed": 5,
    }
    return pipeline.ImagePipeline(**{**settings, **changes})
