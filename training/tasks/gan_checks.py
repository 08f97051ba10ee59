"""Networks, loss terms and data that do not go together, refused before hours are spent."""

import keras

NETWORKS = ("generator", "discriminator")
UPDATE_ORDERS = ("d_then_g", "g_then_d")


def check_settings(update_order: str, discriminator_steps: int, optimizers: dict | None) -> None:
    """Refuses settings of the task itself.

    Raises:
        ValueError: an unknown order, no discriminator step, optimizers of others than the two
            networks.
    """
    if update_order not in UPDATE_ORDERS:
        raise ValueError(
            f"update_order must be one of {UPDATE_ORDERS}. Received: update_order={update_order!r}"
        )
    if discriminator_steps < 1:
        raise ValueError(
            "discriminator_steps must be at least 1. Received: "
            f"discriminator_steps={discriminator_steps}"
        )
    if optimizers is not None and set(optimizers) != set(NETWORKS):
        raise ValueError(
            f"Expected an optimizer for each of {NETWORKS}. Received: optimizers of "
            f"{sorted(optimizers)}"
        )


def check_before_build(generator, discriminator, spec, *, sample_labels: bool, augment) -> None:
    """Compares what networks, data and settings say about sizes and classes.

    Args:
        generator, discriminator: networks; `num_classes` and the generator's `image_size` are
            compared where they have them.
        spec: TensorSpec of each batch entry.
        sample_labels: whether classes are drawn for the fakes.
        augment: the task's augmentation or None.

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
    maps = [k for k in discriminator.input_keys if k != "image" and k in spec
            and len(spec[k].shape) > 2]  # fmt: skip
    if maps and getattr(augment, "moves_pixels", False):
        raise ValueError(
            "Expected an augmentation that keeps pixels in place for a discriminator that compares "
            f"the image with {maps}. Received: {type(augment).__name__} that moves pixels. Set its "
            "translation and cutout to 0."
        )


def check_terms(discriminator, terms: dict) -> None:
    """Refuses loss terms that do not go with the discriminator.

    Args:
        discriminator: a built network.
        terms: the discriminator's loss terms by name. `reads` names the batch entries that a term
            takes from what the discriminator reads; `forbids_batch_statistics` says that it
            penalises a gradient image by image.

    Raises:
        ValueError: the discriminator does not read such an entry, or has batch statistics.
    """
    for name, term in terms.items():
        missing = [key for key in getattr(term, "reads", ()) if key not in discriminator.input_keys]
        if missing:
            raise ValueError(
                f"Expected a discriminator that reads {missing}, as the loss term {name!r}, "
                f"{type(term).__name__}, does. Received: {type(discriminator).__name__}, which "
                f"reads {tuple(discriminator.input_keys)}. Choose another discriminator or loss."
            )
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
