"""One photograph or label map from outside the data set, brought to what evaluation sees."""

import numpy as np
import tensorflow as tf

from data import transforms
from data.images import photos


def read_label_map(path, labels, resize, load_size, image_size) -> np.ndarray:
    """Class ids of any label map file as evaluation sees them: uint8 [H, W].

    Raises:
        FileNotFoundError, ValueError: as `LabelEncoding.read`.
    """
    ids = resize.label_map(tf.constant(labels.read(path)), load_size)
    image = tf.zeros([*load_size, 3], tf.uint8)
    both = transforms.center_crop({"image": image, "label_map": ids}, image_size)
    return both["label_map"].numpy()


def read_image(path, resize, load_size, image_size) -> np.ndarray:
    """Any photograph as evaluation sees it: float32 [H, W, 3] in [-1, 1].

    Raises:
        FileNotFoundError, ValueError: as `photos.read_photo`.
    """
    image = resize.photo(tf.constant(photos.read_photo(path)), load_size)
    cut = transforms.center_crop({"image": image}, image_size)
    return transforms.to_unit_range(cut["image"]).numpy()
