"""Every shipped experiment composes, trains two tiny steps and leaves what a run leaves."""

import json

import hydra
import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf
from PIL import Image

import train
from tests.helpers import saved_variables, tiny
from training.runs import classes, run_config, run_folder

ALL = sorted(path.stem for path in (tiny.ROOT / "configs" / "experiment").glob("*.yaml"))
# Segmentation has a file of tests to itself, test_segmenter_runs.py.
EXPERIMENTS = [name for name in ALL if not name.startswith("segment_")]
# Where an experiment's generator has the settings that tiny.GENERATOR shrinks.
GENERATOR_NODE = {
    "spade_synthetic": "generator",
    "spade_synthetic_style": "generator.generator",
    "spade_facades": "generator",
    "spade_facades_small": "generator",
}
# The data that stand in for an experiment's own, where these are not embedded.
CLASS_DATA = {
    "class_synthetic": tiny.data_overrides,
    "class_cifar10": lambda root: [f"data.root={root.parent}/tfds"],
    "class_folders_64": lambda root: [f"data.root={root}", "data.source.photos=photos"],
    "class_imagenet_128": lambda root: [f"data.root={root.parent}/tfds"],
}
CLASSIFIER_DATA = {
    "classify_synthetic": tiny.data_overrides,
    "classify_cifar10": lambda root: [f"data.root={root.parent}/tfds"],
}
# Theirs have a file of tests to themselves, test_inpainting_runs.py.
INPAINTING = (
    "inpaint_synthetic", "inpaint_facades_small", "inpaint_photos", "inpaint_freeform",
)  # fmt: skip
# Generators of noise alone, with the settings of tiny.CLASS_OVERRIDES.
UNCONDITIONAL = ("unconditional_synthetic",)
ARMS = ("attentive_norm", "self_attention", "none")
STEPS = [
    "debug=few_steps", "trainer.steps=2", "trainer.batch_size=2", "summaries.rows=2",
    "summaries.histograms=true", "task.averaging.calibration_batches=1",
]  # fmt: skip
SEMANTIC_STEPS = [*STEPS, *tiny.DISCRIMINATOR]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny.write_tfds(folder / "tfds", "cifar10", "imagenet2012")
    return tiny.write_data(folder / "facades")


def compose(*overrides):
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        return hydra.compose("train", list(overrides))


def data_of(experiment, root):
    """The embedded set stands in for photographs that are elsewhere."""
    if "synthetic" in experiment:
        return tiny.data_overrides(root)
    return [f"data.root={root}"]


def run(tmp_path, *overrides):
    config = compose(*overrides, f"output_root={tmp_path}")
    run_config.check_targets(config)
    run_config.check_keys(config, "train")
    folder = run_folder.RunFolder(tmp_path / "run")
    folder.path.mkdir()
    assert train.train(config, folder) == 0
    return folder


def test_every_experiment_has_its_small_form_here():
    small = {*GENERATOR_NODE, *CLASS_DATA, *CLASSIFIER_DATA, *INPAINTING, *UNCONDITIONAL}
    assert small == set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", ALL)
def test_the_header_says_what_to_expect(experiment):
    text = (tiny.ROOT / "configs" / "experiment" / f"{experiment}.yaml").read_text()
    header = text[: text.index("name:")]
    for word in ("# Command:", "# Hardware:", "# Time:", "# Measured:"):
        assert word in header
    assert "TBD" not in header


@pytest.mark.parametrize("experiment", [*GENERATOR_NODE, *CLASS_DATA, *INPAINTING, *UNCONDITIONAL])
def test_the_full_size_networks_are_accepted_by_their_constructors(experiment):
    config = compose(f"experiment={experiment}", "data.root=unused")
    if experiment in CLASS_DATA:
        classes.fill_counts(config, ["cat", "dog"])
    generator = hydra.utils.instantiate(config.generator, _convert_="all")
    discriminator = hydra.utils.instantiate(config.discriminator, _convert_="all")
    assert "image" in discriminator.input_keys
    if experiment in CLASS_DATA:
        assert {"label", "noise", "seed"} == set(generator.input_keys)
        assert generator.image_size == tuple(config.data.image_size)
        assert (generator.num_classes, discriminator.num_classes) == (2, 2)
        assert generator.attentive_norm_block == 3 and discriminator.attentive_norm_block == 1
    elif experiment in UNCONDITIONAL:
        assert set(generator.input_keys) == {"noise", "seed"}
        assert set(discriminator.input_keys) == {"image", "seed"}
    elif experiment in INPAINTING:
        assert (
            {"masked_image", "hole"}
            <= set(generator.input_keys)
            <= {"masked_image", "hole", "seed"}
        )
        assert set(discriminator.input_keys) == {"image", "hole"}
    else:
        assert "mask" in generator.input_keys


