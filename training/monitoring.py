"""Scalars and pictures that show what the attention layers of a network do."""

import colorsys

import tensorflow as tf


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
        f"entity_share_{index:02d}": share for index, share in enumerate(shares)
    }


def scalars(network, outputs: dict) -> dict[str, tf.Tensor]:
    """`layout_scalars` of the network's "layout" and what its layers call `monitored()`."""
    values = layout_scalars(outputs["layout"]) if "layout" in outputs else {}
    for layer in network._flatten_layers():
        if hasattr(layer, "monitored"):
            values |= {name: tf.stop_gradient(value) for name, value in layer.monitored().items()}
    return values


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
