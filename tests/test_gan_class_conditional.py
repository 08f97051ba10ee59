"""GANTask with classes: whose labels, which seeds, what is added, logged and refused."""

import pathlib

import hydra
import keras
import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from losses import adversarial, differentiable_augmentation, gradient_penalty
from models.discriminators import patch, projection
from models.generators import class_conditional
from models.layers import attentive_normalization, batch_normalization, class_embedding
from scripts import run_config
from tests import distribution, layer_table
from training import averaging, gan, monitoring, network_inputs
from training import task as steps

SIZE, CLASSES, BATCH = 8, 3, 4
SPEC = {
    "image": tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32),
    "label": tf.TensorSpec([None], tf.int32),
}
SEED = tf.constant([0, 7])
ATTENTION = attentive_normalization.AttentiveNormalization(3, temperature=1.0)


def make_task(
    *, spec=SPEC, block=1, penalty=None, generator=None, discriminator=None, loss=None, **settings
):
    keras.utils.set_random_seed(1)
    attention = {"attentive_norm_block": block, "attentive_norm": ATTENTION}
    generator = generator or class_conditional.ClassConditionalGenerator(
        CLASSES, (4, 6), noise_dim=5, **attention
    )
    discriminator = discriminator or projection.ProjectionDiscriminator(
        CLASSES, (4, 6), downsample=(True, False), spectral_norm=penalty is None, **attention
    )
    task = gan.GANTask(
        generator,
        discriminator,
        adversarial=loss or (adversarial.Wasserstein() if penalty else adversarial.Hinge()),
        terms={"generator": {}, "discriminator": {"penalty": penalty}},
        optimizers={name: keras.optimizers.SGD(1e-3) for name in ("generator", "discriminator")},
        **settings,
    )
    task.build(spec)
    for network in (generator, discriminator):
        for variable in network.trainable_variables:
            if variable.path.endswith("gate"):
                variable.assign(0.5)
    return task


def make_batch(seed=0, label=None):
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, BATCH) if label is None else np.full(BATCH, label)
    return {
        "image": tf.constant(random.uniform(-1, 1, [BATCH, SIZE, SIZE, 3]).astype("float32")),
        "label": tf.constant(labels.astype("int32")),
    }


def watch(network, seen):
    """Notes what a network is called with."""
    original = network.call

    def call(inputs, training=False):
        seen.append(inputs)
        return original(inputs, training=training)

    network.call = call


# The configs.

FOLDER = pathlib.Path(__file__).parent.parent / "configs"
ARMS = {
    "attentive-norm": [],
    "self-attention": [
        "generator.attentive_norm_block=null",
        "generator.self_attention_block=3",
        "discriminator.attentive_norm_block=null",
        "discriminator.self_attention_block=1",
    ],
    "none": ["generator.attentive_norm_block=null", "discriminator.attentive_norm_block=null"],
    "wgan-gp": ["task.discriminator_steps=2"],
}


@pytest.mark.parametrize("arm", ARMS)
def test_the_configs_make_a_task_that_steps(arm):
    loss = "wgan_gp" if arm == "wgan-gp" else "hinge"
    files = {"generator": "class_conditional", "discriminator": "projection"}
    files |= {"loss": loss, "task": "class_conditional"}
    config = OmegaConf.create(
        {group: OmegaConf.load(FOLDER / group / f"{name}.yaml") for group, name in files.items()}
    )
    small = ["generator.channels=[8,8,8,8]", "discriminator.channels=[8,8,8,8]"]
    classes = ["generator.num_classes=10", "discriminator.num_classes=10"]
    config.merge_with_dotlist(small + classes + ARMS[arm])
    run_config.check_targets(config)
    run_config.check_keys(config, "train")
    task = hydra.utils.instantiate(config.task, _convert_="all")
    spec = {"image": tf.TensorSpec([None, 32, 32, 3]), "label": tf.TensorSpec([None], tf.int32)}
    task.build(spec)
    random = np.random.default_rng(0)
    batch = {
        "image": tf.constant(random.uniform(-1, 1, [2, 32, 32, 3]).astype("float32")),
        "label": tf.constant([3, 9]),
    }
    metrics = task.train_step([batch] * task.batches_per_step, SEED)
    assert all(np.isfinite(value) for value in metrics.values())
    assert ("g/mask_entropy" in metrics) == (arm in ("attentive-norm", "wgan-gp"))
    assert ("d/attention_gate" in metrics) == (arm == "self-attention")
    assert task.generator.num_classes == task.generator.normalizer.num_classes == 10


