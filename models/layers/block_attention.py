"""Attention on the sum of one residual block, before the next block's norm and activation."""

import keras

from models.layers import (
    attentive_normalization,
    contextual_attention,
    self_attention,
    settings,
)


def attach(network, attentive_norm_block, self_attention_block, attentive_norm=None) -> None:
    """Keeps a network's settings of attention, and the layers after its `blocks` as `attention`.

    Args:
        network: with `blocks`; of its `attention` a block without such a layer has None.
        attentive_norm_block: int from 1, the block that attentive normalisation follows, or None.
        self_attention_block: int from 1, the block that self-attention follows, or None.
        attentive_norm: AttentiveNormalization, a template; None has the default settings.

    Raises:
        ValueError: a block that does not exist, or one block for both.
    """
    network.attentive_norm_block = attentive_norm_block
    network.self_attention_block = self_attention_block
    settings.keep_template(network, "attentive_norm", attentive_norm)
    after = [None] * len(network.blocks)
    for name in ("attentive_norm_block", "self_attention_block"):
        block = getattr(network, name)
        number = isinstance(block, int) and not isinstance(block, bool)
        if block is not None and not (number and 1 <= block <= len(after)):
            raise ValueError(
                f"Expected a block from 1 to {len(after)}, or null for none. Received: "
                f"{name}={block!r}."
            )
    if attentive_norm_block is not None and attentive_norm_block == self_attention_block:
        raise ValueError(
            "Expected different blocks for attentive normalisation and self-attention. Received: "
            f"{attentive_norm_block} for both. Set one of them to null."
        )
    if attentive_norm_block is not None:
        template = attentive_norm or attentive_normalization.AttentiveNormalization()
        layer = settings.fresh_copy(template, name="attentive_norm")
        after[attentive_norm_block - 1] = layer
    if self_attention_block is not None:
        after[self_attention_block - 1] = self_attention.SelfAttention(name="self_attention")
    network.attention = after


def input_keys(attentive_norm_block) -> tuple[str, ...]:
    """Returns what attentive normalisation adds to a network's `input_keys`."""
    return () if attentive_norm_block is None else ("seed",)


def attend(layer, x, inputs, training) -> tuple[keras.KerasTensor, dict]:
    """Applies an attention layer, such as `attach` put after a block.

    Args:
        layer: AttentiveNormalization, SelfAttention, ContextualAttention or None.
        x: float [B, H, W, C].
        inputs: the network's inputs; attentive normalisation reads "seed" when training,
            contextual attention "hole".
        training: bool.

    Returns:
        (x, extras): the result, and {"layout": [B, H, W, n]} of attentive normalisation or {}.
    """
    if layer is None:
        return x, {}
    if isinstance(layer, self_attention.SelfAttention):
        return layer(x, training=training), {}
    if isinstance(layer, contextual_attention.ContextualAttention):
        return layer(x, inputs["hole"]), {}
    result = layer(x, inputs.get("seed") if training else None, training=training)
    return result["outputs"], {"layout": result["layout"]}
