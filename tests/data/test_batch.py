"""The batch contract and its messages."""

import numpy as np
import pytest
import tensorflow as tf

from data import batch


def good(**changes):
    ids = np.array([[[0, 1], [255, 2]]], np.uint8)
    values = {
        "image": np.zeros((1, 2, 2, 3), np.float32),
        "label_map": ids,
        "mask": np.eye(256, 3, dtype=np.float32)[ids],
        "label": np.zeros(1, np.int32),
        "valid": np.ones(1, bool),
    }
    return {**values, **changes}


def test_good_batches_and_specs_pass():
    batch.check_batch(good(), required=("image", "mask"), num_classes=3)
    batch.check_batch({k: tf.constant(v) for k, v in good().items()}, num_classes=3)
    spec = {k: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for k, v in good().items()}
    batch.check_batch(spec, required=("label",), num_classes=3)
    batch.check_batch(good(image=np.zeros((1, 2, 2, 3), np.uint8)), preprocessed=False)


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({}, {"required": ("hole",)}, KeyError, "no `hole`.*1 = missing.*keys="),
        ({"images": np.zeros(1)}, {}, KeyError, "`images` is not a key.*Did you mean `image`"),
        ({"zzz": np.zeros(1)}, {}, KeyError, r"`zzz` is not a key of the batch contract \[.*\]. R"),
        ({"image": np.zeros((1, 2, 2, 3))}, {}, ValueError, "must be float32.*dtype=float64"),
        ({"image": np.zeros((1, 2, 2, 3), np.uint8)}, {}, ValueError, "Received: dtype=uint8"),
        ({}, {"preprocessed": False}, ValueError, "`image` must be uint8"),
        ({"label_map": np.zeros((1, 2, 2, 1), np.uint8)}, {}, ValueError, "must have rank 3"),
        ({"image": np.zeros((1, 2, 2, 4), np.float32)}, {}, ValueError, "rank 4 with 3 channels"),
        ({}, {"num_classes": 4}, ValueError, "`mask` must have rank 4 with 4 channels"),
        ({"image": np.zeros((1, 3, 2, 3), np.float32)}, {}, ValueError, "one height and width"),
        ({"label": np.zeros(2, np.int32)}, {}, ValueError, "share one batch size"),
        ({"image": np.full((1, 2, 2, 3), 2, np.float32)}, {}, ValueError, r"in \[-1, 1\].*=2, max"),
        ({"mask": np.zeros((1, 2, 2, 2), np.float32)}, {"num_classes": 2}, ValueError,
         r"`label_map` must hold ids 0..1 or 255. Received: \[2\]"),
    ],
)  # fmt: skip
def test_complaints(changes, options, error, message):
    with pytest.raises(error, match=message):
        batch.check_batch(good(**changes), **options)


def test_sizes_must_be_static():
    spec = {"image": tf.TensorSpec([None, None, 4, 3], tf.float32)}
    with pytest.raises(ValueError, match="`image` must have a static height"):
        batch.check_batch(spec)
