"""The rows of layer_table.py for inpainting: layers, generators, critics."""

import dataclasses

import numpy as np

from models.discriminators import inpainting as inpainting_critics
from models.discriminators import sn_patch
from models.generators import inpainting
from models.layers import contextual_attention, gated_convolution, strided_critics
from tests.helpers import layer_case, layer_table

FLOAT = "float32"
X = layer_case.Normal((4, 6, 5))


@dataclasses.dataclass(frozen=True)
class Hole(layer_case.Normal):
    """A rectangle of ones in zeros for each image; shape (H, W, 1)."""

    def sample(self, rng, batch):
        holes = np.zeros((batch, *self.shape), "float32")
        for hole in holes:
            top, left = (rng.integers(0, side - 2) for side in self.shape[:2])
            hole[top : top + self.shape[0] // 2, left : left + self.shape[1] // 2] = 1
        return holes


HOLED = {"masked_image": layer_case.Normal((16, 24, 3)), "hole": Hole((16, 24, 1))}
PAINTED = {key: ((16, 24, 3), FLOAT) for key in ("image", "coarse", "refined")}
REVIEWED = {"image": layer_case.Normal((16, 24, 3)), "hole": Hole((16, 24, 1))}
WHOLE = [(8, 12, 4), (4, 6, 5)]
CASES = [
    layer_case.Case(
        "GatedConvolution",
        lambda: gated_convolution.GatedConvolution(3, 5, strides=2),
        (X,),
        (2, 3, 3),
        training_argument=False,
    ),
    layer_case.Case(
        "GatedConvolution-dilated",
        lambda: gated_convolution.GatedConvolution(3, dilation_rate=2, activation=None),
        (X,),
        (4, 6, 3),
        training_argument=False,
    ),
    layer_case.Case(
        "ContextualAttention",
        contextual_attention.ContextualAttention,
        (layer_case.Normal((8, 6, 5)), Hole((16, 24, 1))),
        (8, 6, 5),
        training_argument=False,
    ),
    layer_case.Case(
        "ContextualAttention-cosine",
        lambda: contextual_attention.ContextualAttention(
            2, rate=1, softmax_scale=3.0, fuse=False, rectify=False, normalize_queries=True
        ),
        (X, Hole((4, 6, 1))),
        (4, 6, 5),
        training_argument=False,
    ),
    layer_case.Case(
        "StridedConvolutions",
        lambda: strided_critics.StridedConvolutions((4, 5)),
        (layer_case.Normal((16, 24, 3)),),
        WHOLE,
    ),
    layer_case.Case(
        "WholeCritic",
        lambda: strided_critics.WholeCritic((4, 5), spectral_norm=True),
        (layer_case.Normal((16, 24, 3)),),
        {"score": ((1,), FLOAT), "features": WHOLE},
    ),
    layer_case.Case(
        "HoleCritic",
        lambda: strided_critics.HoleCritic((4, 5), spectral_norm=True),
        tuple(REVIEWED.values()),
        {"score": ((1,), FLOAT), "features": WHOLE},
    ),
    layer_case.Case(
        "InpaintingGenerator-attentive-norm",
        lambda: inpainting.InpaintingGenerator(
            2, attention=layer_table.attentive_norm(affine=False)
        ),
        {**HOLED, "seed": layer_case.Seeds()},
        {**PAINTED, "layout": ((4, 6, 3), FLOAT)},
    ),
    layer_case.Case(
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
    layer_case.Case(
        "GlobalLocalCritics",
        lambda: inpainting_critics.GlobalLocalCritics((4, 5), local_channels=(3,)),
        REVIEWED,
        {"logits": [((1,), FLOAT)] * 2, "features": [WHOLE, [(4, 6, 3)]]},
    ),
    layer_case.Case(
        "GlobalPatchCritics",
        lambda: inpainting_critics.GlobalPatchCritics((4, 5), patch_channels=(3,)),
        REVIEWED,
        {"logits": [((1,), FLOAT)] * 2, "features": [WHOLE, [(8, 12, 3)]]},
    ),
    layer_case.Case(
        "SNPatchDiscriminator",
        lambda: sn_patch.SNPatchDiscriminator((4, 5)),
        REVIEWED,
        {"logits": [((4, 6, 5), FLOAT)], "features": [[(8, 12, 4)]]},
    ),
]
