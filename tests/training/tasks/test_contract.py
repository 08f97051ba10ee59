"""How wide the contract of terms is: losses of shapes that no shipped loss has, made up here."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from losses import differentiable_augmentation, term
from tests.helpers import tiny_gan
from training.runs import checkpoint
from training.tasks import gan, objective

CLASSES = 2
SEED = tiny_gan.SEED


class PixelDiscriminator(keras.Model):
    """Reads the image alone; logits [B,H,W,K+1], class K + 1 for fakes."""

    input_keys = ("image",)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.out = keras.layers.Conv2D(CLASSES + 1, 3, padding="same")

    def build(self, input_shape):
        self.out.build(input_shape["image"])
        self.built = True

    def call(self, inputs, training=False):
        return {"logits": self.out(inputs["image"])}

    def get_config(self):
        return {}


SPEC = tiny_gan.SPEC | {"label_map": tf.TensorSpec([None, 4, 4], tf.int32)}


def make_task(chosen, discriminator=PixelDiscriminator, **settings):
    task = tiny_gan.make_task(objective=chosen, discriminator=discriminator, spec=SPEC, **settings)
    assert isinstance(task, gan.GANTask)
    return task


def make_batch(seed=0):
    batch = tiny_gan.make_batch(seed)
    return batch | {"label_map": tf.argmax(batch["mask"], -1, tf.int32)}


# --- Classes of pixels, with a view of the discriminator's own ---------------------------------


class PixelClasses(term.AdversarialLoss):
    """Real pixels shall be taken for their class, fake ones for the last, and G against it."""

    generator_needs = ("fake.outputs", "fake.inputs.label_map")
    discriminator_needs = ("real.outputs", "real.inputs.label_map", "fake.outputs")

    def generator(self, step):
        return cross_entropy(step.fake.outputs["logits"], step.fake.inputs["label_map"])

    def discriminator(self, step):
        fake = step.fake.outputs["logits"]
        nobody = tf.fill(tf.shape(fake)[:3], CLASSES)
        real = cross_entropy(step.real.outputs["logits"], step.real.inputs["label_map"])
        return {"loss": real + cross_entropy(fake, nobody), "entropy_real": real}


class LabelMix(term.Term):
    """What the discriminator says of a mixture is the mixture of what it says."""

    weight = 5.0
    needs = ("real.outputs", "fake.outputs", "real.inputs.label_map", "discriminator")

    def __call__(self, step):
        of_term = tf.random.experimental.stateless_fold_in(step.seed, 1)
        real_class = tf.random.stateless_uniform([], of_term, 0, CLASSES, tf.int32)
        chosen = tf.cast(step.real.inputs["label_map"] == real_class, tf.float32)[..., None]

        def mixed(real, fake):
            return chosen * real + (1.0 - chosen) * fake

        image = mixed(step.real.inputs["image"], step.fake.inputs["image"])
        logits = step.discriminate(step.real.inputs | {"image": image})["logits"]
        expected = mixed(step.real.outputs["logits"], step.fake.outputs["logits"])
        return tf.reduce_mean(tf.square(logits - expected))


def cross_entropy(logits, classes):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))


def test_classes_of_pixels_with_a_mixed_view():
    chosen = objective.Objective(PixelClasses(), discriminator_terms={"label_mix": LabelMix()})
    task = make_task(chosen)
    metrics = tf.function(task.train_step)([make_batch()], SEED)
    assert 0 < float(metrics["d/label_mix"]) and 0 < float(metrics["d/entropy_real"])
    expected = float(metrics["d/adversarial"]) + 5.0 * float(metrics["d/label_mix"])
    np.testing.assert_allclose(metrics["d/total"], expected, rtol=1e-6)
    first, batch = float(metrics["g/adversarial"]), make_batch()
    for _ in range(20):  # the generator alone learns what the discriminator calls its classes
        last = task._updates.update_generator([(batch, SEED)], ())
    assert float(last["g/adversarial"]) < first


# --- An augmentation that moves image and map, with a state that follows the scores ------------


class Flip(term.Augmentation):
    """Mirrors images and maps with probability p, which follows the sign of the scores."""

    moves = ("image", "mask", "label_map")

    def __init__(self):
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.p = tf.Variable(0.5, trainable=False, name="p", aggregation=first)
        self.variables = [self.p]

    def __call__(self, inputs, seed):
        some = tf.random.stateless_uniform([tf.shape(inputs["image"])[0]], seed) < self.p
        return inputs | {
            key: tf.where(tf.reshape(some, [-1] + [1] * (len(inputs[key].shape) - 1)),
                          tf.reverse(inputs[key], [2]), inputs[key])
            for key in self.moves if key in inputs
        }  # fmt: skip

    def observe(self, step):
        (logits,) = step.real.outputs["logits"]
        return {"sign_real": tf.reduce_mean(tf.sign(logits))}

    def after(self, metrics):
        self.p.assign(tf.clip_by_value(self.p + 0.1 * tf.sign(metrics["sign_real"] - 0.6), 0, 1))


class Agreement(term.Term):
    """Zero as long as the map goes with the image that it describes."""

    needs = ("real.inputs.label_map", "fake.inputs", "batch", "generated")

    def __call__(self, step):
        away = [
            tf.reduce_mean(tf.abs(side.inputs["image"][..., 0] - tf.cast(side.inputs["label_map"],
                                                                         tf.float32)))
            for side in (step.real, step.fake)
        ]  # fmt: skip
        moved = tf.reduce_mean(tf.abs(step.real.inputs["image"] - step.batch["image"]))
        return {"loss": 0.0 * away[0], "apart": away[0], "moved": moved}


def test_an_augmentation_moves_the_maps_along_and_keeps_a_state():
    chosen = objective.Objective(
        tiny_gan.Saturating(), discriminator_terms={"agreement": Agreement()}, augment=Flip()
    )
    task = make_task(chosen, discriminator=tiny_gan.TinyDiscriminator)
    batch = make_batch()
    batch["image"] = tf.repeat(tf.cast(batch["label_map"], tf.float32)[..., None], 3, -1)
    owner = task.state()["objective.augment"]
    metrics = tf.function(task.train_step)([batch], SEED)
    assert float(metrics["d/apart"]) == 0.0 < float(metrics["d/moved"])
    before = float(owner.variables[0])
    task.after_step(metrics)
    direction = 1 if float(metrics["d/sign_real"]) > 0.6 else -1
    np.testing.assert_allclose(float(owner.variables[0]), before + 0.1 * direction, rtol=1e-6)


def test_a_map_that_a_term_compares_moves_along_or_nothing_does():
    augment = differentiable_augmentation.DifferentiableAugmentation()
    for fits in (augment, Flip()):
        make_task(objective.Objective(PixelClasses(), augment=fits))
    augment.moves = ("image",)
    with pytest.raises(ValueError, match=r"compared with \['label_map'\]. Received: Differ"):
        make_task(objective.Objective(PixelClasses(), augment=augment))


def test_what_a_term_reads_must_be_in_the_data():
    chosen = objective.Objective(PixelClasses())
    with pytest.raises(ValueError, match=r"data with \['label_map'\], as the loss term 'adversa"):
        tiny_gan.make_task(objective=chosen, discriminator=PixelDiscriminator)


# --- Both sides at once, in both networks -------------------------------------------------------


class Relativistic(term.AdversarialLoss):
    """softplus(-+(D(x_i) - D(G_i))) of pairs."""

    generator_needs = ("real.outputs", "fake.outputs")

    def margin(self, step):
        real, fake = (side.outputs["logits"][0] for side in (step.real, step.fake))
        return tf.reduce_mean(real - fake, axis=[1, 2, 3])

    def generator(self, step):
        return tf.reduce_mean(tf.nn.softplus(self.margin(step)))

    def discriminator(self, step):
        return tf.reduce_mean(tf.nn.softplus(-self.margin(step)))


class SlopeOfBoth(term.Term):
    """Squared gradient on real and fake images, through the augmentation."""

    needs = ("batch", "generated", "real.inputs", "fake.inputs", "discriminator")

    def __call__(self, step):
        def slope(image, side):
            with tf.GradientTape() as tape:
                tape.watch(image)
                seen = step.augment(step.batch | {"image": image})
                logits = step.discriminate(side.inputs | {"image": seen["image"]})["logits"]
                total = tf.reduce_sum(tf.reduce_mean(logits[0], axis=[1, 2, 3]))
            return tf.reduce_mean(tf.reduce_sum(tape.gradient(total, image) ** 2, [1, 2, 3]))

        real, fake = step.batch["image"], tf.stop_gradient(step.generated["image"])
        return {
            "loss": (slope(real, step.real) + slope(fake, step.fake)) / 2,
            "direct": slope(real, step.real),
        }


@pytest.mark.slow
def test_a_relativistic_loss_with_penalties_on_both_sides():
    augment = differentiable_augmentation.DifferentiableAugmentation(translation=0.0, cutout=0.0)
    chosen = objective.Objective(
        Relativistic(), discriminator_terms={"slope": SlopeOfBoth()}, augment=augment
    )
    task = make_task(chosen, discriminator=tiny_gan.TinyDiscriminator)
    before = [tiny_gan.snapshot(n) for n in (task.generator, task.discriminator)]
    metrics = tf.function(task.train_step)([make_batch()], SEED)
    assert all(tiny_gan.changed(before[0], task.generator))
    assert float(metrics["d/slope"]) > 0
    # The bias of the last layer cancels in D(x) - D(G) and has no part in a slope.
    after = tiny_gan.snapshot(task.discriminator)
    moved = [np.abs(new - old).max() for old, new in zip(before[1], after, strict=True)]
    assert min(moved[:3]) > 1e-4 and moved[3] < 1e-7


# --- The generator under a tape of its own -------------------------------------------------------


class PathLength(term.Term):
    """(|d image / d noise| - a)^2 with a moving average a; lazy, and needs no discriminator."""

    weight, every = 2.0, 2
    needs = ("generator",)

    def __init__(self):
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.mean = tf.Variable(0.0, trainable=False, name="mean_length", aggregation=first)
        self.variables = [self.mean]

    def __call__(self, step):
        noise = step.generator_inputs["noise"]
        with tf.GradientTape() as tape:
            tape.watch(noise)
            image = step.generator(step.generator_inputs | {"noise": noise}, training=True)["image"]
            direction = tf.random.stateless_normal(tf.shape(image), step.seed)
            total = tf.reduce_sum(image * direction)
        lengths = tf.norm(tape.gradient(total, noise), axis=-1)
        loss = tf.reduce_mean(tf.square(lengths - self.mean))
        return {"loss": loss, "length": tf.reduce_mean(lengths)}

    def after(self, metrics):
        self.mean.assign(0.5 * self.mean + 0.5 * metrics["length"])


def train(task, numbers):
    for number in numbers:
        due = tuple(every for every in task.intervals if number % every == 0)
        metrics = task.train_step([make_batch(number)], tf.constant([0, number]), due)
        task.after_step(metrics)
        yield metrics


def test_a_lazy_path_length_of_the_generator_with_a_state_that_is_resumed(tmp_path):
    def task_of_the_run():
        chosen = objective.Objective(
            tiny_gan.Saturating(), generator_terms={"path_length": PathLength()}
        )
        return make_task(chosen, discriminator=tiny_gan.TinyDiscriminator)

    def values(task):
        return {
            name: [np.asarray(variable).tobytes() for variable in owner.variables]
            for name, owner in task.state().items()
        }

    whole, cut, resumed = (task_of_the_run() for _ in range(3))
    history = list(train(whole, range(5)))
    assert ["g/path_length" in metrics for metrics in history] == [True, False, True, False, True]
    assert int(whole.optimizers["generator"].iterations) == 5 + 3
    list(train(cut, range(3)))
    store = checkpoint.CheckpointStore(tmp_path)
    store.save(3, cut.state())
    assert store.restore(resumed.state()) == 3
    list(train(resumed, range(3, 5)))
    assert values(resumed) == values(whole) != values(cut)
    assert "objective.generator_terms.path_length" in values(whole)


# --- What is not a term -------------------------------------------------------------------------


class Misspelt(term.Term):
    needs = ("fake.output",)


class Bare:
    weight = 1.0

    def __call__(self, step):
        return 0.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            Misspelt(),
            r"generator_terms.wrong, Misspelt, without \[\], with needs \['fake.output'\]",
        ),
        (
            Bare(),
            r"generator_terms.wrong, Bare, without \['needs', 'every', 'variables', 'after'\]",
        ),
    ],
)
def test_a_term_declares_what_it_reads(wrong, message):
    with pytest.raises(ValueError, match=message):
        objective.Objective(tiny_gan.Saturating(), generator_terms={"wrong": wrong})
