"""Images of a class."""

from training.kinds import kind


class ClassConditional:
    """Class-conditional generation: a class and noise in, an image out."""

    name = "class-conditional"
    condition = "label"
    makes_images = True
    provides = frozenset({"features", "label"})
    judge = kind.Judge("classification", "label", "classify_synthetic")