def test_the_published_recipe():
    """Its first images are plain grey, as NVlabs/SPADE's are, and its rates fall to zero."""
    smaller = [f"generator.{setting}" for setting in tiny.GENERATOR]
    smaller += [*tiny.DISCRIMINATOR, "~perceptual"]
    config = compose("experiment=spade_facades", "data.root=unused", *smaller)
    task = hydra.utils.instantiate(config.task, _convert_="all")
    size, classes_of_map = (1, 64, 64), config.data.encoding.num_classes
    mask = tf.one_hot(np.random.default_rng(0).integers(0, classes_of_map, size), classes_of_map)
    task.build(
        {"mask": tf.TensorSpec([None, *mask.shape[1:]]), "image": tf.TensorSpec([None, 64, 64, 3])}
    )
    assert np.abs(task.generator({"mask": mask})["image"]).max() < 0.05
    assert (task.update_order, task.averaging) == ("g_then_d", None)
    for owner, rate in (("generator", 1e-4), ("discriminator", 4e-4)):
        adam = task.optimizers[owner]
        assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.0, 0.999, 1e-8)
        for done, share in ((0, 1.0), (0.5, 1.0), (0.75, 0.5), (1, 0.0)):
            adam.iterations.assign(int(done * config.trainer.steps))
            np.testing.assert_allclose(float(adam.learning_rate), rate * share, atol=1e-9)


@pytest.mark.parametrize("experiment", ["class_synthetic", "unconditional_synthetic"])
def test_runs_of_noise_measure_their_distance_in_a_network(experiment):
    evaluation = hydra.utils.instantiate(
        compose(f"experiment={experiment}").evaluation, _convert_="all"
    )
    names = evaluation.names({"image": tf.TensorSpec([None, 32, 32, 3])}, 40)
    assert "eval/kernel_distance_efficientnet_lite0" in names


@pytest.mark.slow
@pytest.mark.parametrize("experiment", GENERATOR_NODE)
def test_an_experiment_trains(experiment, data_root, tmp_path):
    smaller = [f"{GENERATOR_NODE[experiment]}.{setting}" for setting in tiny.GENERATOR]
    overrides = [f"experiment={experiment}", *smaller, *data_of(experiment, data_root)]
    averaged = compose(f"experiment={experiment}", "data.root=unused").task.averaging is not None
    steps = [text for text in SEMANTIC_STEPS if averaged or "task.averaging" not in text]
    folder = run(tmp_path, *overrides, *steps)
    assert_trained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", CLASS_DATA)
def test_a_class_experiment_trains(experiment, data_root, tmp_path):
    data = CLASS_DATA[experiment](data_root)
    folder = run(tmp_path, f"experiment={experiment}", *tiny.CLASS_OVERRIDES, *data, *STEPS)
    assert_trained(folder)
    names = json.loads(folder.image_class_names.read_text())
    assert names == (["cat", "dog"] if data[0].endswith("tfds") else sorted(names))
    masks = np.asarray(Image.open(folder.samples / "step_00000002_masks.png"))
    assert masks.shape[1] > 16 * tiny.SIZE


@pytest.mark.slow
@pytest.mark.parametrize("data", ["synthetic_photos", "photos", "synthetic_classes"])
def test_noise_alone_trains_on_photographs_of_any_data(data, data_root, tmp_path):
    """Their classes, where they have some, are of no interest."""
    root = tiny.data_overrides(data_root)
    settings = [f"data.root={data_root}/photos"] if data == "photos" else root
    folder = run(
        tmp_path, "experiment=unconditional_synthetic", f"data={data}", *tiny.CLASS_OVERRIDES,
        *settings, *STEPS,
    )  # fmt: skip
    assert_trained(folder)


