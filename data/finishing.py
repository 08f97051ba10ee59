"""The last ops of a batch: scaling, one-hot masks, masked images; and what keys they leave."""

import tensorflow as tf

from data import batch, label_maps, transforms


def finish(examples, num_classes):
    """Adds what a batch still lacks; a finished one stays as it is.

    Args:
        examples: dict of tensors with a batch axis: "image", "label_map" and "hole" in uint8.
        num_classes: int, K.

    Returns:
        The same dict with "image" in [-1, 1], "mask" beside a label map, "hole" in float32 and
        "masked_image" beside it.
    """
    finished = dict(examples)
    if "image" in examples and examples["image"].dtype == tf.uint8:
        finished["image"] = transforms.to_unit_range(examples["image"])
    if "label_map" in examples and "mask" not in examples:
        finished["mask"] = label_maps.one_hot_mask(examples["label_map"], num_classes)
    if "hole" in examples:
        finished["hole"] = tf.cast(examples["hole"], tf.float32)
        if "image" in examples and "masked_image" not in examples:
            finished["masked_image"] = finished["image"] * (1.0 - finished["hole"])
    return finished


def spec(image_size, labels, *, labelled, with_holes):
    """{key: TensorSpec} of batches; unfinished ones where `labels.mask_in_step` says so."""
    height, width = image_size
    shapes = {"image": [height, width, 3]}
    if labels.has_maps:
        shapes["label_map"] = [height, width]
        if not labels.mask_in_step:
            shapes["mask"] = [height, width, labels.num_classes]
    if labelled:
        shapes["label"] = []
    if with_holes:
        shapes["hole"] = [height, width, 1]
        if not labels.mask_in_step:
            shapes["masked_image"] = [height, width, 3]
    return batch.specs(shapes, finished=not labels.mask_in_step)
