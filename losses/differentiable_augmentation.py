"""Random changes of images that gradients pass through, for discriminators with few images."""

import tensorflow as tf

from losses import term


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


def translate(images, seed, ratio) -> tf.Tensor:
    """Moves each image by whole pixels, up to `ratio` of its side; what comes in is 0."""
    for axis, part in zip((1, 2), _split(seed, 2), strict=True):
        size = images.shape[axis]
        reach = int(size * ratio + 0.5)
        shift = _integers(images, part, -reach, reach)
        source = tf.range(size)[None, :] - shift
        inside = tf.logical_and(source >= 0, source < size)
        moved = tf.gather(images, tf.clip_by_value(source, 0, size - 1), axis=axis, batch_dims=1)
        images = moved * _along(inside, axis, images.dtype)
    return images


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
    Every image has changes of its own. Translation and cutout move pixels: not for a discriminator
    that compares the image with a map.

    Args:
        color: whether to change brightness, saturation and contrast. Default True.
        translation: largest shift, as a share of the side; 0 = none. Default 0.125.
        cutout: side of the rectangle that is set to 0, as a share of the side; 0 = none.
            Default 0.5.

    Call arguments:
        inputs: dict with "image", float [B,H,W,3] in [-1, 1]; other entries stay as they are.
        seed: int32 [2] of this step and replica.

    Returns: dict with the same keys; "image" of the same shape and dtype, colours may leave
        [-1, 1].

    Raises:
        ValueError: a share outside 0..1.

    Source: Zhao, Liu, Lin, Zhu, Han, NeurIPS 2020, arXiv 2006.10738;
    mit-han-lab/data-efficient-gans, DiffAugment_tf.py.
    """

    configurable = True

    def __init__(
        self, color: bool = True, *, translation: float = 0.125, cutout: float = 0.5
    ) -> None:
        if not (0.0 <= translation <= 1.0 and 0.0 <= cutout <= 1.0):
            raise ValueError(
                "translation and cutout are shares of the side, from 0 (off) to 1. Received: "
                f"translation={translation}, cutout={cutout}. The paper uses 0.125 and 0.5."
            )
        self.color = color
        self.translation = translation
        self.cutout = cutout
        # The image no longer fits a map where its pixels do not stay in place.
        self.moves = ("image",) if translation > 0 or cutout > 0 else ()

    def __call__(self, inputs: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        images = inputs["image"]
        colors, translation, cutout = _split(seed, 3)
        if self.color:
            images = jitter_colors(images, colors)
        if self.translation:
            images = translate(images, translation, self.translation)
        if self.cutout:
            images = cut_out(images, cutout, self.cutout)
        return inputs | {"image": images}
