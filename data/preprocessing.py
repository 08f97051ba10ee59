"""The last ops of a batch: scaling, one-hot masks, masked images; and the keys that remain."""

import tensorflow as tf

from data import batch, transforms
from data.labels import label_maps


def preprocess(examples, num_classes) -> dict[str, tf.Tensor]:
    """Adds what a batch still lacks; a complete one stays as it is.

    Args:
        examples: dict of tensors with a batch axis: "image", "label_map" and "hole" in uint8.
        num_classes: int, K.

    Returns:
        The same dict with "image" in [-1, 1], "mask" beside a label map, "hole" in float32 and
        "masked_image" beside it.
    """
    complete = dict(examples)
    if "image" in examples and examples["image"].dtype == tf.uint8:
        complete["image"] = transforms.to_unit_range(examples["image"])
    if "label_map" in examples and "mask" not in examples:
        complete["mask"] = label_maps.one_hot_mask(examples["label_map"], num_classes)
    if "hole" in examples:
        complete["hole"] = tf.cast(examples["hole"], tf.float32)
        if "image" in examples and "masked_image" not in examples:
            complete["masked_image"] = complete["image"] * (1.0 - complete["hole"])
    return complete


def spec(image_size, encoding, *, labelled, with_holes) -> dict[str, tf.TensorSpec]:
    """{key: TensorSpec} of batches; incomplete ones where `encoding.mask_in_step` says so."""
    height, width = image_size
    shapes = {"image": [height, width, 3]}
    if encoding.has_maps:
        shapes["label_map"] = [height, width]
        if not encoding.mask_in_step:
            shapes["mask"] = [height, width, encoding.num_classes]
    if labelled:
        shapes["label"] = []
    if with_holes:
        shapes["hole"] = [height, width, 1]
        if not encoding.mask_in_step:
            shapes["masked_image"] = [height, width, 3]
    return batch.specs(shapes, preprocessed=not encoding.mask_in_step)
