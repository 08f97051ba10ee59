"""The batch contract: the keys every dataset yields, their types, shapes and meaning, checked."""

import difflib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

IGNORE_ID = 255
"""Class id of pixels that belong to no class: an all-zero row in `mask`."""


@dataclass(frozen=True)
class KeyContract:
    """What one key of a batch holds: allowed dtypes, rank with the batch axis, last dimension."""

    dtypes: tuple[str, ...]
    rank: int
    meaning: str
    channels: int | None = None

    @property
    def spatial(self) -> bool:
        return self.rank >= 3


BATCH_KEYS = {
    "image": KeyContract(("float32",), 4, "[B,H,W,3] RGB in [-1, 1]", 3),
    "label_map": KeyContract(("uint8", "int32"), 3, "[B,H,W] class id 0..K-1; 255 = ignore"),
    "mask": KeyContract(("float32",), 4, "[B,H,W,K] one-hot of label_map; ignore is all zero"),
    "label": KeyContract(("int32",), 1, "[B] class of the whole image"),
    "hole": KeyContract(("float32",), 4, "[B,H,W,1] 1 = missing, to be painted; 0 = known", 1),
    "masked_image": KeyContract(("float32",), 4, "[B,H,W,3] image * (1 - hole)", 3),
    "valid": KeyContract(("bool",), 1, "[B] evaluation only: False = padding of the last batch"),
}

# Before the last ops (scaling, one-hot, masking) a batch is still what the files held.
RAW_KEYS = {
    "image": KeyContract(("uint8",), 4, "[B,H,W,3] RGB in 0..255", 3),
    "hole": KeyContract(("uint8",), 4, "[B,H,W,1] 1 = missing, to be painted; 0 = known", 1),
}


def check_batch(batch, *, required=(), num_classes=None, preprocessed=True) -> None:
    """Checks a batch, or the element_spec of a dataset, against the contract.

    Args:
        batch: dict of tensors, arrays or `tf.TensorSpec`. Values are checked where there are any.
        required: keys that must be there.
        num_classes: int, K. When given, `mask` has K channels and `label_map` holds no other id.
        preprocessed: bool. False for a batch that the train step scales and one-hot encodes:
            `image` and `hole` are uint8 then.

    Raises:
        KeyError: a required key is missing, or a key is not part of the contract.
        ValueError: a dtype, a shape or a value breaks the contract.
    """
    for key in required:
        if key not in batch:
            raise KeyError(
                f"The batch has no `{key}` ({_contract(key, preprocessed).meaning}). "
                f"Received: keys={sorted(batch)}. Choose a data set that provides it, or a "
                f"network that does not ask for it."
            )
    sizes = {}
    for key, value in batch.items():
        if key not in BATCH_KEYS:
            close = difflib.get_close_matches(key, BATCH_KEYS, n=1)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            raise KeyError(
                f"`{key}` is not a key of the batch contract {sorted(BATCH_KEYS)}.{hint} "
                f"Received: keys={sorted(batch)}."
            )
        _check_type_and_shape(key, value, _contract(key, preprocessed), num_classes)
        sizes.setdefault("batch size", {})[key] = value.shape[0]
        if BATCH_KEYS[key].spatial:
            sizes.setdefault("height and width", {})[key] = tuple(value.shape[1:3])
    for what, found in sizes.items():
        if len(set(found.values())) > 1:
            raise ValueError(f"All keys of a batch share one {what}. Received: {found}.")
    _check_values(batch, num_classes)


def specs(shapes, *, preprocessed=True) -> dict[str, tf.TensorSpec]:
    """{key: TensorSpec} with an open batch dimension from {key: shape of one example}."""
    return {
        key: tf.TensorSpec([None, *shape], _contract(key, preprocessed).dtypes[0], name=key)
        for key, shape in shapes.items()
    }


def _contract(key, preprocessed) -> KeyContract:
    return BATCH_KEYS[key] if preprocessed else RAW_KEYS.get(key, BATCH_KEYS[key])


def _check_type_and_shape(key, value, contract, num_classes) -> None:
    dtype = getattr(value.dtype, "name", str(value.dtype))
    shape = tuple(value.shape)
    if dtype not in contract.dtypes:
        raise ValueError(
            f"`{key}` must be {' or '.join(contract.dtypes)}, {contract.meaning}. "
            f"Received: dtype={dtype}."
        )
    channels = num_classes if key == "mask" else contract.channels
    wrong_channels = channels is not None and len(shape) == 4 and shape[-1] != channels
    if len(shape) != contract.rank or wrong_channels:
        expected = f" with {channels} channels" if channels is not None else ""
        raise ValueError(
            f"`{key}` must have rank {contract.rank}{expected}, {contract.meaning}. "
            f"Received: shape={shape}."
        )
    if contract.spatial and None in shape[1:]:
        raise ValueError(
            f"`{key}` must have a static height, width and channel count. Received: shape={shape}."
        )


def _check_values(batch, num_classes) -> None:
    concrete = {k: np.asarray(v) for k, v in batch.items() if _has_values(v)}
    image = concrete.get("image")
    if image is not None and image.dtype == np.float32 and image.size:
        low, high = float(image.min()), float(image.max())
        if not (-1.0 <= low and high <= 1.0):
            raise ValueError(
                f"`image` must lie in [-1, 1]. Received: minimum={low:g}, maximum={high:g}. "
                f"Scale 8-bit images with `image / 127.5 - 1`."
            )
    _check_holes(concrete)
    labels = concrete.get("label_map")
    if labels is not None and num_classes is not None:
        ids = np.unique(labels)
        foreign = ids[(ids >= num_classes) & (ids != IGNORE_ID)]
        if foreign.size:
            raise ValueError(
                f"`label_map` must hold ids 0..{num_classes - 1} or {IGNORE_ID}. "
                f"Received: {foreign.tolist()}."
            )


def _check_holes(concrete) -> None:
    hole, image, masked = (concrete.get(key) for key in ("hole", "image", "masked_image"))
    if hole is None:
        return
    values = np.unique(hole)
    if not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"`hole` must hold 0 (known) and 1 (missing). Received: "
            f"{values[:5].tolist()}{' ...' if values.size > 5 else ''}. Divide masks of 0 and 255 "
            f"by 255"
        )
    if image is None or masked is None or image.dtype != np.float32:
        return
    if not np.array_equal(masked, image * (1 - hole)):
        raise ValueError(
            "`masked_image` must be image * (1 - hole). Received: other values. If known and "
            "missing are exchanged: 1 means missing in `hole`"
        )


def _has_values(value) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "numpy")