@pytest.mark.parametrize("experiment", CLASSIFIER_DATA)
def test_a_full_size_classifier_is_accepted_by_its_constructor(experiment):
    config = compose(f"experiment={experiment}", "data.root=unused")
    assert "generator" not in config and "discriminator" not in config and "loss" not in config
    classes.fill_counts(config, ["cat", "dog"])
    network = hydra.utils.instantiate(config.image_classifier, _convert_="all")
    network.build({"image": (None, *config.data.image_size, 3)})
    assert network.num_classes == 2


@pytest.mark.parametrize("experiment", CLASSIFIER_DATA)
def test_a_classifier_trains(experiment, data_root, tmp_path):
    data = CLASSIFIER_DATA[experiment](data_root)
    folder = run(tmp_path, f"experiment={experiment}", *tiny.CLASSIFIER_OVERRIDES, *data, *STEPS)
    assert_trained(folder)
    *_, last, measured = map(json.loads, folder.metrics.read_text().splitlines())
    assert {"loss/total", "accuracy", "learning_rate/network"} < set(last)
    assert not any(name.startswith(("g/", "d/")) for name in last)
    names = json.loads(folder.image_class_names.read_text())
    assert len(names) == (2 if "cifar" in experiment else 5)
    assert {"eval/class_accuracy", *(f"eval/class_accuracy/{name}" for name in names)} < set(
        measured
    )
    assert (folder.samples / "step_00000002_confusion.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "devices.precision=mixed_float16",
        "trainer.jit_compile=true",
        "task.averaging=null",
        "data.encoding.mask_in_step=true",
    ],
)
def test_a_setting_trains_a_classifier(setting, data_root, tmp_path):
    steps = [text for text in STEPS if "averaging" not in text or "averaging" not in setting]
    folder = run(tmp_path, "experiment=classify_synthetic", *tiny.CLASSIFIER_OVERRIDES,
                 *tiny.data_overrides(data_root), *steps, setting)  # fmt: skip
    assert_trained(folder)


@pytest.mark.slow
def test_a_classifier_resumes_exactly(data_root, tmp_path):
    def variables(folder, *all_steps):
        (tmp_path / folder).mkdir()
        for steps in all_steps:
            config = compose(
                "experiment=classify_cifar10", *CLASSIFIER_DATA["classify_cifar10"](data_root),
                *tiny.CLASSIFIER_OVERRIDES, *STEPS, f"trainer.steps={steps}",
                "task.optimizer.learning_rate.end_step=4",
            )  # fmt: skip
            run = run_folder.RunFolder(tmp_path / folder)
            assert train.train(config, run) == 0
        return saved_variables.bytes_of(run.checkpoints / "step_00000004")

    assert variables("resumed", 2, 4) == variables("whole", 4)


def test_attention_is_not_for_classifiers():
    config = compose("experiment=classify_synthetic", "attention=none")
    with pytest.raises(ValueError, match="Received: generator.attentive_norm_block without a"):
        run_config.check_keys(config, "train")


@pytest.mark.parametrize("arm", ARMS)
def test_the_arms_differ_in_attention_alone(arm):
    plain, of_arm = compose("experiment=class_synthetic"), compose(
        "experiment=class_synthetic", f"attention={arm}"
    )  # fmt: skip
    for config in (plain, of_arm):
        for network in (config.generator, config.discriminator):
            network.attentive_norm_block = network.self_attention_block = None
    assert plain == of_arm


@pytest.mark.slow
def test_the_arms_run_as_one_sweep(data_root, tmp_path):
    small = [
        "experiment=class_synthetic", f"output_root={tmp_path}", *tiny.CLASS_OVERRIDES,
        *tiny.data_overrides(data_root), "trainer.steps=1", "trainer.batch_size=2",
        "summaries.rows=2", "task.averaging.calibration_batches=1",
    ]  # fmt: skip
    done = tiny.command("train.py", "-m", f"attention={','.join(ARMS)}", *small)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "class_synthetic").iterdir()
    names = [path.name for path in sorted(sweep.glob("*/"))]
    assert names == ["0", "1", "2"]
    for arm, name in zip(ARMS, names, strict=True):
        overrides = (sweep / name / ".hydra" / "overrides.yaml").read_text()
        assert f"- attention={arm}" in overrides
        lines = (sweep / name / "metrics.jsonl").read_text().splitlines()
        (logged,) = [line for line in map(json.loads, lines) if "d/total" in line]
        assert ("g/rho" in logged) == (arm == "attentive_norm") == ("entity_share/d_15" in logged)
        assert ("d/attention_gate" in logged) == (arm == "self_attention")


