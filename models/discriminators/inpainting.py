"""Critics of painted images: one of the whole image, a second one of the hole."""

import keras
import tensorflow as tf

from models.layers import settings, strided_critics

CHANNELS = (64, 128, 256, 512, 256, 128)
PATCH_CHANNELS = (64, 128, 256, 512)


@keras.saving.register_keras_serializable(package="tessera")
class GlobalLocalCritics(settings.FromSettings, keras.Model):
    """Critics for rectangular holes: one of the whole image, one of a crop around the hole.

    The crop has a fixed size. Its centre is that of the hole's bounding box, moved so that the crop
    lies within the image: a larger hole is seen in part, a smaller one with its surroundings; an
    image without a hole is cropped in the middle. Gradients flow through the crop, twice as well.
    No normalisation: made for Wasserstein losses with gradient penalty.

    Args:
        channels: sequence of int, of the global critic's convolutions 5/2, default (64, 128, 256,
            512, 256, 128) for 256 px; small images: fewer, one per halving. DeepFill: (64, 128,
            256, 256).
        local_channels: the same of the local critic; None (default) = those of the global one.
            DeepFill: (64, 128, 256, 512).
        local_size: (height, width) of the crop in pixels; None (default) = half of the image's.
        spectral_norm: bool, on every layer, default False.

    Call arguments:
        inputs: dict of "image" float [B, H, W, 3] in [-1, 1], real or pasted, of the size it was
            built with; "hole" float [B, H, W, 1], 1 = painted.
        training: bool.

    Returns:
        dict of "logits": [global, local], float32 [B, 1] each, and "features": a list per critic of
        the activations after each convolution.

    Raises:
        ValueError: in `build`, a crop larger than the image; more convolutions than the image or
            the crop can be halved.

    Source: Yu et al., arXiv 1801.07892, section 3.2; shepnerd/AttenNorm,
    inpaint-attnorm/net/network.py (without its undefined self-attention).
    """

    configurable = True

    input_keys = ("image", "hole")

    def __init__(
        self,
        channels=CHANNELS,
        *,
        local_channels=None,
        local_size=None,
        spectral_norm=False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.channels = tuple(channels)
        self.local_channels = None if local_channels is None else tuple(local_channels)
        self.local_size = None if local_size is None else tuple(local_size)
        self.spectral_norm = spectral_norm
        self.whole = strided_critics.WholeCritic(
            self.channels, spectral_norm=spectral_norm, name="global"
        )
        self.local = strided_critics.WholeCritic(
            self.local_channels or self.channels, spectral_norm=spectral_norm, name="local"
        )

    def build(self, input_shape) -> None:
        _, height, width, channels = input_shape["image"]
        crop = self._crop_size(height, width)
        if crop[0] > height or crop[1] > width:
            raise ValueError(
                f"Expected a local crop within the image. Received: local_size={crop}, image of "
                f"{(height, width)}. Set local_size to null for half of the image."
            )
        self.whole.build((None, height, width, channels))
        self.local.build((None, *crop, channels))
        self.built = True

    def _crop_size(self, height, width) -> tuple[int, int]:
        return self.local_size or (height // 2, width // 2)

    def call(self, inputs, training=False) -> dict:
        image, hole = inputs["image"], inputs["hole"]
        crop = crop_around(image, hole, self._crop_size(*image.shape[1:3]))
        outputs = [self.whole(image, training=training), self.local(crop, training=training)]
        return _joined(outputs)


@keras.saving.register_keras_serializable(package="tessera")
class GlobalPatchCritics(settings.FromSettings, keras.Model):
    """Critics for holes of any shape: one of the whole image, one of the patches in the hole.

    Args:
        channels: sequence of int, of the global critic; see `GlobalLocalCritics`.
        patch_channels: sequence of int, of the patch critic's convolutions 5/2 before the one that
            scores; default (64, 128, 256, 512) for 256 px.
        spectral_norm: bool, on every layer, default False.

    Call arguments, returns and errors: as `GlobalLocalCritics`, the logits [global, mean over the
        hole].

    Source: shepnerd/AttenNorm, inpaint-attnorm/net/network.py.
    """

    configurable = True

    input_keys = ("image", "hole")

    def __init__(
        self, channels=CHANNELS, *, patch_channels=PATCH_CHANNELS, spectral_norm=False, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.channels = tuple(channels)
        self.patch_channels = tuple(patch_channels)
        self.spectral_norm = spectral_norm
        self.whole = strided_critics.WholeCritic(
            self.channels, spectral_norm=spectral_norm, name="global"
        )
        self.patch = strided_critics.HoleCritic(
            self.patch_channels, spectral_norm=spectral_norm, name="patch"
        )

    def build(self, input_shape) -> None:
        self.whole.build(input_shape["image"])
        self.patch.build(input_shape["image"])
        self.built = True

    def call(self, inputs, training=False) -> dict:
        image, hole = inputs["image"], inputs["hole"]
        outputs = [self.whole(image, training=training), self.patch(image, hole, training=training)]
        return _joined(outputs)


def _joined(outputs) -> dict:
    return {
        "logits": [output["score"] for output in outputs],
        "features": [output["features"] for output in outputs],
    }


def crop_around(image, hole, size) -> tf.Tensor:
    """The window of `size` (height, width) around the bounding box of each image's hole.

    Args:
        image: float [B, H, W, C].
        hole: float [B, H, W, 1]; larger than 0.5 = missing.
        size: (height, width), at most (H, W).

    Returns:
        float [B, height, width, C], differentiable in `image` any number of times.
    """
    for axis, length in ((1, size[0]), (2, size[1])):
        # `hole` keeps its full size: the box along one axis does not depend on the other's crop.
        indices = _window(tf.reduce_max(hole, axis=(3 - axis, 3)), length)
        image = tf.gather(image, indices, axis=axis, batch_dims=1)
    return image


def _window(occupied, length) -> tf.Tensor:
    """[B, N] -> int32 [B, length]: consecutive indices, centred on the occupied ones."""
    occupied, total = tf.cast(occupied > 0.5, tf.int32), occupied.shape[1]
    first = tf.argmax(occupied, axis=1, output_type=tf.int32)
    last = total - 1 - tf.argmax(occupied[:, ::-1], axis=1, output_type=tf.int32)
    start = tf.clip_by_value((first + last + 1) // 2 - length // 2, 0, total - length)
    return start[:, None] + tf.range(length)
