"""The inpainting networks in numbers: published layouts, known pixels, crops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import gradient_penalty, term
from models.discriminators import inpainting as critics
from models.discriminators import sn_patch
from models.generators import inpainting
from models.layers import attentive_normalization, contextual_attention, self_attention

RNG = np.random.default_rng(1)

# (kernel, channels) of the published convolutions at 32 channels, in order; size changes omitted.
COARSE = [(5, 32), (3, 64), (3, 64), *[(3, 128)] * 9, (3, 64), (3, 64), (3, 32), (3, 16), (3, 3)]
BRANCH_A = [(5, 32), (3, 64), (3, 64), *[(3, 128)] * 7]
BRANCH_B = [(5, 32), (3, 64), (3, 64), *[(3, 128)] * 5]
DECODER = [(3, 128), (3, 128), (3, 64), (3, 64), (3, 32), (3, 16), (3, 3)]
# DeepFill v2 at its 48: half of the channels that its code counts, which are before the gate.
GATED_COARSE = [(k, c * 3 // 4) for k, c in COARSE[:-1]]
GATED_A = [(5, 24), (3, 24), (3, 48), (3, 48), *[(3, 96)] * 6]
GATED_B = [(5, 24), (3, 24), (3, 48), (3, 96), *[(3, 96)] * 4]
GATED_DECODER = [(3, 96), (3, 96), (3, 48), (3, 48), (3, 24), (3, 12)]


def parameters(table, channels, factor=1):
    """Kernels and biases of a chain of convolutions whose outputs are `factor` times as wide."""
    total = 0
    for kernel, filters in table:
        total += (kernel**2 * channels + 1) * factor * filters
        channels = filters
    return total


def count(layers):
    if not isinstance(layers, list):
        layers = [layers]
    return sum(int(np.prod(v.shape)) for layer in layers for v in layer.trainable_variables)


def batch(height=16, width=24, size=2, seed=True):
    image = RNG.uniform(-1, 1, (size, height, width, 3)).astype("float32")
    hole = np.zeros((size, height, width, 1), "float32")
    hole[0, 2:9, 5:20] = 1
    hole[1:, height // 2 :, : width // 3] = 1
    inputs = {"masked_image": image * (1 - hole), "hole": hole}
    if seed:
        inputs["seed"] = RNG.integers(0, 99, (size, 2)).astype("int32")
    return image, inputs


def shapes(inputs):
    return {key: (None, *value.shape[1:]) for key, value in inputs.items()}


def test_parameters_of_the_generator_with_attentive_normalization():
    attention = attentive_normalization.AttentiveNormalization(affine=False)
    network = inpainting.InpaintingGenerator(attention=attention)
    network.build({"masked_image": (None, 256, 256, 3), "hole": (None, 256, 256, 1)})
    coarse = parameters(COARSE, 5)
    # W, k, q, v, one t per entity, rho.
    of_attention = 16 * 128 + 2 * 128 * 16 + 128 * 128 + 16 + 1
    refinement = parameters(BRANCH_A, 5) + parameters(BRANCH_B, 5) + parameters(DECODER, 256)
    assert count(network.coarse) == coarse
    assert count(network.attention_layer) == of_attention
    assert count(network) == coarse + refinement + of_attention
    assert round(count(network) / 1e6, 2) == 3.79


def test_parameters_of_the_gated_generator_are_those_of_deepfill_2():
    network = inpainting.InpaintingGenerator(
        24,
        attention=contextual_attention.ContextualAttention(),
        gated=True,
        hole_in_refinement=False,
        narrow_refinement=True,
    )
    network.build({"masked_image": (None, 256, 256, 3), "hole": (None, 256, 256, 1)})
    image = 9 * 12 * 3 + 3  # not gated
    chains = ((GATED_A, 3), (GATED_B, 3), (GATED_DECODER, 192))
    coarse = parameters(GATED_COARSE, 5, 2) + image
    refinement = sum(parameters(table, channels, 2) for table, channels in chains) + image
    assert count(network.coarse) == coarse
    assert count(network) == coarse + refinement
    assert round(count(network) / 1e6, 1) == 4.1  # as the paper says


def test_the_arms_differ_in_the_attention_alone():
    _, inputs = batch()
    chains = ("coarse", "branch_a", "branch_b", "after_attention", "decoder")
    plain = inpainting.InpaintingGenerator(2)
    plain.build(shapes(inputs))
    expected = plain(inputs)["refined"]
    for attention, starts_alike in (
        (attentive_normalization.AttentiveNormalization(affine=False), True),
        (self_attention.SelfAttention(), True),
        (contextual_attention.ContextualAttention(), False),
    ):
        network = inpainting.InpaintingGenerator(2, attention=attention)
        network.build(shapes(inputs))
        for name in chains:
            pairs = zip(getattr(network, name), getattr(plain, name), strict=True)
            for layer, other in pairs:
                layer.set_weights(other.get_weights())
        distance = np.abs(network(inputs)["refined"] - expected).max()
        # The gates of the first two start at 0: the arms start as the same function.
        assert distance < 1e-6 if starts_alike else distance > 1e-6


@pytest.mark.parametrize(
    ("policy", "gated"),
    [("float32", False), ("mixed_bfloat16", False), ("mixed_float16", True)],
)
def test_known_pixels_pass_bit_for_bit(policy, gated):
    keras.config.set_dtype_policy(policy)
    attention = attentive_normalization.AttentiveNormalization(4, affine=False)
    network = inpainting.InpaintingGenerator(2, attention=attention, gated=gated)
    image, inputs = batch()
    outputs = network(inputs, training=True)
    hole = inputs["hole"]
    known = np.broadcast_to(hole == 0, image.shape)
    np.testing.assert_array_equal(outputs["image"].numpy()[known], image[known])
    np.testing.assert_array_equal(
        outputs["image"].numpy()[~known], outputs["refined"].numpy()[~known]
    )
    for key in ("image", "coarse", "refined"):
        assert outputs[key].dtype == "float32" and np.abs(outputs[key]).max() <= 1


def test_other_sizes_than_the_one_it_was_built_for():
    attention = contextual_attention.ContextualAttention()
    network = inpainting.InpaintingGenerator(2, attention=attention, image_activation="tanh")
    assert network.input_keys == ("masked_image", "hole")
    network.build(shapes(batch(seed=False)[1]))
    for size in ((8, 8), (24, 16)):
        assert network(batch(*size, seed=False)[1])["image"].shape == (2, *size, 3)


def test_the_refinement_sees_the_pasted_coarse_image():
    """Changing the coarse image changes the refined one, by its hole alone."""
    network = inpainting.InpaintingGenerator(2, hole_in_refinement=False)
    _, inputs = batch(seed=False)
    before = network(inputs)
    network.coarse[-1].bias.assign([0.3, 0.3, 0.3])
    after = network(inputs)
    assert np.abs(after["coarse"] - before["coarse"]).max() > 0.1
    assert np.abs(after["refined"] - before["refined"]).max() > 1e-4
    whole = {**inputs, "hole": np.zeros_like(inputs["hole"])}
    network.coarse[-1].bias.assign([0.0, 0.0, 0.0])
    without = network(whole)["refined"]
    network.coarse[-1].bias.assign([0.3, 0.3, 0.3])
    np.testing.assert_array_equal(network(whole)["refined"], without)


def test_impossible_generators_are_refused():
    with pytest.raises(ValueError, match='"clip" or "tanh".*Received: image_activation=relu'):
        inpainting.InpaintingGenerator(image_activation="relu")
    with pytest.raises(ValueError, match="width of at least 2. Received: .* width=1"):
        inpainting.InpaintingGenerator(1)
    network = inpainting.InpaintingGenerator(2)
    for refused in (network, lambda inputs: network.build(shapes(inputs))):
        with pytest.raises(ValueError, match=r"multiples of 8. Received: \(H, W\)=\(16, 20\)"):
            refused(batch(16, 20, seed=False)[1])


def critic_inputs(height=16, width=24):
    image, inputs = batch(height, width, seed=False)
    return {"image": image, "hole": inputs["hole"]}


def test_parameters_of_the_critics():
    widths = [(5, 64), (5, 128), (5, 256), (5, 512), (5, 256), (5, 128)]
    spec = {"image": (None, 256, 256, 3), "hole": (None, 256, 256, 1)}
    trunk = parameters(widths, 3)
    both = critics.GlobalLocalCritics()
    both.build(spec)
    assert count(both.whole) == trunk + 4 * 4 * 128 + 1
    assert count(both.local) == trunk + 2 * 2 * 128 + 1
    patches = critics.GlobalPatchCritics()
    patches.build(spec)
    assert count(patches.patch) == parameters([*widths[:4], (5, 1)], 3)
    deepfill = critics.GlobalLocalCritics(
        (64, 128, 256, 256), local_channels=(64, 128, 256, 512), local_size=(128, 128)
    )
    deepfill.build(spec)
    assert count(deepfill.whole) == parameters([*widths[:3], (5, 256)], 3) + 16 * 16 * 256 + 1
    assert count(deepfill.local) == parameters(widths[:4], 3) + 8 * 8 * 512 + 1
    sn = sn_patch.SNPatchDiscriminator()
    sn.build(spec)
    assert count(sn) == parameters([(5, 64), (5, 128), *[(5, 256)] * 4], 4)


@pytest.mark.parametrize(
    ("box", "corner"),
    [
        ((4, 12, 6, 14), (4, 6)),  # fills the crop
        ((5, 11, 8, 12), (4, 6)),  # the same hole, shrunk evenly
        ((0, 2, 20, 24), (0, 16)),  # in a corner: moved into the image
        ((1, 16, 0, 24), (4, 8)),  # larger than the crop: its middle
        ((9, 10, 3, 4), (5, 0)),  # one pixel: 4 before it, 3 after it, as far as there is image
        (None, (4, 8)),  # no hole
    ],
)
def test_crop_lies_around_the_hole(box, corner):
    image, hole = RNG.normal(size=(1, 16, 24, 3)), np.zeros((1, 16, 24, 1))
    if box is not None:
        hole[0, box[0] : box[1], box[2] : box[3]] = 1
    crop = critics.crop_around(tf.constant(image), tf.constant(hole), (8, 8))
    top, left = corner
    np.testing.assert_array_equal(crop, image[:, top : top + 8, left : left + 8])


def test_each_image_is_cropped_by_its_own_hole_and_sends_its_gradient_there():
    inputs = {key: tf.constant(value) for key, value in critic_inputs().items()}
    with tf.GradientTape() as tape:
        tape.watch(inputs["image"])
        crop = critics.crop_around(inputs["image"], inputs["hole"], (6, 8))
        loss = tf.reduce_sum(crop * np.arange(1, 9, dtype="float32")[:, None])
    gradient = tape.gradient(loss, inputs["image"]).numpy()
    expected = np.zeros((2, 16, 24, 3))
    expected[0, 2:8, 8:16] = expected[1, 9:15, 0:8] = np.arange(1, 9)[:, None]
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: critics.GlobalLocalCritics((4, 5), local_size=(6, 10)),
        lambda: critics.GlobalPatchCritics((4, 5), patch_channels=(4,)),
    ],
)
def test_the_penalty_reaches_every_kernel_of_every_critic(make):
    network, inputs = make(), critic_inputs()
    network.build(shapes(inputs))
    fake = inputs["image"] * (1 - inputs["hole"])
    kernels = [v for v in network.trainable_variables if len(v.shape) > 1]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            sides = term.Side(inputs), term.Side(inputs | {"image": fake})
            penalty = gradient_penalty.MaskedGradientPenalty()(
                term.Step(
                    real=sides[0], fake=sides[1], discriminator=network, seed=tf.constant([1, 2])
                )
            )
        return tape.gradient(penalty["loss"], kernels)

    for kernel, gradient in zip(kernels, step(), strict=True):
        assert gradient is not None and np.abs(gradient).max() > 1e-7, kernel.path


def test_spectral_norm_of_all_or_no_layers():
    for make in (critics.GlobalLocalCritics, critics.GlobalPatchCritics):
        for spectral_norm in (False, True):
            network = make((4, 5), spectral_norm=spectral_norm)
            network.build(shapes(critic_inputs(32, 32)))
            kernels = [layer for layer in network._flatten_layers() if hasattr(layer, "kernel")]
            assert {hasattr(layer, "u") for layer in kernels} == {spectral_norm}


def test_a_crop_larger_than_the_image_is_refused():
    network = critics.GlobalLocalCritics((4,), local_size=(8, 32))
    with pytest.raises(ValueError, match=r"within the image. Received: local_size=\(8, 32\)"):
        network.build(shapes(critic_inputs()))


def test_the_published_critics_do_not_fit_small_images():
    for make in (critics.GlobalLocalCritics, critics.GlobalPatchCritics):
        with pytest.raises(ValueError, match="at least 64 px"):
            make().build(shapes(critic_inputs(32, 32)))
    with pytest.raises(ValueError, match="at least 64 px"):
        sn_patch.SNPatchDiscriminator().build(shapes(critic_inputs(32, 32)))


def test_sn_patch_logits_at_256():
    network = sn_patch.SNPatchDiscriminator((2, 2, 2, 2, 2, 3))
    inputs = {"image": np.zeros((1, 256, 256, 3)), "hole": np.ones((1, 256, 256, 1))}
    outputs = network(inputs)
    assert [tuple(logits.shape) for logits in outputs["logits"]] == [(1, 4, 4, 3)]
    assert len(outputs["features"][0]) == 5
    # Leaky ReLU after the last convolution too; the hole is read.
    network.trunk.convolutions[-1].bias.assign([-1.0, -1.0, -1.0])
    zeros = {key: np.zeros_like(value) for key, value in inputs.items()}
    np.testing.assert_allclose(network(zeros)["logits"][0], -0.2, rtol=1e-6)
    assert np.abs(network(inputs)["logits"][0] + 0.2).max() > 1e-6
