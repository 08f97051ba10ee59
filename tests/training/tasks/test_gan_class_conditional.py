"""GANTask with classes: its configs, whose labels, which seeds, what generation needs."""

import pathlib

import hydra
import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from losses import differentiable_augmentation, gradient_penalty
from models.generators import class_conditional
from models.layers import batch_normalization, class_embedding
from tests.helpers import class_gan, distribution
from training.runs import checkpoint, run_config
from training.tasks import averaging, gan_checks, network_inputs, steps

FOLDER = pathlib.Path(__file__).parents[3] / "configs"
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
    del config.task["defaults"]  # what a run measures
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
    metrics = task.train_step([batch] * task.batches_per_step, class_gan.SEED)
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


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (10, 0.0), (25, 0.75), (30, 1.0), (99, 1.0)])
def test_the_share_of_items_with_their_class_rises(step, share):
    task = class_gan.make_task(conditioning_ramp=[10, 30])
    task._step.assign(step)
    count = 3000
    batch = {"label": tf.fill([count], 2), "image": tf.zeros([count, 1, 1, 3])}
    ((found, _),) = task._micro_batches([batch], class_gan.SEED)[0]
    assert found["label"].dtype == tf.int32 and found["image"] is batch["image"]
    shares = np.bincount(found["label"], minlength=class_gan.CLASSES) / count
    uniform = (1.0 - share) / class_gan.CLASSES
    np.testing.assert_allclose(shares, [uniform, uniform, uniform + share], atol=0.03)
    (again, _), *_ = task._micro_batches([batch], class_gan.SEED)[0]
    np.testing.assert_array_equal(found["label"], again["label"])


def test_both_networks_read_the_classes_of_the_ramp():
    task = class_gan.make_task(conditioning_ramp=[10, 30])
    made, judged = [], []
    class_gan.watch(task.generator, made)
    class_gan.watch(task.discriminator, judged)
    batch = class_gan.make_batch(label=0)
    task.train_step([batch], class_gan.SEED)
    label = made[0]["label"].numpy()
    assert label.any()
    np.testing.assert_array_equal(judged[0]["label"], [*label, *label])


@pytest.mark.parametrize("ramp", [[3], [5, 5], [-1, 4], [1.0, 4]])
def test_ramps_that_cannot_be(ramp):
    with pytest.raises(ValueError, match=r"two steps.*conditioning_ramp="):
        class_gan.make_task(conditioning_ramp=ramp)


def test_a_ramp_needs_classes():
    generator = class_conditional.ClassConditionalGenerator(0, (4, 6), noise_dim=5)
    with pytest.raises(ValueError, match=r"conditioning_ramp=\[1, 2\] for ClassConditional"):
        class_gan.make_task(generator=generator, conditioning_ramp=[1, 2])


@pytest.mark.parametrize("order", gan_checks.UPDATE_ORDERS)
def test_fakes_are_made_and_judged_under_the_same_sampled_labels(order):
    task = class_gan.make_task(sample_labels=True, update_order=order)
    made, judged = [], []
    class_gan.watch(task.generator, made)
    class_gan.watch(task.discriminator, judged)
    batch = class_gan.make_batch(label=0)
    task.train_step([batch], class_gan.SEED)
    fake_labels = made[0]["label"].numpy()
    assert fake_labels.any()  # not those of the batch
    assert all(np.array_equal(inputs["label"], fake_labels) for inputs in made)
    halves = [
        inputs["label"].numpy() for inputs in judged if len(inputs["label"]) == 2 * class_gan.BATCH
    ]
    alone = [
        inputs["label"].numpy() for inputs in judged if len(inputs["label"]) == class_gan.BATCH
    ]
    np.testing.assert_array_equal(halves, [[0] * class_gan.BATCH + fake_labels.tolist()])
    np.testing.assert_array_equal(alone, [fake_labels])


def test_without_sampling_the_labels_are_those_of_the_batch():
    task, made = class_gan.make_task(), []
    class_gan.watch(task.generator, made)
    batch = class_gan.make_batch()
    task.train_step([batch], class_gan.SEED)
    np.testing.assert_array_equal(made[0]["label"], batch["label"])


def test_sampled_labels_are_uniform_and_change_with_the_step():
    like = tf.zeros([3000], tf.int32)
    first, second = (
        network_inputs.uniform_labels(like, class_gan.CLASSES, tf.constant([0, step])).numpy()
        for step in (1, 2)
    )
    assert (first != second).any() and first.dtype == np.int32
    np.testing.assert_allclose(np.bincount(first) / 3000, 1 / 3, atol=0.04)


def test_every_image_of_a_step_has_a_seed_of_its_own():
    task, seen = class_gan.make_task(discriminator_steps=2), []
    class_gan.watch(task.generator, seen)
    class_gan.watch(task.discriminator, seen)
    task.train_step([class_gan.make_batch(0), class_gan.make_batch(1)], class_gan.SEED)
    assert {len(inputs["seed"]) for inputs in seen} == {class_gan.BATCH, 2 * class_gan.BATCH}
    for inputs in seen:
        assert len({tuple(row) for row in inputs["seed"].numpy()}) == len(inputs["seed"])
    made = [tuple(i["seed"].numpy().flat) for i in seen if "noise" in i]
    assert len(set(made)) == 2


