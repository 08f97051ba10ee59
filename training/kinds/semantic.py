"""Photographs from label maps."""

from training.kinds import kind


class Semantic(kind.Kind):
    """Semantic image synthesis: a label map in, a photograph out."""

    name = "semantic"
    condition = "mask"
    provides = frozenset({"features", "label_map"})
    judge = kind.Judge("segmentation", "label_map", "segment_synthetic")
