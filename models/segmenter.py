"""A small segmentation network in the manner of DeepLab v3 and v3+."""

import keras
from keras import ops

from models.layers import atrous_pyramid, batch_normalization, dilated_block, residual, settings

# (down-sampling, dilation) of the four stages behind the stem, by output stride.
STAGES = {
    8: ((True, 1), (True, 1), (False, 2), (False, 4)),
    16: ((True, 1), (True, 1), (True, 1), (False, 2)),
}
FINE_CHANNELS = 48  # of the stride-4 features in the decoder


@keras.saving.register_keras_serializable(package="tessera")
class Segmenter(settings.FromSettings, keras.Model):
    """Logits of the class of each pixel: residual encoder, atrous pyramid, bilinear enlargement.

        stem conv4/2 -> four stages of residual blocks -> relu(norm) -> pyramid
        v3:  -> conv1 to the classes -> x output stride
        v3+: -> x output_stride/4, beside the stride-4 features reduced to 48 channels
             -> two conv3 -> conv1 to the classes -> x 4

    Stages are at strides 4, 8, 8, 8 with dilation 1, 1, 2, 4 (output stride 8), or 4, 8, 16, 16
    with 1, 1, 1, 2 (output stride 16). Enlargements are bilinear on pixel centres. Batch statistics
    are synchronised over replicas; nothing is random.

    Args:
        label_map_classes: int >= 2, K, the classes of the label maps.
        channels: sequence of four int, of the stages; the stem has those of the first.
        blocks: int, residual blocks of each stage, default 2.
        output_stride: 8 (default) or 16, image side / feature side.
        pyramid_filters: int, channels of the pyramid and the decoder, default 256.
        rates: sequence of int, of the pyramid; None (default) to scale with the image, see
            AtrousSpatialPyramidPooling.
        decoder: bool, True for the decoder of v3+, default False.
        momentum: float, weight of the old value in the moving averages, default 0.9.

    Call arguments:
        inputs: dict of "image" float [B, H, W, 3] in [-1, 1]; H and W divisible by the output
            stride. Training needs two images.
        training: bool.

    Returns:
        dict of "logits": float32 [B, H, W, K].

    Raises:
        ValueError: fewer than two classes, another number of stages, another output stride; in
            `build`, an image not divisible by the output stride; in training, a single image.

    Source: Chen et al., arXiv 1706.05587 (v3) and 1802.02611 (v3+); tensorflow/models,
    research/deeplab. Encoder: dilated_block.py.
    """

    configurable = True

    input_keys = ("image",)

    def __init__(
        self,
        label_map_classes,
        channels=(64, 128, 256, 512),
        *,
        blocks=2,
        output_stride=8,
        pyramid_filters=256,
        rates=None,
        decoder=False,
        momentum=0.9,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if label_map_classes < 2 or len(channels) != 4 or blocks < 1 or output_stride not in STAGES:
            raise ValueError(
                "Expected at least two classes, the channels of four stages, at least one block "
                "each, and an output stride of 8 or 16. Received: "
                f"label_map_classes={label_map_classes}, channels={tuple(channels)}, "
                f"blocks={blocks}, output_stride={output_stride}."
            )
        self.label_map_classes = label_map_classes
        self.channels = tuple(channels)
        self.blocks = blocks
        self.output_stride = output_stride
        self.pyramid_filters = pyramid_filters
        self.rates = None if rates is None else tuple(rates)
        self.decoder = decoder
        self.momentum = momentum
        self.stem = keras.layers.Conv2D(
            self.channels[0], 4, 2, padding="same", use_bias=False, name="stem"
        )
        self.encoder = [block for index in range(4) for block in self._stage(index)]
        self.norm = batch_normalization.PlainBatchNormalization(momentum, name="norm")
        self.pyramid = atrous_pyramid.AtrousSpatialPyramidPooling(
            pyramid_filters, self.rates, momentum=momentum, name="pyramid"
        )
        if decoder:
            self.fine = self._unit(FINE_CHANNELS, 1, "fine")
            self.refinement = [self._unit(pyramid_filters, 3, f"refine_{n}") for n in range(2)]
        self.classes = keras.layers.Conv2D(label_map_classes, 1, dtype="float32", name="classes")

    def _stage(self, index) -> list[dilated_block.DilatedBlock]:
        downsample, rate = STAGES[self.output_stride][index]
        return [
            dilated_block.DilatedBlock(
                self.channels[index],
                downsample and block == 0,
                dilation_rate=rate,
                momentum=self.momentum,
                name=f"stage_{index}_block_{block}",
            )
            for block in range(self.blocks)
        ]

    def _unit(self, filters, kernel_size, name) -> atrous_pyramid.NormalizedConvolution:
        return atrous_pyramid.NormalizedConvolution(
            filters, kernel_size, momentum=self.momentum, name=name
        )

    def build(self, input_shape) -> None:
        _, height, width, channels = input_shape["image"]
        if height % self.output_stride or width % self.output_stride:
            raise ValueError(
                f"Expected images with sides divisible by the output stride, {self.output_stride}. "
                f"Received: (H, W)=({height}, {width}). Change data.image_size."
            )
        self.stem.build((None, height, width, channels))
        channels = residual.build_chain(self.encoder, self.channels[0])
        height, width = height // self.output_stride, width // self.output_stride
        self.norm.build((None, height, width, channels))
        self.pyramid.build((None, height, width, channels))
        if self.decoder:
            self.fine.build((None, None, None, self.channels[0]))
            joined = self.pyramid_filters + FINE_CHANNELS
            residual.build_chain(self.refinement, joined)
        self.classes.build((None, None, None, self.pyramid_filters))
        self.built = True

    def call(self, inputs, training=False) -> dict:
        x, features = self.stem(inputs["image"]), []
        for block in self.encoder:
            x = block(x, training=training)
            features.append(x)
        x = self.pyramid(ops.relu(self.norm(x, training=training)), training=training)
        if self.decoder:
            fine = self.fine(features[self.blocks - 1], training=training)  # stride 4
            x = ops.concatenate([enlarged(x, self.output_stride // 4), fine], axis=-1)
            for unit in self.refinement:
                x = unit(x, training=training)
        scale = 4 if self.decoder else self.output_stride
        return {"logits": enlarged(self.classes(x), scale)}


def enlarged(x, factor) -> keras.KerasTensor:
    """Bilinear enlargement of [B, H, W, C] on pixel centres, the border repeated."""
    height, width = x.shape[1:3]
    return ops.image.resize(x, (height * factor, width * factor), interpolation="bilinear")
