"""Gradients summed over micro-batches: the update of the large batch, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import adversarial, cross_entropy, feature_matching, lecam, term
from models.layers import spectral_normalization
from tests.helpers import distribution, pixel_network, tiny_gan
from training.tasks import averaging, gan_checks, objective, supervised, updates

MICRO = 3
SPEC = tiny_gan.SPEC | {"noise": tf.TensorSpec([None, 5], tf.float32)}


class PlainGenerator(tiny_gan.TinyGenerator):
    """Spectral normalisation instead of batch statistics."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.project = spectral_normalization.SpectralDense(3)
        self.normalize = keras.layers.Identity()

    def call(self, inputs, training=False):
        return {"image": tf.cast(super().call(inputs, training)["image"], tf.float32)}


class SpectralDiscriminator(tiny_gan.TinyDiscriminator):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = spectral_normalization.SpectralDense(4, activation="tanh")


class Slope(term.Term):
    """A penalty that calls the discriminator once more, without a seed."""

    weight = 0.5
    needs = ("real.inputs", "fake.inputs", "discriminator")

    def __call__(self, step):
        image = (step.real.inputs["image"] + step.fake.inputs["image"]) / 2
        logits = step.discriminate(step.real.inputs | {"image": image})["logits"][0]
        return tf.reduce_mean(tf.cast(logits, tf.float32) ** 2)


def make_task(
    monkeypatch=None, *, optimizer=lambda: keras.optimizers.SGD(0.1), every=1, **settings
):
    slope = Slope()
    slope.every = every
    chosen = objective.Objective(
        adversarial.NonSaturating(),
        generator_terms={"features": feature_matching.FeatureMatching()},
        discriminator_terms={"slope": slope, "lecam": lecam.LeCam(decay=0.5, start_step=1)},
    )
    task = tiny_gan.make_task(
        generator=PlainGenerator,
        discriminator=SpectralDiscriminator,
        objective=chosen,
        spec=SPEC,
        averaging=averaging.WeightAveraging(0.5),
        optimizers={name: optimizer() for name in objective.PREFIXES},
        **settings,
    )
    tiny_gan.take_noise_from_batch(task)
    return task


def large_batch(seed=0, size=12):
    noise = tf.random.stateless_normal([size, 5], [0, seed])
    return tiny_gan.make_batch(seed, size) | {"noise": noise}


def parts(batch, count):
    divided = {key: tf.split(value, count) for key, value in batch.items()}
    return [{key: values[i] for key, values in divided.items()} for i in range(count)]


def on_two_replicas(task, strategy, batches, seed, due=()):
    """One step, each replica with a half of each batch; the metrics of both."""
    halves = [parts(batch, 2) for batch in batches]

    def share(number):
        return strategy.experimental_distribute_values_from_function(
            lambda context: halves[number][context.replica_id_in_sync_group]
        )

    @tf.function
    def step(shares):
        metrics = strategy.run(task.train_step, (shares, seed, due))
        metrics = {n: strategy.reduce("MEAN", v, axis=None) for n, v in metrics.items()}
        task.after_step(metrics)
        return metrics

    return step([share(number) for number in range(len(batches))])


def assert_equal_states(one, other, atol=1e-5):
    compared = 0
    for name, owner in one.state().items():
        for a, b in zip(owner.variables, other.state()[name].variables, strict=True):
            a, b = (np.asarray(v.numpy(), "float64") for v in (a, b))
            np.testing.assert_allclose(b, a, atol=atol, rtol=1e-5, err_msg=f"{name} {a.shape}")
            compared += 1
    assert compared > 15


