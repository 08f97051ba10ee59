"""What the curves of a run mean, as TensorBoard shows beside them."""

import fnmatch

SCALARS = {
    "d/accuracy_*": "Share of images that the discriminator gets right, on this side.",
    "d/logit_*": "Mean of what the discriminator says of these images; the higher, the more real.",
    "[dg]/total": "All that this network minimises, with weights.",
    "[dg]/adversarial": "The adversarial loss of this network, without weight.",
    "[dg]/*": "A term or a state of this network (d: discriminator, g: generator), without weight.",
    "loss/*": "What the network minimises; the total is with weights.",
    "accuracy": "Share of training targets of a step that are predicted right.",
    "gradient_norm/*": "Norm of the gradient of the mean loss of each update.",
    "update_ratio/*": "How far the weights went since the last log, over their size, per step.",
    "learning_rate/*": "Learning rate at the step.",
    "entity_share/*": "Mean share of the image that an entity of the layout takes.",
    "speed/*": "Training images in a second, without the first call.",
    "eval/overfitting": "Where unseen photographs lie for the discriminator: 0 = with those it was "
    "trained on, 1 = with generated ones.",
    "eval/*diversity*": "How much generated images differ, over how much photographs do.",
    "eval/nearest_training_ratio": "Distance of generated images from training photographs, over "
    "that between training photographs: 0 = copies.",
    "eval/*_train": "The same figure on as many training items.",
    "eval/*_gap": "How much more the figure is on the validation split than on training items.",
    "eval/*": "A figure of the averaged weights on the validation split.",
}


def of(name: str) -> str | None:
    """The description of a curve; the first pattern that fits, None without one."""
    fitting = (text for pattern, text in SCALARS.items() if fnmatch.fnmatchcase(name, pattern))
    return next(fitting, None)


def table(values: dict[str, float]) -> str:
    """Figures as a table in Markdown."""
    rows = (f"| {name} | {value:.4g} |" for name, value in values.items())
    return "\n".join(["| figure | value |", "|---|---|", *rows])
