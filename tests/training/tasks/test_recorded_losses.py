"""Losses of tiny experiments against those recorded before the contract of terms came.

Relative tolerances, as the last bits differ between processors; the bytes were compared once.
"""

import hydra
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import tiny
from training.runs import classes
from training.tasks import steps

OVERRIDES = {
    "class_synthetic": [*tiny.CLASS_OVERRIDES, "trainer.batch_size=2"],
    "inpaint_synthetic": tiny.INPAINTING_OVERRIDES,
    "spade_synthetic_style": [
        *(text.replace("generator.", "generator.generator.") for text in tiny.OVERRIDES),
        "generator.encoder.width=4",
    ],
    "segment_synthetic": [*tiny.SEGMENTER_OVERRIDES[1:], "trainer.batch_size=2"],
}
# Of the third step from seed 0, without late starts.
RECORDED = {
    "class_synthetic": {
        "d/adversarial": 4.212862,
        "d/logit_real": -2.160876,
        "d/logit_fake": 0.051986,
        "d/total": 4.220861,
        "g/adversarial": 0.178478,
        "g/total": 0.186478,
    },
    "inpaint_synthetic": {
        "d/adversarial": 0.08262,
        "d/logit_real": 0.167963,
        "d/logit_fake": 0.250583,
        "d/gradient_penalty": 0.352525,
        "d/gradient_norm": 0.420889,
        "d/total": 3.607871,
        "g/adversarial": -0.25101,
        "g/hole_coarse": 0.249044,
        "g/hole_refined": 0.251169,
        "g/valid_coarse": 0.302665,
        "g/valid_refined": 0.305276,
        "g/total": 1.469692,
    },
    "spade_synthetic_style": {
        "d/adversarial": 2.095244,
        "d/logit_real": 0.078498,
        "d/logit_fake": 0.049923,
        "d/total": 2.095244,
        "g/adversarial": -0.04737,
        "g/feature_matching": 0.55193,
        "g/kl_divergence": 30.744722,
        "g/total": 5.779373,
    },
    "segment_synthetic": {"loss/total": 2.673505},
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


@pytest.mark.parametrize(
    "experiment",
    [e if "class" in e else pytest.param(e, marks=pytest.mark.slow) for e in OVERRIDES],
)
def test_the_third_step_has_the_recorded_losses(experiment, data_root):
    keras.utils.set_random_seed(0)
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        order = "data.shuffle=index_shuffle"  # that of the runs that were recorded
        chosen = [f"experiment={experiment}", *OVERRIDES[experiment], order]
        config = hydra.compose("train", [*chosen, *tiny.data_overrides(data_root)])
    data = hydra.utils.instantiate(config.data, _convert_="all")
    classes.fill_counts(config, data.image_class_names)
    task = hydra.utils.instantiate(config.task, _convert_="all")
    task.build(steps.spec_after(data.preprocess, data.element_spec))
    batches = iter(data.training_dataset(global_batch_size=2))
    step = tf.function(task.train_step)
    for number in range(3):
        taken = [data.preprocess(next(batches)) for _ in range(task.batches_per_step)]
        metrics = step(taken, tf.constant([0, number]))
    for name, expected in RECORDED[experiment].items():
        np.testing.assert_allclose(metrics[name], expected, rtol=2e-3, atol=2e-4, err_msg=name)