def test_the_config_of_the_shared_embedding_with_split_noise():
    config = OmegaConf.create(
        {"generator": OmegaConf.load(FOLDER / "generator" / "class_conditional.yaml")}
    )
    target = "models.layers.class_embedding.ClassEmbedding"
    config.generator.num_classes = 10
    config.generator.embedding = {"_target_": target, "num_classes": "${generator.num_classes}"}
    network = hydra.utils.instantiate(config.generator, _convert_="all")
    assert network.embedding.num_classes == 10 and network._parts() == 4


# Labels.


@pytest.mark.parametrize("order", gan.UPDATE_ORDERS)
def test_fakes_are_made_and_judged_under_the_same_sampled_labels(order):
    task = make_task(sample_labels=True, update_order=order)
    made, judged = [], []
    watch(task.generator, made)
    watch(task.discriminator, judged)
    batch = make_batch(label=0)
    task.train_step([batch], SEED)
    fake_labels = made[0]["label"].numpy()
    assert fake_labels.any()  # not those of the batch
    assert all(np.array_equal(inputs["label"], fake_labels) for inputs in made)
    halves = [inputs["label"].numpy() for inputs in judged if len(inputs["label"]) == 2 * BATCH]
    alone = [inputs["label"].numpy() for inputs in judged if len(inputs["label"]) == BATCH]
    np.testing.assert_array_equal(halves, [[0] * BATCH + fake_labels.tolist()])
    np.testing.assert_array_equal(alone, [fake_labels])


def test_without_sampling_the_labels_are_those_of_the_batch():
    task, made = make_task(), []
    watch(task.generator, made)
    batch = make_batch()
    task.train_step([batch], SEED)
    np.testing.assert_array_equal(made[0]["label"], batch["label"])


def test_sampled_labels_are_uniform_and_change_with_the_step():
    like = tf.zeros([3000], tf.int32)
    first, second = (
        network_inputs.uniform_labels(like, CLASSES, tf.constant([0, step])).numpy()
        for step in (1, 2)
    )
    assert (first != second).any() and first.dtype == np.int32
    np.testing.assert_allclose(np.bincount(first) / 3000, 1 / 3, atol=0.04)


# Seeds of self-sampling.


def test_every_image_of_a_step_has_a_seed_of_its_own():
    task, seen = make_task(discriminator_steps=2), []
    watch(task.generator, seen)
    watch(task.discriminator, seen)
    task.train_step([make_batch(0), make_batch(1)], SEED)
    assert {len(inputs["seed"]) for inputs in seen} == {BATCH, 2 * BATCH}
    for inputs in seen:
        assert len({tuple(row) for row in inputs["seed"].numpy()}) == len(inputs["seed"])
    made = [tuple(i["seed"].numpy().flat) for i in seen if "noise" in i]
    assert len(set(made)) == 2


@pytest.mark.parametrize("order", gan.UPDATE_ORDERS)
def test_a_step_is_a_function_of_its_seed(order):
    def run(step):
        task = make_task(update_order=order, sample_labels=True)
        task.train_step([make_batch()], tf.constant([0, step]))
        return [variable.numpy() for variable in task.generator.variables]

    first, second, other = run(7), run(7), run(8)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_generation_needs_no_seed_of_sampling_and_gives_the_layout():
    task = make_task(averaging=averaging.WeightAveraging(calibration_batches=2))
    task.prepare_generation([make_batch(0), make_batch(1)])
    outputs = task.generate({"label": tf.constant([0, 2])}, tf.constant([4, 5]))
    assert outputs["image"].shape == (2, SIZE, SIZE, 3)
    assert outputs["layout"].shape == (2, SIZE, SIZE, 3)
    again = task.generate({"label": tf.constant([2])}, tf.constant([5]))
    np.testing.assert_allclose(again["layout"][0], outputs["layout"][1], atol=1e-6)


def test_noise_of_the_batch_is_used_instead_of_that_of_the_seeds():
    task = make_task()
    noise = steps.noise_from_seeds(tf.constant([4, 5]), 5)
    labels, zeros = tf.constant([0, 2]), tf.zeros([2], tf.int32)
    given = task.generate({"label": labels, "noise": noise}, zeros)["image"]
    drawn = task.generate({"label": labels}, tf.constant([4, 5]))["image"]
    np.testing.assert_array_equal(given, drawn)
    mixed = task.generate({"label": tf.one_hot(labels, CLASSES), "noise": noise}, zeros)["image"]
    np.testing.assert_allclose(mixed, drawn, atol=1e-6)


