"""Opening runs: the variables that generate and no others, nothing of the process changed."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import saved_run, tiny
from training.loop import devices
from training.runs import trained_run

KINDS = {
    "semantic": ["experiment=spade_synthetic", *tiny.OVERRIDES],
    # Its networks lie in another: the averaged copy must have the same names as one built anew.
    "style": [
        "experiment=spade_synthetic_style",
        f"data.image_size=[{tiny.SIZE},{tiny.SIZE}]",
        *(f"generator.generator.{setting}" for setting in tiny.GENERATOR),
        *("generator.encoder.width=4", "generator.encoder.multipliers=[1,2]"),
        "generator.encoder.resize_to=16",
        *tiny.DISCRIMINATOR,
        "~perceptual",
    ],
    "class-conditional": ["experiment=class_synthetic", *tiny.CLASS_OVERRIDES],
    "inpainting": ["experiment=inpaint_synthetic", *tiny.INPAINTING_OVERRIDES],
    "segmentation": tiny.SEGMENTER_OVERRIDES,
    "classification": ["experiment=classify_synthetic", *tiny.CLASSIFIER_OVERRIDES],
}
AVERAGED = {"semantic", "style", "class-conditional", "segmentation", "classification"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """kind -> folder of an untrained run; the segmenter's precision is mixed_bfloat16."""
    folder = tmp_path_factory.mktemp("runs")
    data = tiny.data_overrides(folder / "data")
    made = {}
    for kind, overrides in KINDS.items():
        policy = "mixed_bfloat16" if kind == "segmentation" else "float32"
        keras.config.set_dtype_policy(policy)
        settings = [*overrides, *data, f"devices.precision={policy}"]
        made[kind] = saved_run.saved(folder / kind, *settings)
        keras.config.set_dtype_policy("float32")
    return made


def opened(folder, **settings):
    """(run, every variable that was created when it was opened)."""
    created = []

    def creator(create, **arguments):
        created.append(create(**arguments))
        return created[-1]

    with tf.variable_creator_scope(creator):
        return trained_run.open_run(folder, **settings), created


def variables_of(run):
    owners = run.task.generation_state().values()
    return [getattr(variable, "value", variable) for o in owners for variable in o.variables]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("averaged", [True, False], ids=["averaged", "raw"])
def test_opening_creates_the_variables_that_generate_and_no_others(runs, kind, averaged):
    run, created = opened(runs[kind], averaged=averaged)
    assert {id(v) for v in created} == {id(v) for v in variables_of(run)}
    assert run.averaged is (averaged and kind in AVERAGED)
    assert {name.startswith("averaged_") for name in run.task.generation_state()} == {run.averaged}


def process_state():
    """What opening a run must leave as it was: seeds, precision, devices."""
    keys = np.random.get_state()[1]
    return {
        "python": random.getstate(),
        "numpy": keys.tobytes(),
        "policy": keras.config.dtype_policy().name,
        "floatx": keras.config.floatx(),
        "devices": tf.config.get_visible_devices(),
        "session": keras.layers.Flatten().name,  # the next in the session's count of names
    }


def images(run, count=2):
    (network,) = run.task.generation_state().values()
    _, batch = run.data.examples("validation", count)
    outputs = run.generate(batch, tf.range(count))
    assert network.compute_dtype == ("bfloat16" if "logits" in outputs else "float32")
    return outputs["logits" if "logits" in outputs else "image"].numpy()


def test_runs_of_two_precisions_generate_side_by_side_as_alone(runs):
    painter, segmenter = runs["semantic"], runs["segmentation"]
    alone = []
    for folder in (painter, segmenter):
        keras.backend.clear_session()
        alone.append(images(trained_run.open_run(folder)))
    keras.backend.clear_session()
    before = process_state()
    opened = [trained_run.open_run(folder, device="cpu") for folder in (painter, segmenter)]
    after = process_state()
    assert [before.pop("session"), after.pop("session")] == ["flatten", "flatten_1"]  # goes on
    assert after == before
    for _ in range(2):
        for run, expected in zip(opened, alone, strict=True):
            np.testing.assert_array_equal(images(run), expected)


def test_a_device_that_is_not_there_is_refused_and_an_unknown_one_too(runs):
    with pytest.raises(ValueError, match="Expected a GPU.*device=cpu"):
        trained_run.open_run(runs["classification"], device="gpu")
    with pytest.raises(ValueError, match="device must be one of .*device='tpu'"):
        trained_run.open_run(runs["classification"], device="tpu")


def test_a_task_built_for_inference_cannot_be_trained(runs):
    parts = {
        "semantic": "discriminator=null, objective=null, opt",
        "segmentation": "loss=null, opt",
    }
    for kind, missing in parts.items():
        task = trained_run.open_run(runs[kind]).task
        with pytest.raises(ValueError, match=f"which training needs. Received: {missing}"):
            task.build({"label_map": None})


def test_the_graph_is_optimized_as_in_training(runs):
    """With Grappler's remapper an inpainting generator gives images that are visibly others."""
    devices.make_strategy("single")
    trained_with = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"remapping": True})
    run = trained_run.open_run(runs["inpainting"])
    _, batch = run.data.examples("validation", 2)
    run.generate(batch, tf.range(2))
    assert tf.config.optimizer.get_experimental_options() == trained_with
    assert trained_with["remapping"] is False
