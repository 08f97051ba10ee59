"""Photographs from label maps."""

from training.kinds import kind


class Semantic:
    """Semantic image synthesis: a label map in, a photograph out."""

    name = "semantic"
    condition = "mask"
    makes_images = True
    provides = frozenset({"features", "label_map"})
    judge = kind.Judge("segmentation", "label_map", "segment_synthetic")
