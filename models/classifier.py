"""A small residual network that predicts the class of an image."""

import keras
from keras import ops

from models.layers import batch_normalization, down_block, settings


@keras.saving.register_keras_serializable(package="tessera")
class ImageClassifier(settings.FromSettings, keras.Model):
    """Logits of the classes of whole images, from residual blocks with batch normalisation.

        h = mean over positions of relu(norm(blocks(image)));  logits = linear(h)

    Each block halves the size. Statistics are synchronised over replicas; nothing is random.

    Args:
        num_classes: int >= 2.
        channels: sequence of int, of each block. 32 px (default): (32, 64, 128); one more block
            for each doubling of the size.
        momentum: float, weight of the old value in the moving averages of the batch statistics,
            default 0.9.

    Call arguments:
        inputs: dict of "image" float [B, H, W, 3] in [-1, 1].
        training: bool.

    Returns:
        dict of "logits": float32 [B, num_classes].

    Raises:
        ValueError: fewer than two classes; no block; in `build`, an image that cannot be halved so
            often.

    Source: He et al., arXiv 1603.05027 (pre-activation blocks); blocks as in down_block.py.
    """

    configurable = True

    input_keys = ("image",)

    def __init__(self, num_classes, channels=(32, 64, 128), *, momentum=0.9, **kwargs) -> None:
        super().__init__(**kwargs)
        if num_classes < 2 or not channels:
            raise ValueError(
                "Expected at least two classes and one block. Received: "
                f"num_classes={num_classes}, channels={tuple(channels)}."
            )
        self.num_classes = num_classes
        self.channels = tuple(channels)
        self.momentum = momentum
        norm = batch_normalization.PlainBatchNormalization(momentum)
        self.blocks = [
            down_block.DownBlock(
                filters,
                True,
                first=index == 0,
                spectral_norm=False,
                normalizer=norm,
                name=f"block_{index}",
            )
            for index, filters in enumerate(self.channels)
        ]
        self.norm = batch_normalization.PlainBatchNormalization(momentum, name="norm")
        self.linear = keras.layers.Dense(num_classes, dtype="float32", name="linear")

    def build(self, input_shape) -> None:
        _, height, width, channels = input_shape["image"]
        down_block.check_halvings((height, width), len(self.blocks))
        for block in self.blocks:
            block.build((None, height, width, channels))
            height, width, channels = height // 2, width // 2, block.filters
        self.norm.build((None, height, width, channels))
        self.linear.build((None, channels))
        self.built = True

    def call(self, inputs, training=False) -> dict:
        x = inputs["image"]
        for block in self.blocks:
            x = block(x, training=training)
        x = ops.relu(self.norm(x, training=training))
        return {"logits": self.linear(ops.mean(ops.cast(x, "float32"), axis=(1, 2)))}
