"""Label maps of photographs."""

from training.kinds import kind


class Segmentation(kind.Kind):
    """Segmentation: a photograph in, the class of each of its pixels out."""

    name = "segmentation"
    condition = "image"
    makes_images = False
    provides = frozenset({"label_map"})
    network_name = "segmenter"
