"""When the figures of a judge are warned of."""

import pytest

from scripts.evaluating import judging

GOOD = {"mean_iou": 0.8, "iou/wall": 0.9, "iou/shop": 0.7}


def test_nothing_is_said_of_a_good_judge_of_many_images():
    figures = {"generated": {**GOOD, "mean_iou": 0.7}, "real": GOOD}
    assert judging.warnings(figures, judging.FEW) == []
    classes = {"generated": {"class_accuracy": 0.7}, "real": {"class_accuracy": 0.9}}
    assert judging.warnings(classes, judging.FEW) == []
    assert judging.warnings({"generated": {"psnr": 20.0}}, 3) == []  # of no judge


@pytest.mark.parametrize(
    ("real", "made", "fewest", "words"),
    [
        ({"mean_iou": 0.377}, {}, 500, ["weak", "mean_iou is 0.377"]),
        ({"class_accuracy": 0.4}, {"class_accuracy": 0.3}, 500, ["weak", "class_accuracy"]),
        ({**GOOD, "iou/sill": 0.0, "iou/sky": None}, {}, 500, ["nothing of sill:"]),
        ({"class_accuracy": 0.9, "class_accuracy/cat": 0.0}, {}, 500, ["nothing of cat:"]),
        (GOOD, {"mean_iou": 0.81}, 500, ["better mean_iou", "0.810 against 0.800"]),
        (GOOD, {"mean_iou": 0.7}, 99, ["99 images are few"]),
        ({}, {"mean_iou": 0.7}, 4, ["4 images are few"]),
    ],
)
def test_each_weakness_is_named(real, made, fewest, words):
    (said,) = judging.warnings({"real": real, "generated": made}, fewest)
    assert all(word in said for word in words)
