"""Images of a class."""

from training.kinds import kind


class ClassConditional(kind.Kind):
    """Class-conditional generation: a class and noise in, an image out."""

    name = "class-conditional"
    condition = "label"
    provides = frozenset({"features", "label"})
    judge = kind.Judge("classification", "label", "classify_synthetic")

    def evaluation_inputs(self, num_images, batch_size, image_class_names) -> list[dict]:
        """Every class equally often, up to one."""
        count, num_images = len(image_class_names), num_images or kind.DEFAULT_NUM_IMAGES
        if num_images < count:
            raise ValueError(
                f"Expected at least one image for each of the {count} classes. Received: "
                f"num_images={num_images}."
            )
        return [
            {"label": numbers % count, "valid": valid}
            for numbers, valid in kind.numbered(num_images, batch_size)
        ]
