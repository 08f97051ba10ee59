"""Segmentation from config to run folder."""

import json

import hydra
import numpy as np
import pytest
from PIL import Image

import train
from tests.helpers import saved_variables, tiny
from training.runs import classes, run_config, run_folder
from training.watch import confusion_picture

EXPERIMENTS = ("segment_synthetic", "segment_facades")
SMALL = [
    f"data.image_size=[{tiny.SIZE},{tiny.SIZE}]", "segmenter.channels=[4,4,6,6]",
    "segmenter.blocks=1", "segmenter.pyramid_filters=4", "debug=few_steps", "trainer.steps=2",
    "trainer.batch_size=2", "summaries.rows=2", "task.averaging.calibration_batches=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tiny.write_data(tmp_path_factory.mktemp("data") / "facades")


def compose(*overrides):
    with hydra.initialize_config_dir(str(tiny.ROOT / "configs"), version_base="1.3"):
        return hydra.compose("train", list(overrides))


def run(path, *overrides):
    config = compose(*overrides)
    run_config.check_targets(config)
    run_config.check_keys(config, "train")
    folder = run_folder.RunFolder(path)
    folder.path.mkdir(exist_ok=True)
    assert train.train(config, folder) == 0
    return folder


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_full_size_segmenter_is_accepted_by_its_constructor(experiment):
    config = compose(f"experiment={experiment}", "data.root=unused")
    assert not {"generator", "discriminator", "image_classifier", "loss"} & set(config)
    assert classes.networks_with_classes(config) == []  # those are classes of whole images
    network = hydra.utils.instantiate(config.segmenter, _convert_="all")
    network.build({"image": (None, *config.data.image_size, 3)})
    assert network.label_map_classes == config.data.encoding.num_classes == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "setting"),
    [
        ("segment_synthetic", "task.loss.class_weights=[1,1,1,2,1,1,1,1,1,1,1,1]"),
        ("segment_facades", "devices.precision=mixed_float16"),
    ],
)
def test_a_segmenter_trains(experiment, setting, data_root, tmp_path):
    data = [f"data.root={data_root}"]
    if experiment == "segment_synthetic":
        data = tiny.data_overrides(data_root)
    folder = run(tmp_path / "run", f"experiment={experiment}", *SMALL, *data, setting)
    *steps, measured = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert len(steps) == 2
    assert all(np.isfinite(list(line.values())).all() for line in [*steps, measured])
    assert {"loss/total", "accuracy", "learning_rate/network"} < set(steps[-1])
    assert {"eval/mean_iou", "eval/pixel_accuracy", "eval/iou/facade"} < set(measured)
    sheet = np.asarray(Image.open(folder.samples / "step_00000002.png"))
    assert sheet.shape[1] == 4 * tiny.SIZE + 3 * 2 and sheet.std() > 10
    confusion = np.asarray(Image.open(folder.samples / "step_00000002_confusion.png"))
    names = compose(f"experiment={experiment}").data.encoding.class_names
    expected = confusion_picture.draw(np.eye(12, dtype=int), names)
    assert confusion.shape == expected.shape
    np.testing.assert_array_equal(confusion[:, :100], expected[:, :100])  # the names of the rows


@pytest.mark.slow
def test_a_segmenter_with_weights_of_rare_classes_resumes_exactly(data_root, tmp_path):
    def variables(name, *all_steps):
        for steps in all_steps:
            folder = run(
                tmp_path / name, "experiment=segment_synthetic", *SMALL,
                *tiny.data_overrides(data_root), f"trainer.steps={steps}",
                "task.optimizer.learning_rate.decay_steps=4", "data.encoding.check=all",
                "task.loss.class_weights=inverse_frequency",
            )  # fmt: skip
        return saved_variables.bytes_of(folder.checkpoints / "step_00000004")

    assert variables("resumed", 2, 4) == variables("whole", 4)


def test_a_segmenter_needs_label_maps(data_root, tmp_path):
    with pytest.raises(ValueError, match="segmenter .* needs data with label maps"):
        run(tmp_path / "run", "experiment=segment_synthetic", *SMALL, "data=class_folders",
            f"data.root={data_root}", "data.source.photos=photos")  # fmt: skip
