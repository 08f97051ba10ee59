"""One row per layer and network: how to make it, what goes in, what must come out.

`test_conformance.py` holds every row to the same laws. To cover a new layer, add a row.
Shapes leave out the batch; a network takes and returns a dict, a layer positional arguments.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from models import style_encoder
from models.discriminators import inpainting as inpainting_critics
from models.discriminators import patch, projection, sn_patch
from models.generators import class_conditional, inpainting, semantic, style_guided
from models.layers import (
    attentive_normalization,
    batch_normalization,
    class_embedding,
    contextual_attention,
    down_block,
    gated_convolution,
    modulation,
    pixel_normalization,
    residual,
    self_attention,
    spectral_normalization,
    statistics,
    strided_critics,
)

BATCH = 4


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table.

    Args:
        name: the id shown by pytest.
        make: builds nothing, returns the layer or network with small settings.
        inputs: tuple (layer) or dict (network) of input kinds, see `sample`.
        outputs: same nesting as the training output; a shape, or (shape, "float32") where the dtype
            stays float32 at any precision.
        training_argument: whether `call` takes `training`.
    """

    name: str
    make: Callable[[], keras.Layer]
    inputs: tuple | dict
    outputs: object
    training_argument: bool = True

    @property
    def is_network(self):
        return isinstance(self.inputs, dict)

    def build(self, layer):
        """Creates all variables of `layer` from shapes alone and returns it."""
        shapes = {key: (None, *kind.shape) for key, kind in self._items()}
        layer.build(shapes) if self.is_network else layer.build(*shapes.values())
        for variable in layer.variables:
            if variable.path.endswith("gate"):
                variable.assign(0.5)  # at 0, its start, a gate hides what lies behind it
        return layer

    def _items(self):
        return self.inputs.items() if self.is_network else enumerate(self.inputs)

    def sample(self, batch=BATCH, seed=0):
        """Returns random NumPy inputs, nested as `inputs`."""
        rng = np.random.default_rng(seed)
        arrays = {key: kind.sample(rng, batch) for key, kind in self._items()}
        return arrays if self.is_network else tuple(arrays.values())

    def call(self, layer, inputs, training):
        """Calls `layer` the way its kind is called."""
        arguments = (inputs,) if self.is_network else inputs
        return layer(*arguments, training=training) if self.training_argument else layer(*arguments)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Values from N(0, 1)."""

    shape: tuple
    dtype = "float32"

    def sample(self, rng, batch):
        return rng.normal(size=(batch, *self.shape)).astype("float32")


@dataclasses.dataclass(frozen=True)
class Mask(Normal):
    """One-hot label map of random classes; shape (H, W, K)."""

    def sample(self, rng, batch):
        ids = rng.integers(0, self.shape[-1], (batch, *self.shape[:-1]))
        return np.eye(self.shape[-1], dtype="float32")[ids]


@dataclasses.dataclass(frozen=True)
class Ids:
    """Class ids 0..classes-1."""

    classes: int
    shape: tuple = ()
    dtype = "int32"

    def sample(self, rng, batch):
        return rng.integers(0, self.classes, (batch, *self.shape)).astype("int32")


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Any 32 bits, two numbers an image."""

    shape: tuple = (2,)
    dtype = "int32"

    def sample(self, rng, batch):
        return rng.integers(-(2**31), 2**31, (batch, *self.shape)).astype("int32")


