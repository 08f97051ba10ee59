"""Opening runs: the variables that generate and no others, nothing of the process changed."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import saved_run, tiny
from training.runs import trained_run

KINDS = {
    "semantic": ["experiment=spade_synthetic", *tiny.OVERRIDES],
    "class-conditional": ["experiment=class_synthetic", *tiny.CLASS_OVERRIDES],
    "inpainting": ["experiment=inpaint_synthetic", *tiny.INPAINTING_OVERRIDES],
    "segmentation": tiny.SEGMENTER_OVERRIDES,
    "classification": ["experiment=classify_synthetic", *tiny.CLASSIFIER_OVERRIDES],
}
AVERAGED = {"semantic", "class-conditional", "segmentation", "classification"}


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
