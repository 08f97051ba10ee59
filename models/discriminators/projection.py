"""Projection discriminator: scores an image given a class, or on its own."""

import keras
from keras import ops

from models.layers import (
    block_attention,
    class_embedding,
    down_block,
    settings,
    spectral_normalization,
)


@keras.saving.register_keras_serializable(package="tessera")
class ProjectionDiscriminator(settings.FromSettings, keras.Model):
    """Scores whether an image is real and of its class.

        h = sum over positions of relu(blocks(image))
        D(x, y) = linear(h) + <embedding(y), h>;  without classes D(x) = linear(h)

    Args:
        num_classes: int; 0 = no classes.
        channels: sequence of int, of each block. 32 px (default): (128, 128, 128, 128); 64 px:
            (64, 128, 256, 512, 1024); 128 px: (64, 128, 256, 512, 1024, 1024).
        downsample: sequence of bool, as long as `channels`: whether the block halves the size.
            Default (T, T, F, F); the larger sizes: all T, and F for the sixth block.
        spectral_norm: bool, on every convolution, the dense layer and the embedding, default True;
            self-attention always has it, attentive normalisation never.
        normalizer: layer, template of normalisations before the activations, called
            (x, training=...); None (default) for none. Batch statistics do not go with gradient
            penalties.
        attentive_norm_block: int from 1, block whose sum attentive normalisation follows, or None
            (default).
        self_attention_block: int from 1, the same for self-attention.
        attentive_norm: AttentiveNormalization, a template with its settings; None is the default.

    Call arguments:
        inputs: dict of "label" int [B] or [B, 1] in 0..num_classes-1, unless there are no classes;
            "image" float [B, H, W, 3] in [-1, 1]; with attentive normalisation, in training, "seed"
            int32 [B, 2].
        training: bool.

    Returns:
        dict of "logits": [float32 [B, 1]] and "features": [[the sum of each block, in the compute
        dtype]]; with attentive normalisation also "layout": float32 [B, h, w, entities].

    Raises:
        ValueError: a negative number of classes; no block; lists of different lengths; an attention
            block that does not exist; in `build`, an image that cannot be halved so often.

    Source: Miyato, Koyama, arXiv 1802.05637; pfnet-research/sngan_projection, dis_models/.
    """

    configurable = True

    def __init__(
        self,
        num_classes,
        channels=(128, 128, 128, 128),
        *,
        downsample=(True, True, False, False),
        spectral_norm=True,
        normalizer=None,
        attentive_norm_block=None,
        self_attention_block=None,
        attentive_norm=None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if num_classes < 0 or not channels or len(channels) != len(downsample):
            raise ValueError(
                "Expected a number of classes, 0 for none, at least one block, and one downsample "
                f"flag per block. Received: num_classes={num_classes}, "
                f"channels={tuple(channels)}, downsample={tuple(downsample)}. Give both lists the "
                "same length."
            )
        self.num_classes = num_classes
        self.channels = tuple(channels)
        self.downsample = tuple(bool(flag) for flag in downsample)
        self.spectral_norm = spectral_norm
        settings.keep_template(self, "normalizer", normalizer)
        self.blocks = [
            down_block.DownBlock(
                filters,
                halve,
                first=index == 0,
                spectral_norm=spectral_norm,
                normalizer=normalizer,
                name=f"block_{index}",
            )
            for index, (filters, halve) in enumerate(
                zip(self.channels, self.downsample, strict=True)
            )
        ]
        block_attention.attach(self, attentive_norm_block, self_attention_block, attentive_norm)
        # Both in float32: sums over all positions are too large for 16 bits.
        dense = spectral_normalization.SpectralDense if spectral_norm else keras.layers.Dense
        self.linear = dense(1, use_bias=False, dtype="float32", name="linear")
        self.class_embedding = self._embedding() if num_classes else None

    def _embedding(self) -> keras.layers.Layer:
        settings = {"dtype": "float32", "name": "class_embedding"}
        if not self.spectral_norm:
            return class_embedding.ClassEmbedding(self.num_classes, self.channels[-1], **settings)
        return spectral_normalization.SpectralEmbedding(
            self.num_classes,
            self.channels[-1],
            embeddings_initializer="glorot_uniform",
            **settings,
        )

    @property
    def input_keys(self) -> tuple[str, ...]:
        label = ("label",) if self.num_classes else ()
        return (*label, "image", *block_attention.input_keys(self.attentive_norm_block))

    def build(self, input_shape) -> None:
        _, height, width, channels = input_shape["image"]
        down_block.check_halvings((height, width), sum(self.downsample))
        for block, after in zip(self.blocks, self.attention, strict=True):
            block.build((None, height, width, channels))
            channels = block.filters
            if block.downsample:
                height, width = height // 2, width // 2
            if after is not None:
                after.build((None, height, width, channels))
        self.linear.build((None, channels))
        if self.class_embedding is not None:
            self.class_embedding.build((None,))
        self.built = True

    def call(self, inputs, training=False) -> dict:
        x, features, extras = inputs["image"], [], {}
        for block, after in zip(self.blocks, self.attention, strict=True):
            x = block(x, training=training)
            x, of_block = block_attention.attend(after, x, inputs, training)
            extras |= of_block
            features.append(x)
        summed = ops.sum(ops.cast(ops.relu(x), "float32"), axis=(1, 2))
        logits = self.linear(summed, training=training)
        if self.class_embedding is not None:
            labels = ops.reshape(inputs["label"], (-1,))
            embedded = self.class_embedding(labels, training=training)
            logits += ops.sum(embedded * summed, axis=-1, keepdims=True)
        return {"logits": [logits], "features": [features], **extras}