@pytest.mark.parametrize("order", gan_checks.UPDATE_ORDERS)
def test_a_step_is_a_function_of_its_seed(order):
    def run(step):
        task = class_gan.make_task(update_order=order, sample_labels=True)
        task.train_step([class_gan.make_batch()], tf.constant([0, step]))
        return [variable.numpy() for variable in task.generator.variables]

    first, second, other = run(7), run(7), run(8)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_generation_needs_no_seed_of_sampling_and_gives_the_layout():
    task = class_gan.make_task(averaging=averaging.WeightAveraging(calibration_batches=2))
    task.prepare_generation([class_gan.make_batch(0), class_gan.make_batch(1)])
    outputs = task.generate({"label": tf.constant([0, 2])}, tf.constant([4, 5]))
    assert outputs["image"].shape == (2, class_gan.SIZE, class_gan.SIZE, 3)
    assert outputs["layout"].shape == (2, class_gan.SIZE, class_gan.SIZE, 3)
    again = task.generate({"label": tf.constant([2])}, tf.constant([5]))
    np.testing.assert_allclose(again["layout"][0], outputs["layout"][1], atol=1e-6)


def test_noise_of_the_batch_is_used_instead_of_that_of_the_seeds():
    task = class_gan.make_task()
    noise = steps.noise_from_seeds(tf.constant([4, 5]), 5)
    labels, zeros = tf.constant([0, 2]), tf.zeros([2], tf.int32)
    given = task.generate({"label": labels, "noise": noise}, zeros)["image"]
    drawn = task.generate({"label": labels}, tf.constant([4, 5]))["image"]
    np.testing.assert_array_equal(given, drawn)
    mixed = task.generate({"label": tf.one_hot(labels, class_gan.CLASSES), "noise": noise}, zeros)[
        "image"
    ]
    np.testing.assert_allclose(mixed, drawn, atol=1e-6)


@pytest.mark.parametrize("normalizer", ["conditional", "plain"])
def test_classes_are_mixed_through_a_shared_embedding_as_well(normalizer):
    normalizers = {
        "conditional": batch_normalization.ConditionalBatchNormalization(class_gan.CLASSES),
        "plain": batch_normalization.PlainBatchNormalization(),
    }
    network = class_conditional.ClassConditionalGenerator(
        class_gan.CLASSES,
        (4, 6),
        noise_dim=6,
        normalizer=normalizers[normalizer],
        embedding=class_embedding.ClassEmbedding(class_gan.CLASSES, 4),
    )
    network.build({"label": (None,), "noise": (None, 6)})
    noise, labels = steps.noise_from_seeds(tf.range(2), 6), tf.constant([1, 2])
    by_id = network({"label": labels, "noise": noise})["image"]
    by_weights = network({"label": tf.one_hot(labels, class_gan.CLASSES), "noise": noise})["image"]
    np.testing.assert_allclose(by_weights, by_id, atol=1e-6)


@pytest.mark.slow
def test_a_run_continued_from_its_checkpoint_is_exact(tmp_path):
    """Attention, sampled classes, augmentation, averaging and several critic steps, all at once."""

    def task_of_the_run():
        return class_gan.make_task(
            penalty=gradient_penalty.GradientPenalty(),
            augment=differentiable_augmentation.DifferentiableAugmentation(),
            averaging=averaging.WeightAveraging(decay=0.5),
            sample_labels=True,
            discriminator_steps=2,
        )

    def train(task, steps):
        compiled = tf.function(task.train_step)
        for step in steps:
            batches = [class_gan.make_batch(2 * step + i) for i in range(2)]
            task.after_step(compiled(batches, tf.constant([0, step])))

    def values(task):
        return {
            name: [np.asarray(variable).tobytes() for variable in owner.variables]
            for name, owner in task.state().items()
        }

    whole, first, second = (task_of_the_run() for _ in range(3))
    train(whole, range(4))
    train(first, range(2))
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(2, first.state())
    assert store.restore(second.state()) == 2
    train(second, range(2, 4))
    assert values(second) == values(whole)
    assert values(first) != values(whole)


def test_each_replica_draws_regions_of_its_own():
    discriminator = class_gan.make_task().discriminator

    def seeds():
        inputs = network_inputs.for_training(discriminator, class_gan.make_batch(), class_gan.SEED)
        return inputs["seed"]

    strategy = distribution.two_replicas()
    first, second = strategy.experimental_local_results(strategy.run(seeds))
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_replicas_stay_equal():
    strategy = distribution.two_replicas()
    with strategy.scope():
        task = class_gan.make_task(sample_labels=True, penalty=gradient_penalty.GradientPenalty())
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: class_gan.make_batch(context.replica_id_in_sync_group)
    )
    run = tf.function(
        lambda shares: strategy.run(
            lambda batch: task.train_step([batch], class_gan.SEED), (shares,)
        )
    )
    run(shares)
    for network in (task.generator, task.discriminator):
        for variable in network.variables:
            one, two = strategy.experimental_local_results(variable.value)
            np.testing.assert_array_equal(one.numpy(), two.numpy(), err_msg=variable.path)
