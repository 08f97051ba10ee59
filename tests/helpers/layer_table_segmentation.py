"""The rows of layer_table.py for segmentation."""

from models import segmenter
from models.layers import atrous_pyramid, dilated_block
from tests.helpers import layer_case

X = layer_case.Normal((4, 6, 5))
PHOTOGRAPHS = {"image": layer_case.Normal((16, 32, 3))}
LOGITS = {"logits": ((16, 32, 3), "float32")}
CASES = [
    layer_case.Case(
        "NormalizedConvolution",
        lambda: atrous_pyramid.NormalizedConvolution(3, dilation_rate=2),
        (X,),
        (4, 6, 3),
    ),
    layer_case.Case(
        "AtrousSpatialPyramidPooling",
        lambda: atrous_pyramid.AtrousSpatialPyramidPooling(4, (1, 2)),
        (X,),
        (4, 6, 4),
    ),
    layer_case.Case("DilatedBlock", lambda: dilated_block.DilatedBlock(5), (X,), (4, 6, 5)),
    layer_case.Case(
        "DilatedBlock-downsample",
        lambda: dilated_block.DilatedBlock(3, True, dilation_rate=2),
        (X,),
        (2, 3, 3),
    ),
    layer_case.Case(
        "Segmenter",
        lambda: segmenter.Segmenter(3, (3, 4, 5, 6), blocks=1, pyramid_filters=4),
        PHOTOGRAPHS,
        LOGITS,
    ),
    layer_case.Case(
        "Segmenter-decoder",
        lambda: segmenter.Segmenter(
            3, (3, 4, 5, 5), blocks=1, output_stride=16, pyramid_filters=4, decoder=True
        ),
        PHOTOGRAPHS,
        LOGITS,
    ),
]