@pytest.mark.parametrize("order", gan_checks.UPDATE_ORDERS)
@pytest.mark.parametrize("ratio", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("replicas", [1, 2])
def test_the_update_is_that_of_the_large_batch(order, ratio, replicas):
    """Both networks, averages, power iterations, LeCam's averages, over two steps."""
    whole = make_task(update_order=order, discriminator_steps=ratio)
    settings = {"update_order": order, "discriminator_steps": ratio, "accumulate_steps": MICRO}
    strategy = distribution.two_replicas()
    if replicas == 2:
        with strategy.scope():
            divided = make_task(**settings)
    else:
        divided = make_task(**settings)
    assert divided.batches_per_step == ratio * MICRO
    for number in range(2):
        seed, large = tf.constant([0, number]), [large_batch(10 * number + i) for i in range(ratio)]
        expected = whole.train_step(large, seed)
        whole.after_step(expected)
        micro = [part for batch in large for part in parts(batch, MICRO)]
        if replicas == 2:
            with strategy.scope():
                metrics = on_two_replicas(divided, strategy, micro, seed)
        else:
            metrics = tf.function(divided.train_step)(micro, seed)
            divided.after_step(metrics)
        assert metrics.keys() == expected.keys()
        distribution.assert_equal_metrics(metrics, expected, replicas, rtol=1e-4, atol=1e-5)
    assert_equal_states(whole, divided)
    assert divided.optimizers["generator"].iterations.numpy() == 2
    assert divided.optimizers["discriminator"].iterations.numpy() == 2 * ratio


def test_lazy_terms_count_steps_and_see_every_micro_batch():
    whole, divided = make_task(every=2), make_task(every=2, accumulate_steps=MICRO)
    for number in range(3):
        due, seed = (2,) * (number % 2 == 0), tf.constant([0, number])
        whole.after_step(whole.train_step([large_batch(number)], seed, due))
        divided.after_step(divided.train_step(parts(large_batch(number), MICRO), seed, due))
    assert_equal_states(whole, divided)
    assert divided.optimizers["discriminator"].iterations.numpy() == 3 + 2


def test_each_micro_batch_has_noise_of_its_own():
    task = tiny_gan.make_task(accumulate_steps=2)
    seen, call = [], task.generator.call

    def watched(inputs, training=False):
        seen.append(inputs["noise"].numpy())
        return call(inputs, training=training)

    task.generator.call = watched
    task.train_step([tiny_gan.make_batch(0), tiny_gan.make_batch(1)], tiny_gan.SEED)
    # For the discriminator, then the same fakes for the generator.
    assert len(seen) == 4 and not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[:2], seen[2:])


def test_passes_for_the_discriminator_leave_the_batch_statistics_of_the_generator():
    """The same forward passes follow in the generator's update, and are what counts."""
    task, alone = (tiny_gan.make_task(accumulate_steps=2) for _ in range(2))
    batches = [tiny_gan.make_batch(0), tiny_gan.make_batch(1)]
    task.train_step(batches, tiny_gan.SEED)
    alone._updates.update_generator(alone._micro_batches(batches, tiny_gan.SEED)[0], ())
    for one, two in zip(task.generator.non_trainable_variables,
                        alone.generator.non_trainable_variables, strict=True):  # fmt: skip
        np.testing.assert_allclose(one, two, rtol=1e-6)


# --- Float16 ----------------------------------------------------------------------------------


def half_precision(strategy=None, **settings):
    keras.config.set_dtype_policy("mixed_float16")
    task = make_task(**settings)
    for optimizer in task.optimizers.values():
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return task


def scale(task, owner="discriminator"):
    return float(task.optimizers[owner].dynamic_scale.numpy())


