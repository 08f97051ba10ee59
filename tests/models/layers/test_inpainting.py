"""Gated convolution, contextual attention and the strided critics against NumPy float64 loops."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers import block_attention, contextual_attention, gated_convolution, strided_critics

RNG = np.random.default_rng(5)


def convolution(x, kernel, bias, stride=1, dilation=1):
    """Zero-padded so that the output has ceil(size / stride) positions, sums over single taps."""
    size = kernel.shape[0]
    shape = [-(-side // stride) for side in x.shape[1:3]]
    starts = []
    for side, count in zip(x.shape[1:3], shape, strict=True):
        starts.append(max((count - 1) * stride + (size - 1) * dilation + 1 - side, 0) // 2)
    out = np.zeros((len(x), *shape, kernel.shape[-1])) + bias
    for i, j in np.ndindex(*shape):
        for a, b in np.ndindex(size, size):
            row = i * stride - starts[0] + a * dilation
            column = j * stride - starts[1] + b * dilation
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                out[:, i, j] += x[:, row, column] @ kernel[a, b]
    return out


def weights(layer):
    return [np.asarray(variable.numpy(), "float64") for variable in layer.trainable_variables]


@pytest.mark.parametrize(("stride", "dilation", "activation"), [(1, 2, "elu"), (2, 1, None)])
def test_gated_convolution_equals_numpy(stride, dilation, activation):
    layer = gated_convolution.GatedConvolution(
        3, 5 if stride == 2 else 3, strides=stride, dilation_rate=dilation, activation=activation
    )
    x = RNG.normal(size=(2, 6, 7, 4))
    layer.build((None, None, None, 4))
    layer.convolution.bias.assign(RNG.normal(size=6))
    both = convolution(x, *weights(layer), stride, dilation)
    features, gate = both[..., :3], both[..., 3:]
    if activation == "elu":
        features = np.where(features > 0, features, np.exp(features) - 1)
    expected = features / (1 + np.exp(-gate))
    np.testing.assert_allclose(layer(x.astype("float32")), expected, atol=1e-5)


def test_a_chain_of_gated_convolutions_keeps_the_scale_of_its_input():
    keras.utils.set_random_seed(0)
    x = RNG.normal(size=(1, 16, 16, 24)).astype("float32")
    for _ in range(16):
        layer = gated_convolution.GatedConvolution(24)
        x = layer(x)
    assert 0.02 < np.std(x) < 5  # 1e-7 with Glorot's initialiser


def patch(x, row, column, size, before):
    """[size, size, C] from (row, column) - before, zeros beyond the border."""
    out = np.zeros((size, size, x.shape[-1]))
    for a, b in np.ndindex(size, size):
        i, j = row - before + a, column - before + b
        if 0 <= i < x.shape[0] and 0 <= j < x.shape[1]:
            out[a, b] = x[i, j]
    return out


def attention_of_one(x, hole, *, size=3, rate=2, scale=10.0, fuse=True, rectify=True, cosine=False):
    """Contextual attention of one image, position by position."""
    x = np.maximum(x, 0) if rectify else x
    z = x[::rate, ::rate]
    grid = list(np.ndindex(*z.shape[:2]))
    before = (size - 1) // 2
    cell = [hole.shape[axis] // z.shape[axis] for axis in (0, 1)]
    missing = np.zeros((*z.shape[:2], 1))
    for i, j in grid:
        part = hole[i * cell[0] : (i + 1) * cell[0], j * cell[1] : (j + 1) * cell[1]]
        missing[i, j] = part.max()
    patches = {p: patch(z, *p, size, before) for p in grid}
    known = [q for q in grid if patch(missing, *q, size, before).max() == 0]

    def similarity(p, q):
        if p not in patches or q not in patches:
            return 0.0
        product = (patches[p] * patches[q]).sum() / max(np.sqrt((patches[q] ** 2).sum()), 1e-4)
        return product / (np.sqrt((patches[p] ** 2).sum()) if cosine else 1.0)

    def score(p, q):
        steps = itertools.product((-1, 0, 1), repeat=2) if fuse else [(0, 0)]
        shifted = [((p[0] + a, p[1] + b), (q[0] + a, q[1] + b)) for a, b in steps]
        return sum(similarity(*pair) for pair in shifted)

    total, count = np.zeros(x.shape), np.zeros((*x.shape[:2], 1))
    for p in grid:
        logits = np.array([scale * score(p, q) for q in known])
        chosen = np.exp(logits - logits.max()) if known else logits
        piece = np.zeros((2 * rate, 2 * rate, x.shape[-1]))
        for weight, q in zip(chosen / max(chosen.sum(), 1e-9), known, strict=True):
            piece += weight * patch(x, rate * q[0], rate * q[1], 2 * rate, rate // 2)
        for a, b in np.ndindex(2 * rate, 2 * rate):
            i, j = rate * p[0] - rate // 2 + a, rate * p[1] - rate // 2 + b
            if 0 <= i < x.shape[0] and 0 <= j < x.shape[1]:
                total[i, j] += piece[a, b]
                count[i, j] += 1
    return total / count


def holes(height, width):
    """Two different holes: a rectangle, and a thin diagonal."""
    hole = np.zeros((2, height, width, 1))
    hole[0, height // 2 :, : width // 4] = 1
    hole[1, 0, 0] = hole[1, 1, 1] = 1
    return hole


@pytest.mark.parametrize(
    ("settings", "renamed", "grid", "hole_size"),
    [
        ({}, {}, (8, 6), (32, 24)),
        ({"fuse": False, "normalize_queries": True}, {"cosine": True}, (6, 8), (6, 8)),
        ({"patch_size": 1, "rate": 1, "rectify": False, "softmax_scale": 2.0}, {}, (4, 5), (8, 5)),
        ({"patch_size": 2, "rate": 3, "fuse": False}, {}, (6, 9), (2, 3)),
        ({"patch_size": 4, "rate": 2}, {}, (2, 4), (4, 4)),
    ],
)
def test_contextual_attention_equals_numpy(settings, renamed, grid, hole_size):
    layer = contextual_attention.ContextualAttention(**settings)
    x, hole = RNG.normal(size=(2, *grid, 3)), holes(*hole_size)
    names = {"patch_size": "size", "softmax_scale": "scale"}
    same = {names.get(k, k): v for k, v in settings.items() if k != "normalize_queries"}
    expected = [attention_of_one(x[i], hole[i], **same, **renamed) for i in (0, 1)]
    result = layer(x.astype("float32"), hole.astype("float32"))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=2e-5)


def test_contextual_attention_copies_nothing_out_of_the_hole_and_fills_it_from_the_known_part():
    x = RNG.uniform(1, 2, size=(2, 16, 16, 3)).astype("float32")
    hole = np.zeros((2, 16, 16, 1), "float32")
    hole[0, 4:10, 4:10], hole[1, 8:] = 1, 1
    layer = contextual_attention.ContextualAttention()
    spoiled = np.where(hole == 1, 1e3, x)
    # Patches within reach of the hole are excluded as well, so values stay those of known pixels.
    assert np.max(layer(spoiled, hole)) <= 2.0 + 1e-4
    alone = layer(x[1:], hole[1:])
    np.testing.assert_allclose(layer(x, hole)[1:], alone, atol=1e-5)


def test_contextual_attention_without_a_known_patch_is_zero_and_differentiable():
    x = tf.zeros((1, 4, 4, 2))
    layer = contextual_attention.ContextualAttention()
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, tf.ones((1, 4, 4, 1)))
    np.testing.assert_array_equal(y, np.zeros((1, 4, 4, 2)))
    assert np.isfinite(tape.gradient(y, x)).all()


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_sharp_attention_over_a_known_map_returns_the_map_up_to_the_border(rate):
    """No normalised patch has a larger product with a patch than that patch itself."""
    x = RNG.uniform(size=(1, 8, 12, 9)).astype("float32")
    layer = contextual_attention.ContextualAttention(rate=rate, softmax_scale=1e4, fuse=False)
    np.testing.assert_allclose(layer(x, np.zeros((1, 8, 12, 1), "float32")), x, atol=1e-4)


def test_block_attention_hands_the_hole_on():
    layer = contextual_attention.ContextualAttention()
    x, hole = RNG.normal(size=(2, 8, 8, 3)).astype("float32"), holes(16, 16).astype("float32")
    attended, extras = block_attention.attend(layer, x, {"hole": hole}, training=True)
    assert extras == {}
    np.testing.assert_array_equal(attended, layer(x, hole))


@pytest.mark.parametrize(("size", "hole_size"), [((8, 7), (8, 8)), ((8, 8), (8, 9))])
def test_contextual_attention_refuses_sizes_that_do_not_divide(size, hole_size):
    layer = contextual_attention.ContextualAttention()
    with pytest.raises(ValueError, match=r"multiples of 2, the rate.*Received: x of \(8, "):
        layer(np.zeros((1, *size, 2), "float32"), np.zeros((1, *hole_size, 1), "float32"))


@pytest.mark.parametrize("settings", [{"patch_size": 0}, {"rate": 0}])
def test_contextual_attention_refuses_empty_patches(settings):
    with pytest.raises(ValueError, match="at least 1. Received: patch_size="):
        contextual_attention.ContextualAttention(**settings)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def test_strided_critics_equal_numpy():
    image = RNG.normal(size=(2, 12, 9, 3))
    hole = np.zeros((2, 12, 9, 1))
    hole[0, 3:8, 4:], hole[1, 11, 0] = 1, 1
    whole, patches = strided_critics.WholeCritic((4, 5)), strided_critics.HoleCritic((4, 5))
    whole.build((None, 12, 9, 3))
    patches.build((None, 12, 9, 3))
    of_whole = whole(image.astype("float32"))
    of_hole = patches(image.astype("float32"), hole.astype("float32"))

    first = leaky(convolution(image, *weights(whole)[:2], 2))
    second = leaky(convolution(first, *weights(whole)[2:4], 2))
    for actual, expected in zip(of_whole["features"], (first, second), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5)
    kernel, bias = weights(whole)[4:]
    expected = second.reshape(2, -1) @ kernel + bias
    np.testing.assert_allclose(of_whole["score"], expected, atol=1e-5)

    first = leaky(convolution(image, *weights(patches)[:2], 2))
    second = leaky(convolution(first, *weights(patches)[2:4], 2))
    scores = convolution(second, *weights(patches)[4:], 2)  # [2, 2, 2, 1]; cells of 8 x 8 pixels
    rows, columns = slice(0, 1), slice(0, 2)
    expected = [scores[0, rows, columns].mean(), scores[1, 1, 0, 0]]
    np.testing.assert_allclose(of_hole["score"][:, 0], expected, atol=1e-5)


def test_a_hole_critic_without_a_hole_says_nothing():
    critic = strided_critics.HoleCritic((4,))
    image = RNG.normal(size=(1, 8, 8, 3)).astype("float32")
    assert critic(image, np.zeros((1, 8, 8, 1), "float32"))["score"] == 0


def test_impossible_critics_are_refused():
    with pytest.raises(ValueError, match="at least one convolution. Received: channels="):
        strided_critics.StridedConvolutions(())
    with pytest.raises(ValueError, match=r"at least 16 px.*Received: \(H, W\)=\(32, 15\)"):
        strided_critics.StridedConvolutions((4, 4, 4, 4)).build((None, 32, 15, 3))
