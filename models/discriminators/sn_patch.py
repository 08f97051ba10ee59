"""SN-PatchGAN: a spectrally normalised critic of image patches and all of their channels."""

import keras
from keras import ops

from models.layers import settings, strided_critics


@keras.saving.register_keras_serializable(package="tessera")
class SNPatchDiscriminator(settings.FromSettings, keras.Model):
    """Scores painted images with holes of any shape; every feature of its last map is a logit.

    Strided convolutions 5/2 of image and hole together, leaky ReLU also after the last; the loss
    is the mean over all positions and channels. Made for the hinge loss.

    Args:
        channels: sequence of int, of each convolution, default (64, 128, 256, 256, 256, 256) for
            256 px; small images: fewer, one per halving.
        spectral_norm: bool, on every convolution, default True.

    Call arguments:
        inputs: dict of "image" float [B, H, W, 3] in [-1, 1], real or pasted; "hole" float
            [B, H, W, 1], 1 = painted.
        training: bool.

    Returns:
        dict of "logits": [float32 [B, h, w, last of channels]] and "features": [[the activations
        before, in the compute dtype]].

    Raises:
        ValueError: no convolution; in `build`, more of them than the image can be halved.

    Source: Yu et al., ICCV 2019, arXiv 1806.03589, section 3.3; JiahuiYu/generative_inpainting,
    inpaint_model.py.
    """

    configurable = True

    input_keys = ("image", "hole")

    def __init__(
        self, channels=(64, 128, 256, 256, 256, 256), *, spectral_norm=True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.channels = tuple(channels)
        self.spectral_norm = spectral_norm
        self.trunk = strided_critics.StridedConvolutions(
            self.channels, spectral_norm=spectral_norm, name="trunk"
        )

    def build(self, input_shape) -> None:
        *grid, channels = input_shape["image"]
        self.trunk.build((*grid, channels + input_shape["hole"][-1]))
        self.built = True

    def call(self, inputs, training=False) -> dict:
        x = ops.concatenate([inputs["image"], inputs["hole"]], axis=-1)
        *features, logits = self.trunk(x, training=training)
        return {"logits": [ops.cast(logits, "float32")], "features": [features]}
