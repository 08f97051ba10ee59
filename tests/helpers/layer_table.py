"""One row per layer and network: how to make it, what goes in, what must come out.

`test_conformance.py` holds every row to the same laws. To cover a new layer, add a row.
Shapes leave out the batch; a network takes and returns a dict, a layer positional arguments.
"""

from models import classifier, style_encoder
from models.discriminators import patch, projection
from models.generators import class_conditional, semantic, style_guided
from models.layers import (
    attentive_normalization,
    batch_normalization,
    class_embedding,
    down_block,
    modulation,
    pixel_normalization,
    residual,
    self_attention,
    spectral_normalization,
    statistics,
)
from tests.helpers import layer_case


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
X = layer_case.Normal((4, 6, 5))
MASK = layer_case.Mask((8, 16, 3))
LABEL, LABELS = layer_case.Ids(7), {"label": layer_case.Ids(7), "noise": layer_case.Normal((6,))}
SQUARE = {"image": ((16, 16, 3), FLOAT)}
JUDGED = {"label": layer_case.Ids(7), "image": layer_case.Normal((16, 12, 3))}
SCORES = {"logits": [((1,), FLOAT)], "features": [[(8, 6, 4), (4, 3, 6), (4, 3, 6)]]}

CASES = [
    layer_case.Case(
        "SpectralConv2D",
        lambda: spectral_normalization.SpectralConv2D(6, 3, padding="same"),
        (X,),
        (4, 6, 6),
    ),
    layer_case.Case(
        "SpectralDense",
        lambda: spectral_normalization.SpectralDense(3, activation="relu"),
        (layer_case.Normal((5,)),),
        (3,),
    ),
    layer_case.Case(
        "SpectralEmbedding",
        lambda: spectral_normalization.SpectralEmbedding(7, 4),
        (layer_case.Ids(7),),
        (4,),
    ),
    layer_case.Case("BatchStatistics", statistics.BatchStatistics, (X,), (4, 6, 5)),
    layer_case.Case("InstanceStatistics", statistics.InstanceStatistics, (X,), (4, 6, 5)),
    layer_case.Case("SPADE", lambda: modulation.SPADE(6), (X, MASK), (4, 6, 5)),
    layer_case.Case(
        "SPADE-instance",
        lambda: modulation.SPADE(6, 1, statistics="instance"),
        (X, MASK),
        (4, 6, 5),
    ),
    layer_case.Case(
        "ResidualBlock",
        lambda: residual.ResidualBlock(3, modulation.SPADE(6)),
        (X, MASK),
        (4, 6, 3),
    ),
    layer_case.Case(
        "ResidualBlock-identity-skip",
        lambda: residual.ResidualBlock(5, modulation.SPADE(6), spectral_norm=False),
        (X, MASK),
        (4, 6, 5),
    ),
    layer_case.Case(
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
    layer_case.Case(
        "ConditionalBatchNormalization",
        lambda: batch_normalization.ConditionalBatchNormalization(7),
        (X, LABEL),
        (4, 6, 5),
    ),
    layer_case.Case(
        "ConditionalBatchNormalization-columns",
        lambda: batch_normalization.ConditionalBatchNormalization(7),
        (X, layer_case.Ids(7, (1,))),
        (4, 6, 5),
    ),
    layer_case.Case(
        "ConditionalBatchNormalization-vectors",
        lambda: batch_normalization.ConditionalBatchNormalization(7),
        (X, layer_case.Normal((9,))),
        (4, 6, 5),
    ),
    layer_case.Case(
        "PlainBatchNormalization", batch_normalization.PlainBatchNormalization, (X,), (4, 6, 5)
    ),
    layer_case.Case("PixelNormalization", pixel_normalization.PixelNormalization, (X,), (4, 6, 5)),
    layer_case.Case(
        "ClassEmbedding",
        lambda: class_embedding.ClassEmbedding(7, 5),
        (LABEL,),
        (5,),
        training_argument=False,
    ),
    layer_case.Case(
        "AttentiveNormalization",
        attentive_norm,
        (X, layer_case.Seeds()),
        {"outputs": (4, 6, 5), "layout": ((4, 6, 3), FLOAT)},
    ),
    layer_case.Case(
        "AttentiveNormalization-bare",
        lambda: attentive_norm(
            affine=False,
            value_convolution=False,
            key_pooling=1,
            entity_initializer="orthogonal",
            orthogonal_weight=0.0,
        ),
        (layer_case.Normal((3, 5, 8)), layer_case.Seeds()),
        {"outputs": (3, 5, 8), "layout": ((3, 5, 3), FLOAT)},
    ),
    layer_case.Case(
        "SelfAttention", self_attention.SelfAttention, (layer_case.Normal((5, 6, 16)),), (5, 6, 16)
    ),
    layer_case.Case(
        "SelfAttention-plain",
        lambda: self_attention.SelfAttention(spectral_norm=False),
        (X,),
        (4, 6, 5),
    ),
    layer_case.Case("DownBlock", lambda: down_block.DownBlock(3, True), (X,), (2, 3, 3)),
    layer_case.Case(
        "DownBlock-first",
        lambda: down_block.DownBlock(
            3, first=True, normalizer=batch_normalization.PlainBatchNormalization()
        ),
        (X,),
        (4, 6, 3),
    ),
    layer_case.Case(
        "DownBlock-identity-skip",
        lambda: down_block.DownBlock(
            5, spectral_norm=False, normalizer=statistics.InstanceStatistics()
        ),
        (X,),
        (4, 6, 5),
    ),
    layer_case.Case("ClassConditionalGenerator", class_generator, LABELS, SQUARE),
    layer_case.Case(
        "ClassConditionalGenerator-attentive-norm",
        lambda: class_generator(
            attentive_norm_block=1, attentive_norm=attentive_norm(), self_attention_block=2
        ),
        {**LABELS, "seed": layer_case.Seeds()},
        {**SQUARE, "layout": ((8, 8, 3), FLOAT)},
    ),
    layer_case.Case(
        "ClassConditionalGenerator-split-noise",
        lambda: class_generator(spectral_norm=True, embedding=class_embedding.ClassEmbedding(7, 5)),
        LABELS,
        SQUARE,
    ),
    layer_case.Case(
        "ClassConditionalGenerator-pixel-norm",
        lambda: class_generator(
            normalizer=pixel_normalization.PixelNormalization(),
            embedding=class_embedding.ClassEmbedding(7, 5, split_noise=False),
        ),
        LABELS,
        SQUARE,
    ),
    layer_case.Case(
        "ClassConditionalGenerator-without-classes",
        lambda: class_conditional.ClassConditionalGenerator(0, (8, 6, 4), noise_dim=6),
        {"noise": layer_case.Normal((6,))},
        SQUARE,
    ),
    layer_case.Case("ProjectionDiscriminator", class_discriminator, JUDGED, SCORES),
    layer_case.Case(
        "ProjectionDiscriminator-without-classes",
        lambda: projection.ProjectionDiscriminator(0, (4, 6, 6), downsample=(1, 1, 0)),
        {"image": layer_case.Normal((16, 12, 3))},
        SCORES,
    ),
    layer_case.Case(
        "ProjectionDiscriminator-attentive-norm",
        lambda: class_discriminator(
            spectral_norm=False,
            normalizer=batch_normalization.PlainBatchNormalization(),
            attentive_norm_block=1,
            attentive_norm=attentive_norm(),
            self_attention_block=2,
        ),
        {**JUDGED, "seed": layer_case.Seeds()},
        {**SCORES, "layout": ((8, 6, 3), FLOAT)},
    ),
    layer_case.Case(
        "ImageClassifier",
        lambda: classifier.ImageClassifier(7, (4, 6)),
        {"image": layer_case.Normal((16, 12, 3))},
        {"logits": ((7,), FLOAT)},
    ),
    layer_case.Case("SpadeGenerator", small_generator, {"mask": MASK}, IMAGE),
    layer_case.Case(
        "SpadeGenerator-attentive-norm",
        lambda: small_generator(
            attentive_norm_block=1, attentive_norm=attentive_norm(), self_attention_block=2
        ),
        {"mask": MASK, "seed": layer_case.Seeds()},
        {**IMAGE, "layout": ((4, 8, 3), FLOAT)},
    ),
    layer_case.Case(
        "SpadeGenerator-noise",
        lambda: small_generator(noise_dim=5, spectral_norm=False),
        {"mask": MASK, "noise": layer_case.Normal((5,))},
        IMAGE,
    ),
    layer_case.Case("StyleEncoder", small_encoder, {"image": layer_case.Normal((8, 16, 3))}, STYLE),
    layer_case.Case(
        "StyleGuidedGenerator",
        lambda: style_guided.StyleGuidedGenerator(small_generator(noise_dim=5), small_encoder()),
        {"mask": MASK, "noise": layer_case.Normal((5,)), "image": layer_case.Normal((8, 16, 3))},
        {**IMAGE, "style_mean": ((5,), FLOAT), "style_log_variance": ((5,), FLOAT)},
    ),
    layer_case.Case(
        "MultiScalePatchDiscriminator",
        lambda: patch.MultiScalePatchDiscriminator(4, depth=3),
        {"mask": layer_case.Mask((16, 24, 3)), "image": layer_case.Normal((16, 24, 3))},
        {
            "logits": [((7, 9, 1), FLOAT), ((5, 6, 1), FLOAT)],
            "features": [
                [(9, 13, 4), (5, 7, 8), (6, 8, 16)],
                [(5, 7, 4), (3, 4, 8), (4, 5, 16)],
            ],
        },
    ),
]