@pytest.mark.parametrize("normalizer", ["conditional", "plain"])
def test_classes_are_mixed_through_a_shared_embedding_as_well(normalizer):
    normalizers = {
        "conditional": batch_normalization.ConditionalBatchNormalization(CLASSES),
        "plain": batch_normalization.PlainBatchNormalization(),
    }
    network = class_conditional.ClassConditionalGenerator(
        CLASSES,
        (4, 6),
        noise_dim=6,
        normalizer=normalizers[normalizer],
        embedding=class_embedding.ClassEmbedding(CLASSES, 4),
    )
    network.build({"label": (None,), "noise": (None, 6)})
    noise, labels = steps.noise_from_seeds(tf.range(2), 6), tf.constant([1, 2])
    by_id = network({"label": labels, "noise": noise})["image"]
    by_weights = network({"label": tf.one_hot(labels, CLASSES), "noise": noise})["image"]
    np.testing.assert_allclose(by_weights, by_id, atol=1e-6)


# Losses, ratios, replicas.


@pytest.mark.parametrize(
    ("penalty", "ratio", "order"),
    [
        (None, 1, "g_then_d"),
        (None, 5, "d_then_g"),
        (gradient_penalty.GradientPenalty(), 1, "d_then_g"),
        (gradient_penalty.GradientPenalty(), 5, "g_then_d"),
    ],
)
def test_both_losses_and_ratios_move_every_kernel(penalty, ratio, order):
    task = make_task(penalty=penalty, discriminator_steps=ratio, update_order=order)
    networks = (task.generator, task.discriminator)
    before = [v.numpy() for network in networks for v in network.trainable_variables]
    step = tf.function(task.train_step)
    metrics = step([make_batch(i) for i in range(ratio)], SEED)
    assert all(np.isfinite(value) for value in metrics.values())
    after = [v for network in networks for v in network.trainable_variables]
    for old, new in zip(before, after, strict=True):
        assert old.ndim < 2 or not np.array_equal(old, new.numpy()), new.path


def test_the_orthogonal_loss_is_part_of_its_owners_total():
    task = make_task()
    metrics = task.train_step([make_batch()], SEED)
    for owner in "gd":
        regularization = metrics[f"{owner}/regularization"]
        assert regularization > 0
        np.testing.assert_allclose(
            metrics[f"{owner}/total"], metrics[f"{owner}/adversarial"] + regularization, rtol=1e-6
        )
        np.testing.assert_allclose(
            regularization, 1e-3 * metrics[f"{owner}/orthogonality"], rtol=0.2
        )
    assert "g/regularization" not in make_task(block=None).train_step([make_batch()], SEED)


def test_what_attention_does_is_logged():
    metrics = make_task().train_step([make_batch()], SEED)
    for owner in "gd":
        shares = [value for name, value in metrics.items() if f"entity_share/{owner}_" in name]
        assert len(shares) == 3
        np.testing.assert_allclose(sum(shares), 1.0, rtol=1e-5)
        assert 0 < metrics[f"{owner}/mask_entropy"] < np.log(3)
        np.testing.assert_allclose(metrics[f"{owner}/rho"], 0.5, atol=0.1)
        np.testing.assert_allclose(metrics[f"{owner}/mean_t"], 0.1, atol=0.1)


def test_previews_show_the_layout():
    batch, seeds = make_batch(), tf.zeros([BATCH], tf.int32)
    previews = make_task().previews(batch, seeds)
    masks = {f"masks/{entity:02d}" for entity in range(3)}
    assert set(previews) == {"generated", "layout"} | masks
    assert all(previews[name].shape == (BATCH, SIZE, SIZE, 3) for name in masks)
    assert set(make_task(block=None).previews(batch, seeds)) == {"generated"}


def test_the_overlay_mixes_image_and_hues():
    image = tf.zeros([1, 4, 2, 3])
    layout = tf.constant([[[[1.0, 0.0, 0.0]], [[1 / 3, 1 / 3, 1 / 3]]]])
    out = monitoring.overlay(image, layout).numpy()
    np.testing.assert_allclose(out[0, :2], np.broadcast_to([0.5, -0.5, -0.5], (2, 2, 3)))  # red
    np.testing.assert_allclose(out[0, 2:], -1 / 6, atol=1e-6)  # grey


def test_mask_tiles_keep_the_ratio_of_masks():
    layout = tf.constant([[[[0.8, 0.2]], [[0.4, 0.6]]], [[[0.5, 0.5]], [[0.5, 0.5]]]])
    tiles = {name: tile.numpy() for name, tile in monitoring.mask_tiles(layout).items()}
    assert set(tiles) == {"00", "01"}
    np.testing.assert_allclose(tiles["00"][0, :, 0], [[1.0] * 3, [0.0] * 3], atol=1e-6)
    np.testing.assert_allclose(tiles["01"][0, :, 0], [[-0.5] * 3, [0.5] * 3], atol=1e-6)
    assert (tiles["00"][1] == 1.0).all() and (tiles["01"][1] == 1.0).all()


