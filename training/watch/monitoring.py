"""Scalars and pictures that show what the attention layers of a network do."""

import colorsys

import tensorflow as tf

SHARE = "entity_share_"


def layout_scalars(layout: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a soft layout looks like.

    Args:
        layout: float32 [B, H, W, n], sums to 1 over the last axis.

    Returns:
        "mask_entropy": mean entropy of a position, from 0 (hard) to ln n (uniform);
        "entity_share_00", ...: mean mask of each entity; they sum to 1.
    """
    layout = tf.stop_gradient(layout)
    entropy = -tf.reduce_sum(tf.math.xlogy(layout, layout), axis=-1)
    shares = tf.unstack(tf.reduce_mean(layout, axis=[0, 1, 2]))
    return {"mask_entropy": tf.reduce_mean(entropy)} | {
        f"{SHARE}{index:02d}": share for index, share in enumerate(shares)
    }


def scalars(owner: str, network, outputs: dict) -> dict[str, tf.Tensor]:
    """`layout_scalars` of the network's "layout" and what its layers call `monitored()`.

    The names are "g/rho" and so on for the owner "g"; the shares, a curve for each entity, have a
    group to themselves, "entity_share/g_00".
    """
    values = layout_scalars(outputs["layout"]) if "layout" in outputs else {}
    for layer in network._flatten_layers():
        if hasattr(layer, "monitored"):
            values |= {name: tf.stop_gradient(value) for name, value in layer.monitored().items()}
    return {_tag(owner, name): value for name, value in values.items()}


def _tag(owner, name) -> str:
    if name.startswith(SHARE):
        return f"entity_share/{owner}_{name.removeprefix(SHARE)}"
    return f"{owner}/{name}"


def overlay(image: tf.Tensor, layout: tf.Tensor) -> tf.Tensor:
    """The image half covered by its soft layout, a hue for each entity; uniform masks are grey.

    Args:
        image: float32 [B, H, W, 3] in [-1, 1].
        layout: float32 [B, h, w, n], brought to H x W by nearest neighbour.

    Returns:
        float32 [B, H, W, 3] in [-1, 1].
    """
    count = layout.shape[-1]
    hues = [colorsys.hsv_to_rgb(index / count, 1.0, 1.0) for index in range(count)]
    tint = tf.tensordot(layout, 2.0 * tf.constant(hues) - 1.0, axes=1)
    return 0.5 * image + 0.5 * tf.image.resize(tint, image.shape[1:3], method="nearest")


def mask_tiles(layout: tf.Tensor) -> dict[str, tf.Tensor]:
    """Each entity's mask in grey, by its number; white is the largest mask value of the item.

    Ratios are kept: near-uniform masks are near-uniform grey.

    Args:
        layout: float32 [B, h, w, n].

    Returns:
        "00", "01", ...: float32 [B, h, w, 3] in [-1, 1].
    """
    grey = 2.0 * layout / tf.reduce_max(layout, axis=[1, 2, 3], keepdims=True) - 1.0
    return {
        f"{index:02d}": tf.repeat(mask[..., None], 3, axis=-1)
        for index, mask in enumerate(tf.unstack(grey, axis=-1))
    }


def preview_columns(
    outputs: dict[str, tf.Tensor], title: str, stages: tuple[str, ...] = ()
) -> dict[str, tf.Tensor]:
    """All that a generator returns, as columns of a sheet: earlier stages, the image, the layout.

    Args:
        outputs: "image"; "layout" if there is one, as for `overlay`; the stages.
        title: of the column of the image.
        stages: outputs before the image.

    Returns:
        column title -> float32 [B, H, W, 3] in [-1, 1]. The layout is laid over the image, and its
        masks are a sheet of their own, "masks/00", ...
    """
    image, layout = outputs["image"], outputs.get("layout")
    columns = {stage: outputs[stage] for stage in stages} | {title: image}
    if layout is not None:
        tiles = {f"masks/{number}": tile for number, tile in mask_tiles(layout).items()}
        columns |= {"layout": overlay(image, layout)} | tiles
    return columns
