"""Classes of photographs."""

from training.kinds import kind


class Classification(kind.Kind):
    """Classification: a photograph in, its class out."""

    name = "classification"
    condition = "image"
    makes_images = False
    provides = frozenset({"label"})
    network_name = "classifier"
