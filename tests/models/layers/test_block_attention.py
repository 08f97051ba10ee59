"""Which block attention follows: numbers only."""

import types

import pytest

from models.layers import block_attention


@pytest.mark.parametrize("name", ["attentive_norm_block", "self_attention_block"])
@pytest.mark.parametrize("block", [0, 4, -1, "third", 2.5, True])
def test_a_block_is_a_number_of_a_block(name, block):
    choice = {"attentive_norm_block": None, "self_attention_block": None} | {name: block}
    with pytest.raises(ValueError, match=f"block from 1 to 3.*Received: {name}={block!r}"):
        block_attention.attach(types.SimpleNamespace(blocks=[None] * 3), **choice)
