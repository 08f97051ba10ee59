"""dict -> dict on single examples: one geometry for photograph and label map, uint8 in and out.

An augmentation is an object called as `augment(example, seed)` with an int64 [2] seed that is a
function of (seed, epoch, index); what it draws it draws once for all keys of the example.
"""

import tensorflow as tf

PHOTO_FILTERS = ("bilinear", "bicubic", "area", "lanczos3")
WHOLE, CROP = EVALUATE = ("whole", "crop")


class Resize:
    """Brings photograph and label map to one size: antialiased filter and nearest neighbour.

    Args:
        load_size: [height, width] that random crops are cut from. Default None: the image size.
        keep_aspect_ratio: bool. True cuts the overhanging ends off before resizing, False
            stretches, as SPADE does. Default False.
        photo_filter: "bicubic" (default), "bilinear", "area" or "lanczos3".
        evaluate: what evaluation, previews and sampling see: "whole" (default), the picture
            resized to the image size; "crop", the middle of the picture of the loaded size, which
            leaves its frame out.

    Raises:
        ValueError: an unknown filter or rule, or a size that is not two positive integers.
    """

    configurable = True

    def __init__(
        self, load_size=None, *, keep_aspect_ratio=False, photo_filter="bicubic", evaluate=WHOLE
    ) -> None:
        self.load_size = None if load_size is None else checked_size("load_size", load_size)
        self.keep_aspect_ratio = keep_aspect_ratio
        self.photo_filter = photo_filter
        if photo_filter not in PHOTO_FILTERS:
            raise ValueError(
                f"`photo_filter` must be one of {PHOTO_FILTERS}. "
                f"Received: photo_filter={photo_filter!r}"
            )
        self.evaluate = evaluate
        if evaluate not in EVALUATE:
            raise ValueError(
                f"`evaluate` must be one of {EVALUATE}. Received: data.resize.evaluate={evaluate!r}"
            )

    def evaluation_size(self, image_size) -> tuple[int, int]:
        """The size that pictures are brought to before evaluation cuts out the image size."""
        return (self.evaluate == CROP and self.load_size) or tuple(image_size)

    def settings(self) -> dict:
        """What cached files depend on."""
        return {"keep_aspect_ratio": self.keep_aspect_ratio, "photo_filter": self.photo_filter}

    def photo(self, image, size) -> tf.Tensor:
        """uint8 [h, w, 3] -> uint8 [*size, 3]."""
        return self.whole_photo(self._cut(image, size), size)

    def whole_photo(self, image, size) -> tf.Tensor:
        """As `photo`, with nothing cut off."""

        def resized(antialias) -> tf.Tensor:
            scaled = tf.image.resize(image, size, self.photo_filter, antialias=antialias)
            return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)

        # Antialiasing changes nothing when enlarging, and costs three times as much.
        found, wanted = tf.shape(image)[:2], tf.constant(size)
        image = tf.case(
            [
                (tf.reduce_all(found == wanted), lambda: image),
                (tf.reduce_all(found <= wanted), lambda: resized(False)),
            ],
            default=lambda: resized(True),
        )
        return tf.ensure_shape(image, [*size, 3])

    def whole_size(self, found, size, multiple) -> tuple[int, int]:
        """The size at which a whole photograph is seen at the scale of `photo`.

        Args:
            found: (height, width) of the photograph.
            size: (height, width) that `photo` brings it to, or its largest centred window.
            multiple: int, to whose nearest multiples the sides are rounded.

        Returns:
            (height, width), at least `multiple` each.
        """
        if self.keep_aspect_ratio:
            scale = max(wanted / side for wanted, side in zip(size, found, strict=True))
            size = [side * scale for side in found]
        return tuple(max(1, round(side / multiple)) * multiple for side in size)

    def label_map(self, label_map, size) -> tf.Tensor:
        """uint8 [h, w] -> uint8 [*size]: pixel centres pick the nearest id, never a mixture."""
        pixels = self._cut(label_map[:, :, tf.newaxis], size)
        return tf.ensure_shape(tf.image.resize(pixels, size, method="nearest")[:, :, 0], size)

    def _cut(self, pixels, size) -> tf.Tensor:
        if not self.keep_aspect_ratio:
            return pixels
        height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
        # The largest centred window with the aspect ratio of the target, in whole pixels.
        cut_height = tf.minimum(height, tf.maximum(1, (width * size[0] + size[1] // 2) // size[1]))
        cut_width = tf.minimum(width, tf.maximum(1, (height * size[1] + size[0] // 2) // size[0]))
        top, left = (height - cut_height) // 2, (width - cut_width) // 2
        return pixels[top : top + cut_height, left : left + cut_width]


class RandomCrop:
    """Cuts the same random window from all keys of an example.

    Args:
        size: [height, width] of the window, at most the loaded size.
        zoom: (smallest, largest) share of `size` that a window has before it is resized to `size`,
            the photograph bilinearly, maps by the nearest pixel: (0.8, 1.1) enlarges and shrinks.
            The largest window fits into the loaded size. Default None: all windows have `size`.
    """

    configurable = True

    def __init__(self, size, zoom=None) -> None:
        self.size = checked_size("size", size)
        if zoom is not None and not (len(zoom) == 2 and 0 < zoom[0] <= zoom[1]):
            raise ValueError(
                "zoom is (smallest, largest) share of the size of a crop, smallest above 0. "
                f"Received: zoom={zoom}. For instance [0.8, 1.1]."
            )
        self.zoom = None if zoom is None else tuple(zoom)

    def __call__(self, example, seed) -> dict[str, tf.Tensor]:
        height, width = example["image"].shape[:2]
        largest = max(1.0, self.zoom[1]) if self.zoom else 1.0
        room = [height - round(largest * self.size[0]), width - round(largest * self.size[1])]
        if min(room) < 0:
            raise ValueError(
                f"A crop must fit into the loaded image ({height}x{width}). Received: "
                f"size={list(self.size)}, zoom={self.zoom}. Raise data.resize.load_size or lower "
                "data.image_size"
            )
        if self.zoom:
            return self._zoomed(example, seed)
        if room == [0, 0]:
            return example
        drawn = tf.random.stateless_uniform([2], seed)
        corner = tf.cast(drawn * [room[0] + 1.0, room[1] + 1.0], tf.int32)
        return crop(example, corner[0], corner[1], self.size)

    def _zoomed(self, example, seed) -> dict[str, tf.Tensor]:
        drawn = tf.random.stateless_uniform([3], seed)
        smallest, largest = self.zoom or (1.0, 1.0)
        share = smallest + drawn[2] * (largest - smallest)
        window = tf.cast(tf.round(share * tf.constant(self.size, tf.float32)), tf.int32)
        room = tf.cast(tf.constant(example["image"].shape[:2]) - window + 1, tf.float32)
        top, left = tf.unstack(tf.cast(drawn[:2] * room, tf.int32))
        height, width = tf.unstack(tf.maximum(window, 1))
        zoomed = {}
        for key, value in example.items():
            if value.shape.rank >= 2:
                pixels = value[top : top + height, left : left + width]
                pixels = pixels if value.shape.rank == 3 else pixels[..., tf.newaxis]
                method = "bilinear" if key == "image" else "nearest"
                pixels = tf.cast(tf.round(tf.image.resize(pixels, self.size, method)), value.dtype)
                value = tf.reshape(pixels, [*self.size, *value.shape[2:]])
            zoomed[key] = value
        return zoomed


class RandomFlip:
    """Mirrors all keys of an example left to right, together.

    Args:
        probability: float in 0..1. Default 0.5. Set 0 where left and right mean something.
    """

    configurable = True

    def __init__(self, probability=0.5) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"`probability` must lie in 0..1. Received: probability={probability}")
        self.probability = probability

    def __call__(self, example, seed) -> dict[str, tf.Tensor]:
        flip = tf.random.stateless_uniform([], seed) < self.probability
        return {
            key: tf.cond(flip, lambda v=value: tf.reverse(v, axis=[1]), lambda v=value: v)
            if value.shape.rank >= 2
            else value
            for key, value in example.items()
        }


class RandomBrightnessContrast:
    """Scales and shifts the photograph's values; the label map stays.

    Args:
        brightness: float, largest shift as a share of the range 0..255. Default 0.1.
        contrast: float, largest relative change of the distance from mid-grey. Default 0.1.
    """

    configurable = True

    def __init__(self, brightness=0.1, contrast=0.1) -> None:
        if not (0 <= brightness <= 1 and 0 <= contrast <= 1):
            raise ValueError(
                f"`brightness` and `contrast` must lie in 0..1. "
                f"Received: brightness={brightness}, contrast={contrast}"
            )
        self.brightness = brightness
        self.contrast = contrast

    def __call__(self, example, seed) -> dict[str, tf.Tensor]:
        drawn = tf.random.stateless_uniform([2], seed, -1.0, 1.0)
        image = tf.cast(example["image"], tf.float32) - 127.5
        image = image * (1.0 + self.contrast * drawn[0]) + 127.5
        image = image + 255.0 * self.brightness * drawn[1]
        image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
        return {**example, "image": image}


def crop(example, top, left, size) -> dict[str, tf.Tensor]:
    """Cuts the window [top, left, *size] from every key that has pixels."""
    cut = {}
    for key, value in example.items():
        if value.shape.rank >= 2:
            extra = list(value.shape[2:])
            begin = tf.stack([top, left] + [0] * len(extra))
            value = tf.ensure_shape(tf.slice(value, begin, [*size, *extra]), [*size, *extra])
        cut[key] = value
    return cut


def center_crop(example, size) -> dict[str, tf.Tensor]:
    """Cuts the central window; an odd remainder goes to the bottom and the right.

    The first key has pixels: the photograph or the label map.
    """
    height, width = next(iter(example.values())).shape[:2]
    if (height, width) == tuple(size):
        return example
    return crop(example, (height - size[0]) // 2, (width - size[1]) // 2, size)


def to_unit_range(image) -> tf.Tensor:
    """uint8 0..255 -> float32 in [-1, 1]."""
    return tf.cast(image, tf.float32) * (1.0 / 127.5) - 1.0


def checked_size(name, size) -> tuple[int, int]:
    """Returns (height, width) or raises a ValueError that names the setting."""
    pair = tuple(size) if isinstance(size, (list, tuple)) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(
            f"`{name}` must be [height, width], two positive integers. Received: {name}={size!r}"
        )
    return pair
