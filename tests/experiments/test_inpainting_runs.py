"""Inpainting from config to run folder: what is logged and shown, phases, resuming, replicas."""

import json
import re

import hydra
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import train
from scripts.command import overrides
from tests.helpers import distribution, saved_variables, tiny
from training.runs import run_config, run_folder
from training.tasks import network_inputs, steps
from training.watch import contact_sheet

STEPS = [
    "debug=few_steps", "trainer.steps=2", "summaries.rows=2", "evaluation.num_images=3",
    "task.objective.adversarial_start_step=1", "task.discriminator_steps=1",
]  # fmt: skip
CRITICS = {"d/adversarial", "d/gradient_penalty", "d/gradient_norm", "learning_rate/discriminator"}
SEED = tf.constant([0, 7])


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


def compose(experiment, data_root, *overrides):
    """The tiny form of an experiment, its config checked as train.py does."""
    data = [f"data.root={data_root}/photos"]
    if experiment == "inpaint_synthetic":
        data = tiny.data_overrides(data_root)
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        config = hydra.compose("train", [
            f"experiment={experiment}", *tiny.INPAINTING_OVERRIDES, *data, *STEPS, *overrides,
        ])  # fmt: skip
    run_config.check_targets(config)
    run_config.check_keys(config, "train")
    return config


def trained(config, path):
    path.mkdir(exist_ok=True)
    run = run_folder.RunFolder(path)
    assert train.train(config, run) == 0
    return run, [json.loads(line) for line in run.metrics.read_text().splitlines()]


def finite(lines):
    return all(np.isfinite(value) for line in lines for value in line.values())


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["inpaint_synthetic", "inpaint_freeform"])
def test_an_experiment_trains_through_both_phases(experiment, data_root, tmp_path, monkeypatch):
    titles, draw = [], contact_sheet.contact_sheet

    def watched(columns, rows=()):
        titles.append(list(columns))
        return draw(columns, rows)

    monkeypatch.setattr(contact_sheet, "contact_sheet", watched)
    run, lines = trained(compose(experiment, data_root), tmp_path / "run")
    attentive = experiment != "inpaint_freeform"
    shown = ["original", "masked", "coarse", "refined", "pasted"] + ["layout"] * attentive
    assert titles[0] == shown
    sheet = np.asarray(Image.open(run.samples / "step_00000002.png"))
    assert sheet.shape[1] == contact_sheet.tile_corner(0, len(shown), tiny.SIZE, tiny.SIZE)[0] - 2

    warm, last = lines[0], [line for line in lines if "d/adversarial" in line][-1]
    assert finite(lines) and [line["step"] for line in lines][:2] == [1, 2]
    assert not any(name.startswith("d/") for name in warm) and "g/adversarial" not in warm
    terms = {"g/coarse", "g/refined"}
    if attentive:
        terms = {
            f"g/{part}_{stage}" for part in ("hole", "valid") for stage in ("coarse", "refined")
        }
        assert set(last) > CRITICS | {"g/mask_entropy", "g/orthogonality", "entity_share/g_15"}
    assert set(warm) > terms and set(last) > terms | {"g/adversarial", "d/logit_fake"}
    measured = {name for line in lines for name in line if name.startswith("eval/")}
    assert measured == {f"eval/{n}" for n in ("psnr", "ssim", "l1_percent", "hole_l1_percent")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "overrides"),
    [
        ("inpaint_photos", ["devices.precision=mixed_bfloat16"]),
        ("inpaint_freeform", ["devices.precision=mixed_bfloat16", "augment=affine"]),
        ("inpaint_facades_small", [
            "holes=strokes", "discriminator=inpainting_patch_critics",
            "discriminator.patch_channels=[4,4]", "generator.attention=null",
            "task.update_order=g_then_d", "data.encoding.mask_in_step=true",
            "+task.averaging._target_=training.tasks.averaging.WeightAveraging",
        ]),
    ],
    ids=["bfloat16", "gated_bfloat16", "patch_critics"],
)  # fmt: skip
def test_a_setting_trains(experiment, overrides, data_root, tmp_path):
    """Adversarial from the first step on."""
    settings = ["task.objective.adversarial_start_step=0", "evaluation.metrics={}", *overrides]
    _, lines = trained(compose(experiment, data_root, *settings), tmp_path / "run")
    assert finite(lines) and {"d/total", "g/total"} < set(lines[0])


