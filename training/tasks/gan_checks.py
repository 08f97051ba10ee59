"""Networks, loss terms and data that do not go together, refused before hours are spent."""

import keras

NETWORKS = ("generator", "discriminator")
UPDATE_ORDERS = ("d_then_g", "g_then_d")


def check_settings(
    update_order: str, discriminator_steps: int, accumulate_steps: int, optimizers: dict | None
) -> None:
    """Refuses settings of the task itself.

    Raises:
        ValueError: an unknown order, no discriminator step or micro-batch, optimizers of others
            than the two networks.
    """
    if update_order not in UPDATE_ORDERS:
        raise ValueError(
            f"update_order must be one of {UPDATE_ORDERS}. Received: update_order={update_order!r}"
        )
    counts = {"discriminator_steps": discriminator_steps, "accumulate_steps": accumulate_steps}
    if wrong := {name: count for name, count in counts.items() if count < 1}:
        raise ValueError(f"{' and '.join(counts)} must be at least 1. Received: {wrong}")
    if optimizers is not None and set(optimizers) != set(NETWORKS):
        raise ValueError(
            f"Expected an optimizer for each of {NETWORKS}. Received: optimizers of "
            f"{sorted(optimizers)}"
        )


def check_before_build(generator, discriminator, spec, objective, sample_labels: bool) -> None:
    """Compares what networks, data and settings say about sizes and classes.

    Args:
        generator, discriminator: networks; `num_classes` and the generator's `image_size` are
            compared where they have them.
        spec: TensorSpec of each batch entry.
        objective: the task's Objective, of which augmentation and needs are compared.
        sample_labels: whether classes are drawn for the fakes.

    Raises:
        ValueError: something does not fit; it is named.
    """
    counts = {
        name: network.num_classes
        for name, network in (("generator", generator), ("discriminator", discriminator))
        if hasattr(network, "num_classes")
    }
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"Expected the same number of classes in both networks. Received: {counts}. Set "
            "num_classes of both to that of the data."
        )
    if sample_labels and (not counts.get("generator") or "label" not in spec):
        raise ValueError(
            "sample_labels needs a generator with num_classes and data with labels. Received: "
            f"{type(generator).__name__}, data with {tuple(spec)}. Set sample_labels=false."
        )
    made, given = getattr(generator, "image_size", None), spec.get("image")
    if made and given is not None and tuple(given.shape[1:3]) != tuple(made):
        raise ValueError(
            f"Expected images of {tuple(made)} (height, width), the size the generator makes. "
            f"Received: data of {tuple(given.shape[1:3])}. Change the image size of the data, or "
            "the number of the generator's blocks: each doubles the size."
        )
    check_inputs(discriminator, spec, objective)


def check_inputs(discriminator, spec, objective) -> None:
    """Refuses terms that read what is not there, and an augmentation that moves a part of it.

    Raises:
        ValueError: the data lack an entry that a term needs of the discriminator's inputs; pixels
            are moved that are compared with others that are not.
    """
    compared = {key for key in discriminator.input_keys if key in spec}
    for part in (*objective.parts("generator"), *objective.parts("discriminator")):
        needs = (need.split(".") for need in part.needs)
        keys = {need[2] for need in needs if len(need) == 3 and need[1] == "inputs"}
        if missing := sorted(keys - set(spec)):
            raise ValueError(
                f"Expected data with {missing}, as the loss term {part.name!r}, "
                f"{type(part.call).__name__}, reads. Received: data with {tuple(spec)}. Choose "
                "other data or another loss."
            )
        compared |= keys
    maps = {key for key in compared if len(spec[key].shape) > 2}
    moved = maps & set(getattr(objective.augment, "moves", ()))
    if moved and maps - moved:
        raise ValueError(
            "Expected an augmentation that keeps pixels in place, or moves every map along, where "
            f"the image is compared with {sorted(maps - moved)}. Received: "
            f"{type(objective.augment).__name__} that moves pixels of {sorted(moved)}. Choose "
            "another one, such as losses.differentiable_augmentation.DifferentiableAugmentation."
        )


def check_terms(discriminator, terms: dict) -> None:
    """Refuses loss terms that do not go with the discriminator.

    Args:
        discriminator: a built network.
        terms: the discriminator's loss terms by name.

    Raises:
        ValueError: a term forbids batch statistics, and the discriminator has some.
    """
    penalties = [n for n, term in terms.items() if getattr(term, "forbids_batch_statistics", False)]
    layers = [
        layer.path
        for layer in discriminator._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if penalties and layers:
        raise ValueError(
            "Expected a discriminator without batch statistics, since a gradient penalty holds for "
            "each image on its own, and batch normalisation makes its score depend on its "
            f"batch-mates. Received: terms {penalties} with {layers}. Set the discriminator's "
            "normalizer to null, or choose another loss."
        )


def check_ramp(ramp, generator) -> None:
    """Raises ValueError for a conditioning ramp that is no two steps, or without classes."""
    if ramp is None:
        return
    numbers = len(ramp) == 2 and all(type(step) is int for step in ramp)
    if not numbers or not 0 <= ramp[0] < ramp[1]:
        raise ValueError(
            "conditioning_ramp must be two steps, the first from 0 on and below the last, or null. "
            f"Received: conditioning_ramp={list(ramp)}"
        )
    if not getattr(generator, "num_classes", 0):
        raise ValueError(
            "conditioning_ramp is for generators by class. Received: conditioning_ramp="
            f"{list(ramp)} for {type(generator).__name__}. Set it to null."
        )
