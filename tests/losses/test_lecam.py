"""LeCam against its formula, with the averages that it keeps."""

import numpy as np
import pytest
import tensorflow as tf

from losses import lecam
from tests.helpers import term_step

RNG = np.random.default_rng(5)
SCALES = ((3, 4, 4, 1), (3, 2, 2, 1))


def scores():
    """[real, fake], each with two scales."""
    return [[RNG.normal(0, 2, shape).astype("float32") for shape in SCALES] for _ in range(2)]


def built(**settings):
    term = lecam.LeCam(**settings)
    term.build({"logits": [tf.TensorSpec([None, *shape[1:]]) for shape in SCALES]})
    return term


def step_of(real, fake):
    outputs = [{"logits": [tf.constant(scale) for scale in side]} for side in (real, fake)]
    return term_step.with_outputs(*outputs)


def test_the_loss_is_the_distance_from_the_averages_of_the_steps_before():
    term, averages = built(decay=0.75, start_step=2), None
    for number in range(5):
        real, fake = scores()
        result = term(step_of(real, fake))
        means = np.array([[scale.astype("f8").mean() for scale in side] for side in (real, fake)])
        expected = 0.0
        if number >= 2:
            for k in range(2):
                above = np.maximum(real[k].astype("f8") - averages[1, k], 0)
                below = np.maximum(averages[0, k] - fake[k].astype("f8"), 0)
                expected += ((above**2).mean() + (below**2).mean()) / 2
        np.testing.assert_allclose(result["loss"], expected, rtol=1e-5)
        for k in range(2):
            np.testing.assert_allclose(result[f"logit_real_{k}"], means[0, k], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(result[f"logit_fake_{k}"], means[1, k], rtol=1e-4, atol=1e-6)
        term.after(result)
        averages = means if number < 2 else 0.75 * averages + 0.25 * means
        np.testing.assert_allclose(term.variables[0], averages, rtol=1e-4, atol=1e-6)
        assert int(term.variables[1]) == number + 1


def test_the_averages_are_constants_and_it_acts_on_one_side():
    term = built(start_step=1)
    term.after({"logit_real_0": 1.0, "logit_real_1": 1.0, "logit_fake_0": 0.0, "logit_fake_1": 0.0})
    real = [tf.constant([[2.0], [-3.0]])] * 2
    fake = [tf.constant([[5.0], [0.5]])] * 2
    with tf.GradientTape() as tape:
        tape.watch([real[0], fake[0]])
        step = term_step.with_outputs({"logits": real}, {"logits": fake})
        loss = term(step)["loss"]
    into_real, into_fake = tape.gradient(loss, [real[0], fake[0]])
    # Both scales are the same tensor: each has half of the weight, and the mean is over 2 images.
    np.testing.assert_allclose(into_real, [[2.0], [0.0]])
    np.testing.assert_allclose(into_fake, [[0.0], [-0.5]])


def test_half_precision_is_summed_in_float32():
    term = built(start_step=1)
    term.after({f"logit_{side}_{k}": 0.0 for side in ("real", "fake") for k in range(2)})
    large = [tf.constant([300.0], tf.float16)] * 2
    loss = term(term_step.with_outputs({"logits": large}, {"logits": large}))["loss"]
    assert loss.dtype == tf.float32 and float(loss) == 300.0**2


@pytest.mark.parametrize("settings", [{"decay": 1.0}, {"decay": -0.1}, {"start_step": 0}])
def test_settings_are_checked(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"Received: .*{name}={value}"):
        lecam.LeCam(**settings)


def test_classes_of_pixels_have_no_score():
    with pytest.raises(ValueError, match=r"list of logits.*Received: .*\(None, 8, 8, 4\)"):
        lecam.LeCam().build({"logits": tf.TensorSpec([None, 8, 8, 4])})
