"""Random changes of images that gradients pass through, for discriminators with few images."""

import dataclasses
import math

import tensorflow as tf

from losses import term

PHOTOGRAPHS = ("image", "masked_image")
MAPS = (*PHOTOGRAPHS, "mask", "label_map", "hole")  # entries of a batch with one pixel for each
NO_CLASS = 255  # in a label map; in the mask, an all-zero row


def jitter_colors(images, seed) -> tf.Tensor:
    """Adds U(-0.5, 0.5), then scales saturation by U(0, 2) and contrast by U(0.5, 1.5)."""
    shape = [tf.shape(images)[0], 1, 1, 1]
    brightness, saturation, contrast = (
        tf.random.stateless_uniform(shape, part, low, high, images.dtype)
        for part, low, high in zip(_split(seed, 3), (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True)
    )
    images = images + brightness
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + saturation * (images - grey)
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return mean + contrast * (images - mean)


def cut_out(images, seed, ratio) -> tf.Tensor:
    """Sets a rectangle of `ratio` of each side to 0; it may reach over the border."""
    inside = True
    for axis, part in zip((1, 2), _split(seed, 2), strict=True):
        size = images.shape[axis]
        length = int(size * ratio + 0.5)
        first = _integers(images, part, 0, size - length % 2) - length // 2
        index = tf.range(size)[None, :]
        hit = tf.logical_and(index >= first, index < first + length)
        inside = tf.logical_and(inside, _along(hit, axis, tf.bool))
    return images * (1.0 - tf.cast(inside, images.dtype))


@dataclasses.dataclass(frozen=True)
class Moves:
    """Where each pixel comes from: one affine map an image, around its middle.

    Attributes:
        rows, columns: float32 [B, H, W], the place in the image before.
        whole: whether all places are those of pixels.
    """

    rows: tf.Tensor
    columns: tf.Tensor
    whole: bool

    def apply(self, maps, *, smooth=False, fill=0) -> tf.Tensor:
        """Maps [B, H, W] or [B, H, W, C] after the moves; `fill` where nothing was.

        Args:
            maps: of any dtype.
            smooth: bilinear, for images; otherwise the nearest pixel.
            fill: a value of their dtype.
        """
        if self.whole or not smooth:
            return self._pixels(maps, tf.floor(self.rows + 0.5), tf.floor(self.columns + 0.5), fill)
        top, left, result = tf.floor(self.rows), tf.floor(self.columns), 0.0
        down, right = (self.rows - top)[..., None], (self.columns - left)[..., None]
        for row, vertical in ((top, 1.0 - down), (top + 1.0, down)):
            for column, horizontal in ((left, 1.0 - right), (left + 1.0, right)):
                share = tf.cast(vertical * horizontal, maps.dtype)
                result += share * self._pixels(maps, row, column, fill)
        return result

    def _pixels(self, maps, rows, columns, fill) -> tf.Tensor:
        height, width = maps.shape[1:3]
        rows, columns = tf.cast(rows, tf.int32), tf.cast(columns, tf.int32)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = (
            tf.clip_by_value(rows, 0, height - 1),
            tf.clip_by_value(columns, 0, width - 1),
        )
        flat = tf.reshape(maps, [-1, height * width, *maps.shape[3:]])
        found = tf.gather(flat, rows * width + columns, axis=1, batch_dims=1)
        inside = inside if len(maps.shape) == 3 else inside[..., None]
        return tf.where(inside, found, tf.cast(fill, maps.dtype))


def draw_moves(images, seed, *, translation, flip=False, scale=0.0, rotation=0.0) -> Moves:
    """Draws what `DifferentiableAugmentation` does to the places of pixels.

    Args:
        images: [B, H, W, C], of which the shape is read.
        seed: int32 [2].
        translation, flip, scale, rotation: see there.
    """
    height, width = images.shape[1:3]
    down, right, mirrored, size, turn = _split(seed, 5)
    shifts = []
    for part, side in ((down, height), (right, width)):
        reach = int(side * translation + 0.5)
        shifts.append(tf.cast(_integers(images, part, -reach, reach), tf.float32)[..., None])
    # From the place of a pixel after the moves back to the one before, in units of pixels.
    rows = tf.range(height, dtype=tf.float32)[None, :, None] - (height - 1) / 2 - shifts[0]
    columns = tf.range(width, dtype=tf.float32)[None, None, :] - (width - 1) / 2 - shifts[1]
    shape = [tf.shape(images)[0], 1, 1]
    cosine, sine = 1.0, 0.0
    if scale or rotation:
        factor = 2.0 ** (-scale * tf.random.stateless_normal(shape, size))
        angle = tf.random.stateless_uniform(shape, turn, -1.0, 1.0) * (rotation * math.pi / 180)
        cosine, sine = factor * tf.cos(angle), factor * tf.sin(angle)
    rows, columns = cosine * rows - sine * columns, sine * rows + cosine * columns
    if flip:
        coin = tf.random.stateless_uniform(shape, mirrored) < 0.5
        columns = tf.where(coin, -columns, columns)
    rows, columns = rows + (height - 1) / 2, columns + (width - 1) / 2
    return Moves(rows, columns, not (scale or rotation))


def _split(seed, count) -> list[tf.Tensor]:
    return [tf.random.experimental.stateless_fold_in(seed, index) for index in range(count)]


def _integers(images, seed, low, high) -> tf.Tensor:
    """int32 [B, 1], one of low..high for each image, both included."""
    shape = [tf.shape(images)[0], 1]
    return tf.random.stateless_uniform(shape, seed, low, high + 1, tf.int32)


def _along(flags, axis, dtype) -> tf.Tensor:
    """[B, size] -> [B, size, 1, 1] or [B, 1, size, 1]."""
    flags = flags[:, :, None, None] if axis == 1 else flags[:, None, :, None]
    return tf.cast(flags, dtype)


class DifferentiableAugmentation(term.Augmentation):
    """Changes every image the discriminator sees, real and fake alike, in both updates.

    The generator's gradient passes through the changes, so that it learns the unchanged images.
    Every image has changes of its own, and those of a real and a fake image of the same place in
    the batch are the same. Maps move with their image: label maps, their one-hot masks, and holes,
    by the nearest pixel; photographs bilinearly. Where nothing was, a photograph is 0 (grey), a
    hole 0 (known), and a label map without a class: 255, an all-zero row of the mask. Colours and
    cutout are of "image" alone.

    Args:
        color: whether to change brightness, saturation and contrast. Default True.
        translation: largest shift, by whole pixels, as a share of the side; 0 = none. Default
            0.125.
        cutout: side of the rectangle that is set to 0, as a share of the side; 0 = none.
            Default 0.5.
        flip: whether half of the images are mirrored left to right. Default False: data do so.
        scale: standard deviation of the binary logarithm of the size; 0 (default) = none. ADA:
            0.2.
        rotation: largest angle, in degrees; 0 (default) = none.
        probability: share of images that are changed; the others stay as they are. Default 1. Below
            about 0.8 changes do not appear in what is generated.

    Call arguments:
        inputs: dict with "image", float [B,H,W,C] in [-1, 1], and other entries of a batch.
        seed: int32 [2] of this step and replica.

    Returns: dict with the same keys, shapes and dtypes; colours may leave [-1, 1].

    Raises:
        ValueError: a share outside 0..1; a negative scale or rotation.

    Source: Zhao, Liu, Lin, Zhu, Han, NeurIPS 2020, arXiv 2006.10738;
    mit-han-lab/data-efficient-gans, DiffAugment_tf.py. Scale, rotation and the probability: Karras
    et al., NeurIPS 2020, arXiv 2006.06676 (ADA).
    """

    configurable = True

    def __init__(
        self,
        color: bool = True,
        *,
        translation: float = 0.125,
        cutout: float = 0.5,
        flip: bool = False,
        scale: float = 0.0,
        rotation: float = 0.0,
        probability: float = 1.0,
    ) -> None:
        shares = {"translation": translation, "cutout": cutout, "probability": probability}
        if not all(0.0 <= share <= 1.0 for share in shares.values()) or min(scale, rotation) < 0:
            raise ValueError(
                "translation and cutout are shares of the side, from 0 (off) to 1, probability is "
                "one of the images; scale and rotation are at least 0. Received: "
                f"translation={translation}, cutout={cutout}, probability={probability}, "
                f"scale={scale}, rotation={rotation}. The papers use 0.125, 0.5, up to 0.8, 0.2 "
                "and up to 180."
            )
        self.color = color
        self.translation = translation
        self.cutout = cutout
        self.flip = flip
        self.scale = scale
        self.rotation = rotation
        self.probability = probability
        self.moves = MAPS if translation or flip or scale or rotation else ()

    def __call__(self, inputs: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        colors, places, cutout, coins = _split(seed, 4)
        changed = dict(inputs)
        if self.color:
            changed["image"] = jitter_colors(changed["image"], colors)
        if self.moves:
            moves = draw_moves(
                inputs["image"], places, translation=self.translation, flip=self.flip,
                scale=self.scale, rotation=self.rotation,
            )  # fmt: skip
            for key in self.moves:
                if key in inputs:
                    smooth, fill = key in PHOTOGRAPHS, NO_CLASS if key == "label_map" else 0
                    changed[key] = moves.apply(changed[key], smooth=smooth, fill=fill)
        if self.cutout:
            changed["image"] = cut_out(changed["image"], cutout, self.cutout)
        if self.probability < 1.0:
            coin = tf.random.stateless_uniform([tf.shape(inputs["image"])[0]], coins)
            chosen = coin < self.probability
            for key in (key for key in inputs if key == "image" or key in self.moves):
                each = tf.reshape(chosen, [-1] + [1] * (len(inputs[key].shape) - 1))
                changed[key] = tf.where(each, changed[key], inputs[key])
        return changed
