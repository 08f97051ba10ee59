"""Label maps of photographs."""


class Segmentation:
    """Segmentation: a photograph in, the class of each of its pixels out."""

    name = "segmentation"
    condition = "image"
    makes_images = False
    provides = frozenset({"label_map"})
    judge = None
