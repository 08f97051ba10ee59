"""Class-conditional generator: an image from a class and noise, or from noise alone."""

import keras
from keras import ops

from models.layers import (
    batch_normalization,
    block_attention,
    residual,
    settings,
    spectral_normalization,
)

START_SIZE = 4


@keras.saving.register_keras_serializable(package="tessera")
class ClassConditionalGenerator(settings.FromSettings, keras.Model):
    """Generates a square image of a class, or without classes any image.

    A dense layer turns the noise into a 4 x 4 grid; every residual block doubles it; the class
    enters through the normalisations: 4 * 2 ** blocks pixels a side. With an `embedding` of the
    class the normalisations read that vector (joined with a part of the noise, if it splits it)
    and the dense layer reads it as well.

    Args:
        num_classes: int; 0 = no classes: noise is all that images differ by.
        channels: sequence of int, of the start grid and of each block. 32 px (default):
            (256, 256, 256, 256); 64 px: (1024, 512, 256, 128, 64); 128 px: (1024, 1024, 512, 256,
            128, 64).
        noise_dim: int, length of the noise vector, default 128.
        normalizer: layer, template of the normalisations in the blocks; None (default) is
            ConditionalBatchNormalization, without classes PlainBatchNormalization. The last one,
            before the image, is always plain.
        spectral_norm: bool, on every convolution and on the dense layer of the start, default
            False; normalisations and embedding have none, self-attention always has it.
        embedding: ClassEmbedding, a template; None (default) for class ids in the normalisations.
        attentive_norm_block: int from 1, block whose sum attentive normalisation follows, or None
            (default).
        self_attention_block: int from 1, the same for self-attention.
        attentive_norm: AttentiveNormalization, a template with its settings; None is the default.

    Call arguments:
        inputs: dict of "label" int [B] or [B, 1] in 0..num_classes-1, or float [B, num_classes],
            the weights of a mixture of classes, unless there are no classes; "noise" float
            [B, noise_dim]; with attentive normalisation, in training, "seed" int32 [B, 2].
        training: bool.

    Returns:
        dict of "image": float32 [B, H, H, 3] in (-1, 1); with attentive normalisation also
        "layout": float32 [B, h, h, entities].

    Raises:
        ValueError: no block; a negative number of classes; class counts of normaliser or embedding
            that differ; nothing that reads the class, or something that does where there is none;
            noise that does not split evenly; an attention block that does not exist.

    Source: Miyato, Koyama, arXiv 1802.05637; pfnet-research/sngan_projection, gen_models/. Spectral
    norm as Zhang et al., arXiv 1805.08318; embedding and split noise as Brock et al., arXiv
    1809.11096 (where the dense layer reads noise only).
    """

    configurable = True

    def __init__(
        self,
        num_classes,
        channels=(256, 256, 256, 256),
        *,
        noise_dim=128,
        normalizer=None,
        spectral_norm=False,
        embedding=None,
        attentive_norm_block=None,
        self_attention_block=None,
        attentive_norm=None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.channels = tuple(channels)
        self.noise_dim = noise_dim
        if normalizer is None and num_classes > 0:
            normalizer = batch_normalization.ConditionalBatchNormalization(num_classes)
        normalizer = normalizer or batch_normalization.PlainBatchNormalization()
        settings.keep_template(self, "normalizer", normalizer)
        self.spectral_norm = spectral_norm
        settings.keep_template(self, "embedding", embedding)
        self._check()
        self.class_embedding = settings.fresh_copy(embedding) if embedding is not None else None
        dense = spectral_normalization.SpectralDense if spectral_norm else keras.layers.Dense
        self.start = dense(START_SIZE**2 * self.channels[0], name="start")
        self.blocks = [self._block(filters, index) for index, filters in enumerate(channels[1:])]
        block_attention.attach(self, attentive_norm_block, self_attention_block, attentive_norm)
        self.norm = batch_normalization.PlainBatchNormalization(name="norm")
        self.to_image = residual.convolution(3, 3, spectral_norm=spectral_norm, name="to_image")

    def _check(self) -> None:
        if len(self.channels) < 2 or self.num_classes < 0:
            raise ValueError(
                "Expected a number of classes, 0 for none, and channels of the start grid and of "
                f"at least one block. Received: num_classes={self.num_classes}, "
                f"channels={self.channels}."
            )
        reads_class = self.embedding is not None or getattr(self.normalizer, "conditional", True)
        if self.num_classes == 0 and reads_class:
            raise ValueError(
                "Expected a normaliser that reads no class, and no embedding, where there are no "
                f"classes. Received: num_classes=0, normalizer={type(self.normalizer).__name__}, "
                f"embedding={self.embedding and type(self.embedding).__name__}. Set both to null."
            )
        for part in (self.normalizer, self.embedding):
            if getattr(part, "num_classes", self.num_classes) != self.num_classes:
                raise ValueError(
                    f"Expected {self.num_classes} classes in every part of the generator. "
                    f"Received: num_classes={part.num_classes} in {type(part).__name__}. Set it to "
                    "${..num_classes} in a config."
                )
        if self.num_classes > 0 and not reads_class:
            raise ValueError(
                "Expected something that reads the class. Received: normalizer="
                f"{type(self.normalizer).__name__}, which ignores it, and embedding=None. Set "
                "an embedding: the start grid then depends on the class."
            )
        if self._parts() > 1 and self.noise_dim % self._parts():
            raise ValueError(
                f"Expected noise that splits into {self._parts()} equal parts, one for the start "
                f"grid and one for each block. Received: noise_dim={self.noise_dim}. Set "
                f"it to a multiple of {self._parts()}."
            )

    def _parts(self) -> int:
        splits = self.embedding is not None and self.embedding.split_noise
        return len(self.channels) if splits else 1

    def _block(self, filters, index) -> residual.ResidualBlock:
        return residual.ResidualBlock(
            filters,
            self.normalizer,
            activation="relu",
            spectral_norm=self.spectral_norm,
            upsample=True,
            middle=filters,
            normalize_skip=False,
            initial_gain=2**0.5,
            name=f"block_{index}",
        )

    @property
    def input_keys(self) -> tuple[str, ...]:
        label = ("label",) if self.num_classes else ()
        return (*label, "noise", *block_attention.input_keys(self.attentive_norm_block))

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return (START_SIZE * 2 ** len(self.blocks),) * 2

    def build(self, input_shape) -> None:
        condition_shape = tuple(input_shape["label"]) if self.num_classes else None
        start = part = self.noise_dim // self._parts()
        if self.class_embedding is not None:
            self.class_embedding.build(condition_shape)
            start = part + self.embedding.units
            condition_shape = (None, start if self._parts() > 1 else self.embedding.units)
        self.start.build((None, start))
        size, channels = START_SIZE, self.channels[0]
        for block, after in zip(self.blocks, self.attention, strict=True):
            block.build((None, size, size, channels), condition_shape)
            size, channels = 2 * size, block.filters
            if after is not None:
                after.build((None, size, size, channels))
        self.norm.build((None, size, size, channels))
        self.to_image.build((None, size, size, channels))
        self.built = True

    def call(self, inputs, training=False) -> dict:
        start, conditions = self._conditions(inputs.get("label"), inputs["noise"])
        x = self.start(start, training=training)
        x = ops.reshape(x, (-1, START_SIZE, START_SIZE, self.channels[0]))
        extras = {}
        for block, after, condition in zip(self.blocks, self.attention, conditions, strict=True):
            x = block(x, condition, training=training)
            x, of_block = block_attention.attend(after, x, inputs, training)
            extras |= of_block
        x = ops.relu(self.norm(x, training=training))
        image = self.to_image(x, training=training)
        return {"image": ops.tanh(ops.cast(image, "float32")), **extras}

    def _conditions(self, labels, noise) -> tuple:
        """(what the start grid reads, what the normalisations of each block read)."""
        if self.class_embedding is None:
            return noise, [labels] * len(self.blocks)
        embedded = self.class_embedding(labels)
        parts = ops.split(ops.cast(noise, embedded.dtype), self._parts(), axis=-1)
        joined = [ops.concatenate([part, embedded], axis=-1) for part in parts]
        return joined[0], joined[1:] or [embedded] * len(self.blocks)