def test_a_block_of_the_command_line_wins_over_the_arm():
    config = compose("experiment=class_synthetic", "attention=none",
                     "generator.attentive_norm_block=2")  # fmt: skip
    assert config.generator.attentive_norm_block == 2
    assert config.discriminator.attentive_norm_block is None


@pytest.mark.slow
def test_folders_in_the_place_of_tfds(data_root, tmp_path):
    data = [f"data.root={data_root}", "data.source.photos=photos"]
    folder = run(tmp_path, "experiment=class_cifar10", "data=class_folders", *data,
                 *tiny.CLASS_OVERRIDES, *STEPS)  # fmt: skip
    assert len(json.loads(folder.image_class_names.read_text())) == 5


@pytest.mark.slow
def test_the_augmentation_goes_with_the_gradient_penalty(data_root, tmp_path):
    folder = run(
        tmp_path, "experiment=class_synthetic", *tiny.CLASS_OVERRIDES, *STEPS,
        *tiny.data_overrides(data_root), "augment=diffaugment", "loss=wgan_gp",
    )  # fmt: skip
    assert_trained(folder)
    first = json.loads(folder.metrics.read_text().splitlines()[0])
    assert {"d/gradient_penalty", "d/gradient_norm"} < set(first)


def assert_trained(folder):
    assert len(list(folder.checkpoints.glob("step_*"))) == 1
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines if not any("eval/" in name for name in line)] == [1, 2]
    assert list(folder.tensorboard.glob("events*"))
    sheet = np.asarray(Image.open(folder.samples / "step_00000002.png"))
    assert sheet.std() > 10


NEED_HOLES = {"wgan_gp_masked"}
LOSSES = sorted(
    {path.stem for path in (tiny.ROOT / "configs" / "loss").glob("*.yaml")} - NEED_HOLES
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        *([f"loss={loss}"] for loss in LOSSES),
        ["task.update_order=g_then_d", "task.discriminator_steps=2", "task.averaging=null"],
        ["devices.precision=mixed_bfloat16"],
        ["devices.precision=mixed_float16"],
        ["trainer.jit_compile=true"],
        ["data.encoding.mask_in_step=true", "data.cache.kind=none"],
        ["augment=affine", "regularizer=[lecam,r1]", "loss.discriminator_terms.r1.every=1",
         "loss.discriminator_terms.lecam.start_step=1", "schedule=cosine",
         "initializer=scaled_glorot"],
    ],
    ids=lambda overrides: overrides[0].split("=")[0].split(".")[-1] + "_" +
    overrides[0].split("=")[1][:16],
)  # fmt: skip
def test_a_setting_trains(overrides, data_root, tmp_path):
    steps = [text for text in STEPS if "averaging" not in text or "task.averaging=null" not in
             overrides]  # fmt: skip
    steps += tiny.DISCRIMINATOR
    folder = run(tmp_path, *tiny.OVERRIDES, *tiny.data_overrides(data_root), *steps, *overrides)
    last = folder.metrics.read_text().splitlines()[-1]
    assert '"g/total"' in last and "nan" not in last


def test_a_perceptual_loss_without_its_weights_says_which_file(data_root, tmp_path):
    with pytest.raises(hydra.errors.InstantiationException) as caught:
        run(
            tmp_path, *tiny.PERCEPTUAL_OVERRIDES, *tiny.data_overrides(data_root), *SEMANTIC_STEPS,
            "perceptual=squeezenet", "perceptual_weights=nowhere.h5",
        )  # fmt: skip
    text = str(caught.value.__cause__)
    assert "nowhere.h5" in text


def test_the_resolved_config_is_readable_again():
    config = compose()
    assert OmegaConf.create(OmegaConf.to_yaml(config, resolve=False)) == config
