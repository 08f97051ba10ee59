"""Classes of photographs."""


class Classification:
    """Classification: a photograph in, its class out."""

    name = "classification"
    condition = "image"
    makes_images = False
    provides = frozenset({"label"})
    judge = None
