"""Classes of photographs."""

from training.kinds import kind


class Classification(kind.Kind):
    """Classification: a photograph in, its class out."""

    configurable = True

    name = "classification"
    condition = "image"
    makes_images = False
    pictured = None
    provides = frozenset({"label"})
    classes = "label"
    network_name = "classifier"
