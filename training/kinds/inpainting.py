"""Repaired photographs."""


class Inpainting:
    """Inpainting: a photograph and its hole in, the photograph with the hole painted out."""

    name = "inpainting"
    condition = "masked_image"
    makes_images = True
    provides = frozenset({"features", "pairs", "hole"})
    judge = None