@pytest.mark.parametrize("name", ["SelfAttention", "ContextualAttention"])
def test_another_attention_is_chosen_by_the_lines_of_the_config(name, data_root):
    text = (tiny.ROOT / "configs/generator/inpainting.yaml").read_text()
    added = re.search(rf"'(generator.attention=\S+ \S+{name}.)'", text)[1]
    config = compose("inpaint_synthetic", data_root, *overrides.with_nulls([added]))
    generator = hydra.utils.instantiate(config.generator, _convert_="all")
    assert type(generator.attention).__name__ == name
    shown = {"masked_image": tf.zeros([1, 16, 24, 3]), "hole": tf.ones([1, 16, 24, 1])}
    assert generator(shown)["image"].shape == (1, 16, 24, 3)


@pytest.mark.parametrize("in_step", ["false", "true"])
def test_pixels_that_differ_in_the_hole_alone_change_nothing(in_step, tmp_path):
    """From two folders of files to what is painted, in training and after it."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, 8, tiny.SIZE, tiny.SIZE, 3), np.uint8)
    images[1] = images[0]
    inside = slice(tiny.SIZE // 4, 3 * tiny.SIZE // 4)
    images[1, :, inside, inside] = 255 - images[0, :, inside, inside]
    made, task = [], None
    for number, folder in enumerate(images):
        (root := tmp_path / str(number)).mkdir()
        for place, pixels in enumerate(folder):
            Image.fromarray(pixels).save(root / f"{place}.png")
        config = compose("inpaint_facades_small", tmp_path, "holes=center", f"data.root={root}",
                         "data/splits=hashed", f"data.encoding.mask_in_step={in_step}")  # fmt: skip
        data = hydra.utils.instantiate(config.data, _convert_="all")
        if task is None:
            task = hydra.utils.instantiate(config.task, _convert_="all")
            task.build(steps.spec_after(data.preprocess, data.element_spec))
        batch = data.preprocess(next(iter(data.training_dataset(global_batch_size=4))))
        inputs = network_inputs.for_training(task.generator, batch, SEED)
        outputs = [
            task.generator(inputs, training=True),
            task.generate(batch, tf.zeros([4], tf.int32)),
            task.previews(batch, tf.zeros([4], tf.int32)),
        ]
        made.append((batch["image"], outputs))
    differs = np.any(made[0][0] != made[1][0], axis=(0, 3))
    np.testing.assert_array_equal(differs[inside, inside], True)
    tf.nest.map_structure(np.testing.assert_array_equal, made[0][1], made[1][1])


@pytest.mark.slow
def test_a_run_stopped_around_the_change_of_phases_ends_with_the_same_bytes(data_root, tmp_path):
    """Critics rest for three steps; stopped in front of the change, and at it."""

    def variables(folder, *all_steps):
        for last in all_steps:
            config = compose(
                "inpaint_freeform", data_root, f"trainer.steps={last}", "evaluation.metrics={}",
                "task.objective.adversarial_start_step=3", "trainer.preview_every_steps=0",
            )  # fmt: skip
            run, _ = trained(config, tmp_path / folder)
        return saved_variables.bytes_of(run.checkpoints / "step_00000005")

    whole = variables("whole", 5)
    for owner in ("generator_optimizer", "discriminator_optimizer"):
        assert any(owner in name for name in whole)
    assert variables("resumed", 2, 3, 5) == whole


@pytest.mark.slow
def test_two_replicas_equal_one_over_the_change_of_phases(data_root):
    """Networks without noise: every replica draws noise of its own."""
    config = compose("inpaint_freeform", data_root)
    data = hydra.utils.instantiate(config.data, _convert_="all")
    batches = list(data.training_dataset(global_batch_size=4).take(2))

    def make_task():
        tf.keras.utils.set_random_seed(1)
        task = hydra.utils.instantiate(config.task, _convert_="all")
        task.build(data.element_spec)
        return task

    single = make_task()
    strategy = distribution.two_replicas()
    with strategy.scope():
        double = make_task()
    for step, batch in enumerate(batches):  # one of each phase
        single.phases[step]([batch], SEED)
        parts = [{k: v[:2] for k, v in batch.items()}, {k: v[2:] for k, v in batch.items()}]
        share = strategy.experimental_distribute_values_from_function(
            lambda context, parts=parts: parts[context.replica_id_in_sync_group]
        )
        tf.function(strategy.run)(double.phases[step], ([share], SEED))
    compared = 0
    for name, owner in single.state().items():
        for one, two in zip(owner.variables, double.state()[name].variables, strict=True):
            np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-5, err_msg=one.name)
            compared += 1
    assert compared > 50
    assert int(double.optimizers["discriminator"].iterations.numpy()) == 1
