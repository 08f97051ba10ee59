"""Label maps as class ids: file values -> ids 0..K-1 or 255, inside tf.data, and one-hot masks."""

import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from data.batch import IGNORE_ID
from data.labels import label_files

FOREIGN_ID = 254
"""Marks a file value that means no class; never leaves this package."""
MAX_CLASSES = 254


class LabelEncoding:
    """What the values in the label map files mean, and how they reach the networks.

    A file value v becomes `id_map[v]` (without an id_map: v), `ignore_index` becomes 255, and
    every value that ends outside 0..K-1 is foreign: an error, never a silent all-zero row.

    Args:
        num_classes: int K, 1..254.
        class_names: K strings. Default "class 0", ...
        class_colors: K [red, green, blue] in 0..255, for pictures. Default: PASCAL VOC's colours.
        ignore_index: int, the file value of pixels that belong to no class, up to 65535. Default
            none.
        id_map: {file value up to 65535: class id or 255}. Values not listed are foreign. Default:
            identity.
        palette: for label maps in RGB: {"#rrggbb": file value}, or a list of colours whose
            position is the file value. Default none: RGB maps are refused.
        check: what is read before training: "all", "sample:<n>" files per split, or "none".
        mask_in_step: bool. True leaves scaling and one-hot to the compiled train step, which pays
            for large images, many classes and GPUs. Default False.

    Raises:
        ValueError: an argument contradicts another or is out of its range.
    """

    configurable = True

    has_maps = True

    def __init__(
        self, num_classes, class_names=None, *, class_colors=None, ignore_index=None, id_map=None,
        palette=None, check="all", mask_in_step=False,
    ) -> None:  # fmt: skip
        if not isinstance(num_classes, int) or not 1 <= num_classes <= MAX_CLASSES:
            raise ValueError(
                f"`num_classes` must be an integer in 1..{MAX_CLASSES}. "
                f"Received: num_classes={num_classes!r}"
            )
        self.num_classes = num_classes
        self.class_names = tuple(class_names or (f"class {i}" for i in range(num_classes)))
        colors = class_colors or voc_colors(num_classes)
        self.class_colors = tuple(tuple(int(part) for part in color) for color in colors)
        for name in ("class_names", "class_colors"):
            if len(getattr(self, name)) != num_classes:
                raise ValueError(
                    f"`{name}` must have one entry per class ({num_classes}). "
                    f"Received: {len(getattr(self, name))} entries. Change data.encoding.{name} "
                    f"together with data.encoding.num_classes, or set it to null."
                )
        self.ignore_index = ignore_index
        self.id_map = _checked_id_map(id_map, num_classes, ignore_index)
        self.palette = palette
        self.colour_palette = None if palette is None else label_files.ColourPalette(palette)
        self.check = check
        self.sample_size = sample_size_of(check)
        self.mask_in_step = mask_in_step
        self.lookup = _lookup_table(num_classes, ignore_index, self.id_map)

    def read(self, path, *, advice=None) -> np.ndarray:
        """Returns the class ids of a label map file as uint8 [H, W], 255 = ignore.

        Args:
            path: of the file.
            advice: what the error for foreign values ends with. Default: `advice_for` them.

        Raises:
            FileNotFoundError, ValueError: as `label_files.read_values`, or foreign values.
        """
        values = label_files.read_values(path, self.colour_palette)
        ids = self.ids_of(values)
        if (ids == FOREIGN_ID).any():
            foreign = np.unique(values[ids == FOREIGN_ID]).tolist()
            raise ValueError(
                f"{path}: label map values that mean no class; with {self.num_classes} classes "
                f"{self.describe_known_values()} are expected. Received: {foreign}. "
                f"{advice or self.advice_for(foreign, np.unique(values).tolist())}"
            )
        return ids

    def ids_of(self, values) -> np.ndarray:
        """Class ids of file values of any range, uint8; `FOREIGN_ID` where they mean no class."""
        values = np.asarray(values)
        if values.dtype == np.uint8:
            return self.lookup[values]
        known = self.lookup[np.minimum(values, len(self.lookup) - 1)]
        return np.where(values < len(self.lookup), known, FOREIGN_ID).astype(np.uint8)

    @property
    def is_open(self) -> bool:
        """Whether values are counted as they are: neither classes nor a mapping are given."""
        return self.num_classes == MAX_CLASSES and not self.id_map and not self.palette

    def settings(self) -> dict:
        """What cached ids depend on, as JSON-clean values."""
        return {"lookup": self.lookup.tolist(), "palette": self.palette}

    def describe_known_values(self) -> str:
        known = sorted(self.id_map) if self.id_map else f"0..{self.num_classes - 1}"
        extra = "" if self.ignore_index is None else f" and {self.ignore_index} (ignore)"
        return f"values {known}{extra}"

    def advice_for(self, foreign, present=()) -> str:
        """The config lines that would make foreign file values legal, of those that are present."""
        foreign, present = sorted(foreign), sorted(set(present) - {self.ignore_index})
        if present and not self.id_map:
            if present[0] == 1 and present[-1] == self.num_classes:
                return f"The values count from 1. Set {_in_order(range(1, self.num_classes + 1))}"
            if self.num_classes in (2, MAX_CLASSES) and present == [0, 255]:
                return f"These are black and white masks. Set {_in_order(present)}"
            far_apart = is_sparse([value for value in present if value != 255])
            if far_apart and self.num_classes in (len(present), MAX_CLASSES):
                return (
                    f"Maps stretched for viewing hold few values, far apart. Set "
                    f"{_in_order(present)} if each is a class, with 255 as the id of what is none"
                )
        if self.id_map:
            return f"Add {foreign} to data.encoding.id_map (255 = ignore)."
        if foreign in ([255], [65535]) and self.ignore_index is None:
            return f"Probably pixels without a class: data.encoding.ignore_index={foreign[0]}"
        lines = []
        below_255 = [value for value in foreign if value != 255]
        if below_255 and below_255[-1] < MAX_CLASSES:
            lines.append(f"data.encoding.num_classes={below_255[-1] + 1} if they are classes")
        if len(foreign) == 1 and self.ignore_index is None:
            lines.append(f"data.encoding.ignore_index={foreign[0]} if they belong to no class")
        lines.append(
            "'data.encoding.id_map={<file value>:<class id>,...}' if they are numbered apart"
        )
        if foreign[-1] > 255 and len(foreign) > 1:
            lines.append("give the maps of classes if these are of instances")
        return "Set " + ", or ".join(lines) + "."

    def colors_of(self, label_map) -> np.ndarray:
        """Class colours of ids [..., H, W] as uint8 [..., H, W, 3]; ignored pixels are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: self.num_classes] = self.class_colors
        return table[np.asarray(label_map)]


def one_hot_mask(label_map, num_classes) -> tf.Tensor:
    """One-hot encoding [..., H, W, K] float32 of ids [..., H, W]; 255 gives an all-zero row."""
    return tf.one_hot(label_map, num_classes, dtype=tf.float32)


def decode_contents(contents, name, encoding) -> tf.Tensor:
    """Bytes of a label map file -> class ids, uint8 [H, W], foreign ids an error with `name`.

    Plain 8-bit BMPs are decoded by TensorFlow, in parallel; all else goes through NumPy.
    """

    def read(data, name) -> np.ndarray:
        values = label_files.decode_values(data, os.fsdecode(name), encoding.colour_palette)
        return encoding.ids_of(values)

    identity = encoding.ignore_index is None and not encoding.id_map

    def plain() -> tf.Tensor:
        values = tf.io.decode_bmp(contents, channels=0)[:, :, 0]
        return values if identity else tf.gather(encoding.lookup, tf.cast(values, tf.int32))

    ids = tf.cond(
        is_plain_8_bit_bmp(contents),
        plain,
        lambda: tf.numpy_function(read, [contents, name], tf.uint8),
    )
    ids.set_shape([None, None])
    if identity:
        legal = tf.reduce_max(ids) < encoding.num_classes
    else:
        legal = tf.logical_not(tf.reduce_any(ids == FOREIGN_ID))
    message = (
        f": values that mean no class; {encoding.describe_known_values()} are expected. "
        f"data.encoding.check=all names them and the setting that helps."
    )
    with tf.control_dependencies([tf.debugging.Assert(legal, [name, message])]):
        return tf.identity(ids)


def is_plain_8_bit_bmp(contents) -> tf.Tensor:
    """Whether bytes (scalar string tensor) are a BMP that `tf.io.decode_bmp` reads as indices."""
    words = tf.cast(tf.io.decode_raw(contents[tf.newaxis], tf.uint16, fixed_length=34)[0], tf.int64)
    length = tf.cast(tf.strings.length(contents), tf.int64)

    def long_at(byte) -> tf.Tensor:
        value = words[byte // 2] + words[byte // 2 + 1] * 65536
        return tf.where(value >= 2**31, value - 2**32, value)

    row_bytes = (long_at(18) + 3) // 4 * 4
    expected_length = long_at(10) + row_bytes * tf.abs(long_at(22))
    return tf.reduce_all(
        [
            words[0] == int.from_bytes(b"BM", "little"),
            long_at(14) >= 40,
            words[14] == 8,
            long_at(30) == 0,
            length == expected_length,  # decode_bmp accepts neither missing nor trailing bytes.
        ]
    )


def voc_colors(count) -> list[tuple[int, int, int]]:
    """The colours of PASCAL VOC: the bits of the id spread over the three channels."""

    def channel(index, first_bit) -> int:
        return sum((index >> (3 * bit + first_bit) & 1) << (7 - bit) for bit in range(8))

    return [(channel(i, 0), channel(i, 1), channel(i, 2)) for i in range(count)]


def is_sparse(values) -> bool:
    """Whether fewer than half of the numbers up to the highest occur, as ids seldom do."""
    return len(values) > 1 and 2 * len(values) < max(values) + 1


def question_sparse(pixels) -> None:
    """Raises ValueError where ids, counted without a known number of classes, are sparse.

    Args:
        pixels: of each id.
    """
    present = np.flatnonzero(pixels).tolist()
    if is_sparse(present):
        raise ValueError(
            f"Expected class ids: numbers from 0 on, most of which occur. Received: "
            f"{len(present)} of 0..{present[-1]}: {present[:12]}. Maps stretched for viewing are "
            f"read with {_in_order(present)}; where the other classes are just rare, say how many "
            f"there are: data.encoding.num_classes={present[-1] + 1}"
        )


def _in_order(values) -> str:
    mapping = ",".join(f"{value}:{index}" for index, value in enumerate(values))
    return f"'data.encoding.id_map={{{mapping}}}'"


def _checked_id_map(id_map, num_classes, ignore_index) -> dict[int, int] | None:
    highest = label_files.MAX_VALUE
    if ignore_index is not None and not 0 <= ignore_index <= highest:
        raise ValueError(
            f"`ignore_index` is a file value in 0..{highest}. Received: ignore_index={ignore_index}"
        )
    if id_map is None:
        return None
    if not isinstance(id_map, Mapping):
        raise ValueError(f"`id_map` maps file values to class ids. Received: id_map={id_map!r}")
    id_map = {int(value): int(class_id) for value, class_id in id_map.items()}
    for value, class_id in id_map.items():
        if not 0 <= value <= highest or not (0 <= class_id < num_classes or class_id == IGNORE_ID):
            raise ValueError(
                f"`id_map` maps file values 0..{highest} to ids 0..{num_classes - 1} or "
                f"{IGNORE_ID} (ignore). Received: {value}: {class_id}"
            )
    if ignore_index in id_map:
        raise ValueError(
            f"A file value is either ignored or mapped. Received: ignore_index={ignore_index}, "
            f"which is also in id_map."
        )
    return id_map


def _lookup_table(num_classes, ignore_index, id_map) -> np.ndarray:
    """Class id of each file value, at least of 0..255."""
    meant = id_map or {i: i for i in range(num_classes)}
    ignored = {} if ignore_index is None else {ignore_index: IGNORE_ID}
    table = np.full(max(255, *meant, *ignored) + 1, FOREIGN_ID, np.uint8)
    for value, class_id in (meant | ignored).items():
        table[value] = class_id
    return table


def sample_size_of(check) -> int | None:
    """Files per split to check: None = all of them, 0 = none."""
    if check == "all":
        return None
    if check in ("none", None):
        return 0
    prefix, _, count = str(check).partition(":")
    if prefix == "sample" and count.isdigit() and int(count) > 0:
        return int(count)
    raise ValueError(
        f"`check` is 'all', 'sample:<number of files per split>' or 'none'. Received: {check!r}"
    )