def test_entropy_is_0_for_hard_masks_and_ln_n_for_uniform_ones():
    hard = tf.one_hot([[[0, 1], [1, 1]]], 4)
    values = monitoring.layout_scalars(hard)
    assert values["mask_entropy"] == 0.0 and values["entity_share_01"] == 0.75
    uniform = monitoring.layout_scalars(tf.fill([1, 2, 2, 4], 0.25))
    np.testing.assert_allclose(uniform["mask_entropy"], np.log(4), rtol=1e-6)


def test_replicas_stay_equal():
    strategy = distribution.two_replicas()
    with strategy.scope():
        task = make_task(sample_labels=True, penalty=gradient_penalty.GradientPenalty())
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: make_batch(context.replica_id_in_sync_group)
    )
    run = tf.function(
        lambda shares: strategy.run(lambda batch: task.train_step([batch], SEED), (shares,))
    )
    run(shares)
    for network in (task.generator, task.discriminator):
        for variable in network.variables:
            one, two = strategy.experimental_local_results(variable.value)
            np.testing.assert_array_equal(one.numpy(), two.numpy(), err_msg=variable.path)


# Augmentation.


def test_the_discriminator_sees_augmented_images_only():
    def shift(images, seed):
        offset = tf.random.stateless_uniform([], seed, 5.0, 6.0)
        return images + offset

    task, seen = make_task(augment=shift), []
    watch(task.discriminator, seen)
    batch = make_batch()
    task.train_step([batch], SEED)
    assert len(seen) == 2
    assert all((inputs["image"].numpy() > 3.9).all() for inputs in seen)
    assert float(tf.reduce_max(batch["image"])) <= 1.0


def test_the_generator_learns_through_the_augmentation():
    augment = differentiable_augmentation.DifferentiableAugmentation()
    task = make_task(augment=augment)
    before = [variable.numpy() for variable in task.generator.trainable_variables]
    task.train_step([make_batch()], SEED)
    for old, new in zip(before, task.generator.trainable_variables, strict=True):
        assert old.ndim < 2 or not np.array_equal(old, new.numpy())


# What does not go together.


@pytest.mark.parametrize("penalty", [gradient_penalty.GradientPenalty(), gradient_penalty.R1()])
def test_gradient_penalties_refuse_batch_statistics(penalty):
    def critic():
        return projection.ProjectionDiscriminator(
            CLASSES,
            (4, 6),
            downsample=(True, False),
            normalizer=batch_normalization.PlainBatchNormalization(),
        )

    message = "without batch statistics.*each image.*Received: terms \\['penalty'\\].*normalizer"
    with pytest.raises(ValueError, match=message):
        make_task(penalty=penalty, discriminator=critic())
    make_task(discriminator=critic())  # with the hinge loss it may


def test_class_counts_must_agree():
    other = projection.ProjectionDiscriminator(4, (4,), downsample=(True,))
    with pytest.raises(ValueError, match="same number of classes.*'generator': 3.*: 4"):
        make_task(discriminator=other)


def test_image_sizes_must_agree():
    spec = {**SPEC, "image": tf.TensorSpec([None, 16, 16, 3], tf.float32)}
    with pytest.raises(ValueError, match=r"images of \(8, 8\).*Received: data of \(16, 16\)"):
        make_task(spec=spec)


def test_sampling_labels_needs_classes():
    spec = {
        "mask": tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32),
        "image": SPEC["image"],
    }
    networks = {
        "generator": layer_table.small_generator(),
        "discriminator": patch.MultiScalePatchDiscriminator(4, depth=3, scales=1),
    }
    with pytest.raises(ValueError, match="sample_labels needs.*Received: SpadeGenerator"):
        make_task(spec=spec, sample_labels=True, **networks)


@pytest.mark.parametrize(("translation", "cutout"), [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2)])
def test_moving_pixels_does_not_go_with_a_map(translation, cutout):
    spec = {"mask": tf.TensorSpec([None, SIZE, SIZE, 3]), "image": SPEC["image"]}
    augment = differentiable_augmentation.DifferentiableAugmentation(
        translation=translation, cutout=cutout
    )
    settings = {
        "spec": spec,
        "augment": augment,
        "generator": layer_table.small_generator(),
        "discriminator": patch.MultiScalePatchDiscriminator(4, depth=3, scales=1),
    }
    if translation or cutout:
        with pytest.raises(ValueError, match=r"\['mask'\]. Received: Differentiable.*moves pixels"):
            make_task(**settings)
    else:
        make_task(**settings)