@dataclasses.dataclass(frozen=True)
class Hole(Normal):
    """A rectangle of ones in zeros for each image; shape (H, W, 1)."""

    def sample(self, rng, batch):
        holes = np.zeros((batch, *self.shape), "float32")
        for hole in holes:
            top, left = (rng.integers(0, side - 2) for side in self.shape[:2])
            hole[top : top + self.shape[0] // 2, left : left + self.shape[1] // 2] = 1
        return holes


def attentive_norm(**kwargs):
    return attentive_normalization.AttentiveNormalization(3, temperature=0.7, **kwargs)


def class_generator(channels=(8, 6, 4), noise_dim=6, **kwargs):
    return class_conditional.ClassConditionalGenerator(7, channels, noise_dim=noise_dim, **kwargs)


def class_discriminator(**kwargs):
    return projection.ProjectionDiscriminator(7, (4, 6, 6), downsample=(1, 1, 0), **kwargs)


def small_generator(**kwargs):
    settings = {"upsample": (False, True), "normalizer": modulation.SPADE(6), **kwargs}
    return semantic.SpadeGenerator(4, (2, 1), **settings)


def small_encoder(noise_dim=5):
    return style_encoder.StyleEncoder(noise_dim, 3, multipliers=(1, 2), resize_to=16)


FLOAT = "float32"
IMAGE = {"image": ((8, 16, 3), FLOAT)}
STYLE = {"mean": ((5,), FLOAT), "log_variance": ((5,), FLOAT)}
X = Normal((4, 6, 5))
MASK = Mask((8, 16, 3))
LABEL, LABELS = Ids(7), {"label": Ids(7), "noise": Normal((6,))}
SQUARE = {"image": ((16, 16, 3), FLOAT)}
JUDGED = {"label": Ids(7), "image": Normal((16, 12, 3))}
SCORES = {"logits": [((1,), FLOAT)], "features": [[(8, 6, 4), (4, 3, 6), (4, 3, 6)]]}

# Inpainting: layers, generators, critics.
HOLED = {"masked_image": Normal((16, 24, 3)), "hole": Hole((16, 24, 1))}
PAINTED = {key: ((16, 24, 3), FLOAT) for key in ("image", "coarse", "refined")}
REVIEWED = {"image": Normal((16, 24, 3)), "hole": Hole((16, 24, 1))}
WHOLE = [(8, 12, 4), (4, 6, 5)]
INPAINTING = [
    Case(
        "GatedConvolution",
        lambda: gated_convolution.GatedConvolution(3, 5, strides=2),
        (X,),
        (2, 3, 3),
        training_argument=False,
    ),
    Case(
        "GatedConvolution-dilated",
        lambda: gated_convolution.GatedConvolution(3, dilation_rate=2, activation=None),
        (X,),
        (4, 6, 3),
        training_argument=False,
    ),
    Case(
        "ContextualAttention",
        contextual_attention.ContextualAttention,
        (Normal((8, 6, 5)), Hole((16, 24, 1))),
        (8, 6, 5),
        training_argument=False,
    ),
    Case(
        "ContextualAttention-cosine",
        lambda: contextual_attention.ContextualAttention(
            2, rate=1, softmax_scale=3.0, fuse=False, rectify=False, normalize_queries=True
        ),
        (X, Hole((4, 6, 1))),
        (4, 6, 5),
        training_argument=False,
    ),
    Case(
        "StridedConvolutions",
        lambda: strided_critics.StridedConvolutions((4, 5)),
        (Normal((16, 24, 3)),),
        WHOLE,
    ),
    Case(
        "WholeCritic",
        lambda: strided_critics.WholeCritic((4, 5), spectral_norm=True),
        (Normal((16, 24, 3)),),
        {"score": ((1,), FLOAT), "features": WHOLE},
    ),
    Case(
        "HoleCritic",
        lambda: strided_critics.HoleCritic((4, 5), spectral_norm=True),
        tuple(REVIEWED.values()),
        {"score": ((1,), FLOAT), "features": WHOLE},
    ),
    Case(
        "InpaintingGenerator-attentive-norm",
        lambda: inpainting.InpaintingGenerator(2, attention=attentive_norm(affine=False)),
        {**HOLED, "seed": Seeds()},
        {**PAINTED, "layout": ((4, 6, 3), FLOAT)},
    ),
    Case(
        "InpaintingGenerator-gated",
        lambda: inpainting.InpaintingGenerator(
            2,
            attention=contextual_attention.ContextualAttention(),
            gated=True,
            image_activation="tanh",
            hole_in_refinement=False,
            narrow_refinement=True,
        ),
        HOLED,
        PAINTED,
    ),
    Case(
        "GlobalLocalCritics",
        lambda: inpainting_critics.GlobalLocalCritics((4, 5), local_channels=(3,)),
        REVIEWED,
        {"logits": [((1,), FLOAT)] * 2, "features": [WHOLE, [(4, 6, 3)]]},
    ),
    Case(
        "GlobalPatchCritics",
        lambda: inpainting_critics.GlobalPatchCritics((4, 5), patch_channels=(3,)),
        REVIEWED,
        {"logits": [((1,), FLOAT)] * 2, "features": [WHOLE, [(8, 12, 3)]]},
    ),
    Case(
        "SNPatchDiscriminator",
        lambda: sn_patch.SNPatchDiscriminator((4, 5)),
        REVIEWED,
        {"logits": [((4, 6, 5), FLOAT)], "features": [[(8, 12, 4)]]},
    ),
]

CASES = [
    Case(
        "SpectralConv2D",
        lambda: spectral_normalization.SpectralConv2D(6, 3, padding="same"),
        (X,),
        (4, 6, 6),
    ),
    Case(
        "SpectralDense",
        lambda: spectral_normalization.SpectralDense(3, activation="relu"),
        (Normal((5,)),),
        (3,),
    ),
    Case(
        "SpectralEmbedding",
        lambda: spectral_normalization.SpectralEmbedding(7, 4),
        (Ids(7),),
        (4,),
    ),
    Case("BatchStatistics", statistics.BatchStatistics, (X,), (4, 6, 5)),
    Case("InstanceStatistics", statistics.InstanceStatistics, (X,), (4, 6, 5)),
    Case("SPADE", lambda: modulation.SPADE(6), (X, MASK), (4, 6, 5)),
    Case(
        "SPADE-instance",
        lambda: modulation.SPADE(6, 1, statistics="instance"),
        (X, MASK),
        (4, 6, 5),
    ),
    Case(
        "ResidualBlock",
        lambda: residual.ResidualBlock(3, modulation.SPADE(6)),
        (X, MASK),
        (4, 6, 3),
    ),
    Case(
        "ResidualBlock-identity-skip",
        lambda: residual.ResidualBlock(5, modulation.SPADE(6), spectral_norm=False),
        (X, MASK),
        (4, 6, 5),
    ),
    Case(
        "ResidualBlock-class-conditional",
        lambda: residual.ResidualBlock(
            5,
            batch_normalization.ConditionalBatchNormalization(7),
            activation="relu",
            upsample=True,
            middle=4,
            normalize_skip=False,
            initial_gain=2.0,
        ),
        (X, LABEL),
        (8, 12, 5),
    ),
    Case(
        "ConditionalBatchNormalization",
        lambda: batch_normalization.ConditionalBatchNormalization(7),
        (X, LABEL),
        (4, 6, 5),
    ),
    Case(
        "ConditionalBatchNormalization-columns",
        lambda: batch_normalization.ConditionalBatchNormalization(7),
        (X, Ids(7, (1,))),
        (4, 6, 5),
    ),
    Case(
        "ConditionalBatchNormalization-vectors",
        lambda: batch_normalization.ConditionalBatchNormalization(7),
        (X, Normal((9,))),
        (4, 6, 5),
    ),
    Case("PlainBatchNormalization", batch_normalization.PlainBatchNormalization, (X,), (4, 6, 5)),
    Case("PixelNormalization", pixel_normalization.PixelNormalization, (X,), (4, 6, 5)),
    Case(
        "ClassEmbedding",
        lambda: class_embedding.ClassEmbedding(7, 5),
        (LABEL,),
        (5,),
        training_argument=False,
    ),
    Case(
        "AttentiveNormalization",
        attentive_norm,
        (X, Seeds()),
        {"outputs": (4, 6, 5), "layout": ((4, 6, 3), FLOAT)},
    ),
    Case(
        "AttentiveNormalization-bare",
        lambda: attentive_norm(
            affine=False,
            value_convolution=False,
            key_pooling=1,
            entity_initializer="orthogonal",
            orthogonal_weight=0.0,
        ),
        (Normal((3, 5, 8)), Seeds()),
        {"outputs": (3, 5, 8), "layout": ((3, 5, 3), FLOAT)},
    ),
    Case("SelfAttention", self_attention.SelfAttention, (Normal((5, 6, 16)),), (5, 6, 16)),
    Case(
        "SelfAttention-plain",
        lambda: self_attention.SelfAttention(spectral_norm=False),
        (X,),
        (4, 6, 5),
    ),
    Case("DownBlock", lambda: down_block.DownBlock(3, True), (X,), (2, 3, 3)),
    Case(
        "DownBlock-first",
        lambda: down_block.DownBlock(
            3, first=True, normalizer=batch_normalization.PlainBatchNormalization()
        ),
        (X,),
        (4, 6, 3),
    ),
    Case(
        "DownBlock-identity-skip",
        lambda: down_block.DownBlock(
            5, spectral_norm=False, normalizer=statistics.InstanceStatistics()
        ),
        (X,),
        (4, 6, 5),
    ),
    Case("ClassConditionalGenerator", class_generator, LABELS, SQUARE),
    Case(
        "ClassConditionalGenerator-attentive-norm",
        lambda: class_generator(
            attentive_norm_block=1, attentive_norm=attentive_norm(), self_attention_block=2
        ),
        {**LABELS, "seed": Seeds()},
        {**SQUARE, "layout": ((8, 8, 3), FLOAT)},
    ),
    Case(
        "ClassConditionalGenerator-split-noise",
        lambda: class_generator(spectral_norm=True, embedding=class_embedding.ClassEmbedding(7, 5)),
        LABELS,
        SQUARE,
    ),
    Case(
        "ClassConditionalGenerator-pixel-norm",
        lambda: class_generator(
            normalizer=pixel_normalization.PixelNormalization(),
            embedding=class_embedding.ClassEmbedding(7, 5, split_noise=False),
        ),
        LABELS,
        SQUARE,
    ),
    Case("ProjectionDiscriminator", class_discriminator, JUDGED, SCORES),
    Case(
        "ProjectionDiscriminator-attentive-norm",
        lambda: class_discriminator(
            spectral_norm=False,
            normalizer=batch_normalization.PlainBatchNormalization(),
            attentive_norm_block=1,
            attentive_norm=attentive_norm(),
            self_attention_block=2,
        ),
        {**JUDGED, "seed": Seeds()},
        {**SCORES, "layout": ((8, 6, 3), FLOAT)},
    ),
    Case("SpadeGenerator", small_generator, {"mask": MASK}, IMAGE),
    Case(
        "SpadeGenerator-attentive-norm",
        lambda: small_generator(
            attentive_norm_block=1, attentive_norm=attentive_norm(), self_attention_block=2
        ),
        {"mask": MASK, "seed": Seeds()},
        {**IMAGE, "layout": ((4, 8, 3), FLOAT)},
    ),
    Case(
        "SpadeGenerator-noise",
        lambda: small_generator(noise_dim=5, spectral_norm=False),
        {"mask": MASK, "noise": Normal((5,))},
        IMAGE,
    ),
    Case("StyleEncoder", small_encoder, {"image": Normal((8, 16, 3))}, STYLE),
    Case(
        "StyleGuidedGenerator",
        lambda: style_guided.StyleGuidedGenerator(small_generator(noise_dim=5), small_encoder()),
        {"mask": MASK, "noise": Normal((5,)), "image": Normal((8, 16, 3))},
        {**IMAGE, "style_mean": ((5,), FLOAT), "style_log_variance": ((5,), FLOAT)},
    ),
    Case(
        "MultiScalePatchDiscriminator",
        lambda: patch.MultiScalePatchDiscriminator(4, depth=3),
        {"mask": Mask((16, 24, 3)), "image": Normal((16, 24, 3))},
        {
            "logits": [((7, 9, 1), FLOAT), ((5, 6, 1), FLOAT)],
            "features": [
                [(9, 13, 4), (5, 7, 8), (6, 8, 16)],
                [(5, 7, 4), (3, 4, 8), (4, 5, 16)],
            ],
        },
    ),
    *INPAINTING,
]