@pytest.mark.parametrize("replicas", [1, 2])
def test_loss_scaling_goes_through_the_sum(replicas):
    whole = half_precision()
    strategy = distribution.two_replicas()
    if replicas == 2:
        with strategy.scope():
            divided = half_precision(accumulate_steps=MICRO)
            on_two_replicas(divided, strategy, parts(large_batch(), MICRO), tiny_gan.SEED)
    else:
        divided = half_precision(accumulate_steps=MICRO)
        divided.after_step(divided.train_step(parts(large_batch(), MICRO), tiny_gan.SEED))
    whole.after_step(whole.train_step([large_batch()], tiny_gan.SEED))
    assert_equal_states(whole, divided, atol=2e-3)  # float16 has three digits
    assert scale(divided) == 2.0**15
    assert divided.optimizers["discriminator"].iterations.numpy() == 1


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("place", [0, 2])
def test_a_micro_batch_without_finite_gradients_skips_the_update(replicas, place):
    """Its images overflow float16; on two replicas they are the second one's alone."""
    batches = parts(large_batch(), MICRO)
    image = batches[place]["image"].numpy()
    image[-1] = 1e30
    batches[place]["image"] = tf.constant(image)
    strategy = distribution.two_replicas()
    if replicas == 2:
        with strategy.scope():
            task = half_precision(accumulate_steps=MICRO)
            before = [v.numpy() for v in task.discriminator.trainable_variables]
            on_two_replicas(task, strategy, batches, tiny_gan.SEED)
    else:
        task = half_precision(accumulate_steps=MICRO)
        before = [v.numpy() for v in task.discriminator.trainable_variables]
        task.train_step(batches, tiny_gan.SEED)
    for old, new in zip(before, task.discriminator.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert scale(task) == 2.0**14
    assert task.optimizers["discriminator"].iterations.numpy() == 0
    assert task.state()["step"].variables[0].numpy() == 1


# --- Supervised tasks -------------------------------------------------------------------------


def pixel_task(**settings):
    keras.utils.set_random_seed(1)
    loss = cross_entropy.CrossEntropy(0.1, class_weights=[0.2, 1.0, 3.0])
    task = supervised.SupervisedTask(
        pixel_network.PixelNetwork(), loss=loss, optimizer=keras.optimizers.Adam(0.01),
        target="label_map", averaging=averaging.WeightAveraging(0.5), **settings,
    )  # fmt: skip
    task.build({
        "image": tf.TensorSpec([None, 4, 4, 3], tf.float32),
        "label_map": tf.TensorSpec([None, 4, 4], tf.uint8),
    })  # fmt: skip
    return task


def pixel_batch():
    """Micro-batches and replicas hold unequal numbers of pixels that count."""
    random = np.random.default_rng(0)
    label_map = random.integers(0, 3, [12, 4, 4]).astype("uint8")
    label_map[1, 1:], label_map[4:7] = 255, 255
    image = random.uniform(-1, 1, [12, 4, 4, 3]).astype("float32")
    return {"image": tf.constant(image), "label_map": tf.constant(label_map)}


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_supervised_update_is_that_of_the_large_batch(replicas):
    whole, strategy = pixel_task(), distribution.two_replicas()
    expected = whole.train_step([pixel_batch()], tiny_gan.SEED)
    whole.after_step(expected)
    batches = parts(pixel_batch(), MICRO)
    if replicas == 2:
        with strategy.scope():
            divided = pixel_task(accumulate_steps=MICRO)
            metrics = on_two_replicas(divided, strategy, batches, tiny_gan.SEED)
    else:
        divided = pixel_task(accumulate_steps=MICRO)
        metrics = divided.train_step(batches, tiny_gan.SEED)
        divided.after_step(metrics)
    assert divided.batches_per_step == MICRO
    distribution.assert_equal_metrics(metrics, expected, replicas, rtol=1e-5)
    for name, owner in whole.state().items():
        for a, b in zip(owner.variables, divided.state()[name].variables, strict=True):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_supervised_task_takes_at_least_one_micro_batch():
    with pytest.raises(ValueError, match="at least 1. Received: accumulate_steps=0"):
        pixel_task(accumulate_steps=0)


def test_micro_batches_wait_for_the_one_before():
    """In the graph each one depends on the sums before it, so that memory is that of one."""

    @tf.function
    def run(batches):
        return updates.accumulated(lambda batch: ([batch["x"] * 2.0], {}), batches, [])

    graph = run.get_concrete_function([{"x": tf.TensorSpec([3])} for _ in range(3)]).graph
    waiting = [op for op in graph.get_operations() if op.type == "Identity" and op.control_inputs]
    assert len({op.control_inputs[0].name for op in waiting}) == 2
