"""Weights of rare classes against pixels counted by hand, and what cannot be counted."""

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.experiments import test_segmenter_runs
from tests.helpers import image_files
from training.runs import class_weights

WORD = "task.loss.class_weights=inverse_frequency"


@pytest.fixture
def root(tmp_path):
    """Ids 0 to 3, of which 2 is ignored below and 4 never occurs."""
    return image_files.write_folder(tmp_path / "set", {"train": 5, "validation": 2})


def filled(root, *overrides, word=WORD):
    """The config with its weights, after the check of the data."""
    config = test_segmenter_runs.compose(
        "experiment=segment_facades", "data=paired_folders", "data/splits=folders",
        f"data.root={root}", "data.encoding.num_classes=5", "data.encoding.ignore_index=2",
        "data.encoding.check=all", word, *overrides,
    )  # fmt: skip
    data = hydra.utils.instantiate(config.data, _convert_="all")
    class_weights.fill(config, data, data.check())
    return config


def test_weights_are_those_counted_by_hand_in_the_training_split(root, caplog):
    counts = dict.fromkeys(range(5), 0)
    for path in (root / "labels" / "train").glob("*"):
        for value in np.asarray(Image.open(path)).ravel():
            counts[int(value)] += 1
    del counts[2]  # ignored
    total = sum(counts.values())
    expected = [total / (5 * counts[k]) if counts.get(k) else 0.0 for k in range(5)]
    with caplog.at_level("INFO"):
        weights = filled(root).task.loss.class_weights
    assert list(weights) == pytest.approx(expected, rel=1e-12)
    assert weights[2] == weights[4] == 0.0
    least, most = (f(w for w in expected if w) for f in (min, max))
    assert (
        f"inverse frequency: from {least:.3g} (class {expected.index(least)}) to {most:.3g} "
        f"(class {expected.index(most)}); 0 for those that never occur: class 2, class 4"
    ) in caplog.text
    # All pixels together weigh what they would at 1, but for the two classes without any.
    assert sum(w * counts.get(k, 0) for k, w in enumerate(weights)) == pytest.approx(total * 3 / 5)


def test_other_settings_are_left_alone(root):
    for word in ("task.loss.class_weights=null", "task.loss.class_weights=[1,2,3,4,5]"):
        before = OmegaConf.to_container(test_segmenter_runs.compose(
            "experiment=segment_facades", word)).get("task")["loss"]  # fmt: skip
        assert filled(root, "data.encoding.check=none", word=word).task.loss == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "data.encoding.check=none",
            "Received: data.encoding.check=none. Set data.encoding.check=all",
        ),
        ("data.encoding.check=sample:99", "check=sample:99. Set data.encoding.check=all"),
        ("task.loss.class_weights=inverse", "null, a list .*inverse_frequency. Received: .*=inver"),
        ("task.target=label", "counts the pixels of label maps.*Received: task.target=label"),
    ],
)
def test_what_cannot_be_counted_is_said(root, setting, message):
    with pytest.raises(ValueError, match=message):
        filled(root, setting)
