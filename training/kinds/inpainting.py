"""Repaired photographs."""

from training.kinds import kind


class Inpainting(kind.Kind):
    """Inpainting: a photograph and its hole in, the photograph with the hole painted out."""

    name = "inpainting"
    condition = "masked_image"
    provides = frozenset({"features", "pairs", "hole"})
    measured_stages = {
        "its coarse stage": lambda batch, generated: (
            generated["coarse"] * batch["hole"] + batch["masked_image"]
        )
    }
