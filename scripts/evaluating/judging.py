"""What figures of a judge are worth, and when they are not to be believed."""

WEAK = 0.5  # mean IoU or accuracy on real images, below which a judge is called weak
MISSED = 0.005  # a class whose figure rounds to 0.00
FEW = 100  # images, with fewer of which chance decides small differences
SUMMARIES = {"mean_iou": "iou/", "class_accuracy": "class_accuracy/"}


def warnings(figures: dict, fewest: int) -> list[str]:
    """Sentences about a judge's figures.

    Args:
        figures: {column: {name: value, NaN or None}}; the columns "real" and "generated" are read.
        fewest: images, real or generated, whichever are fewer.
    """
    said, real, made = [], figures.get("real", {}), figures.get("generated", {})
    for name, of_class in SUMMARIES.items():
        ceiling, reached = real.get(name), made.get(name)
        if ceiling is not None and ceiling < WEAK:
            said.append(
                f"Warning: the judge is weak. On real images its {name} is {ceiling:.3f}; what it "
                "says of generated ones is little more. Train it longer or on more data."
            )
        missed = [
            figure.removeprefix(of_class)
            for figure, value in real.items()
            if figure.startswith(of_class) and value is not None and value < MISSED
        ]
        if missed:
            said.append(
                f"Warning: on real images the judge finds nothing of {', '.join(missed)}: figures "
                "of these say nothing, and they lower every mean."
            )
        if ceiling is not None and reached is not None and reached > ceiling:
            said.append(
                f"Warning: generated images have a better {name} than real ones, {reached:.3f} "
                f"against {ceiling:.3f}. They are easier for the judge, not better: compare runs "
                "by a distance of features as well."
            )
    if fewest < FEW and any(name in made for name in SUMMARIES):
        said.append(
            f"Warning: {fewest} images are few; differences of some hundredths may be chance."
        )
    return said
