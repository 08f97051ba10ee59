"""Image quality by hole area against closed forms and ImageQuality of separated images."""

import numpy as np
import pytest
import tensorflow as tf

from metrics import hole_area_bins, image_quality
from training.watch import evaluation

SIZE = (20, 25)  # 500 pixels: 5 of them are a percent


def images(missing, seed=0):
    """A batch whose items miss so many pixels, and random repairs of them."""
    draw = np.random.default_rng(seed)
    hole = np.zeros([len(missing), SIZE[0] * SIZE[1]], np.float32)
    for item, count in zip(hole, missing, strict=True):
        item[draw.permutation(item.size)[:count]] = 1.0
    hole = hole.reshape(-1, *SIZE, 1)
    image, fake = draw.uniform(-1, 1, [2, len(missing), *SIZE, 3]).astype(np.float32)
    return {"image": image, "hole": hole}, {"image": image * (1 - hole) + fake * hole}


def measured(*pairs):
    metric = hole_area_bins.HoleAreaBins()
    for batch, generated in pairs:
        metric.update_state(batch, generated)
    return metric.result()


@pytest.mark.parametrize(
    ("missing", "name"),
    [
        (1, "0_to_10"), (50, "0_to_10"), (51, "10_to_20"), (100, "10_to_20"), (101, "20_to_30"),
        (150, "20_to_30"), (200, "30_to_40"), (250, "40_to_50"), (300, "50_to_60"),
        (301, "60_to_100"), (500, "60_to_100"),
    ],
)  # fmt: skip
def test_an_edge_belongs_to_the_bin_below_it(missing, name):
    result = measured(images([missing]))
    assert set(result) == {
        f"{metric}/hole_{name}"
        for metric in ("psnr", "ssim", "l1_percent", "hole_l1_percent", "images")
    }


def test_known_errors_in_two_bins():
    """A fifth of 255 too bright in the hole: L1 and PSNR follow from the hole's area alone."""
    batch, _ = images([25, 125, 225])
    batch["image"][:] = -0.5
    fake = batch["image"] + 0.4 * batch["hole"]
    result = measured((batch, {"image": fake}))
    for name, share in (("0_to_10", 0.05), ("20_to_30", 0.25), ("40_to_50", 0.45)):
        np.testing.assert_allclose(result[f"l1_percent/hole_{name}"], 20 * share, rtol=1e-9)
        np.testing.assert_allclose(result[f"hole_l1_percent/hole_{name}"], 20.0, rtol=1e-9)
        psnr = 10 * np.log10(25 / share)
        np.testing.assert_allclose(result[f"psnr/hole_{name}"], psnr, rtol=1e-9)
        assert result[f"images/hole_{name}"] == 1.0


def test_bins_are_image_quality_of_the_images_separated_by_hand():
    first, second = images([10, 60, 0, 70], seed=1), images([300, 40, 499], seed=2)
    result = measured(first, second)
    items = {"0_to_10": [(first, 0), (second, 1)], "10_to_20": [(first, 1), (first, 3)],
             "50_to_60": [(second, 0)], "60_to_100": [(second, 2)]}  # fmt: skip
    expected = {}
    for name, members in items.items():
        quality = image_quality.ImageQuality()
        for (batch, generated), index in members:
            one = slice(index, index + 1)
            quality.update_state(
                {key: value[one] for key, value in batch.items()},
                {"image": generated["image"][one]},
            )
        expected |= {f"{key}/hole_{name}": value for key, value in quality.result().items()}
        expected[f"images/hole_{name}"] = float(len(members))
    assert list(result) == list(expected)
    np.testing.assert_allclose(list(result.values()), list(expected.values()), rtol=1e-6)


def test_an_evaluation_with_a_padded_last_batch_takes_it():
    batch, generated = images([30, 130, 230, 330])
    batches = [
        {**{key: tf.constant(value) for key, value in batch.items()}, "valid": tf.constant(valid)}
        for valid in ([True] * 4, [True, False, False, False], [False] * 4)
    ]
    run = evaluation.Evaluation({"bins": hole_area_bins.HoleAreaBins()}, batch_size=4)
    result = run.measure(lambda *_: generated, batches)
    counts = {name: value for name, value in result.items() if "images/" in name}
    assert counts == {
        "eval/images/hole_0_to_10": 2.0,
        "eval/images/hole_20_to_30": 1.0,
        "eval/images/hole_40_to_50": 1.0,
        "eval/images/hole_60_to_100": 1.0,
    }


def test_what_cannot_be_binned_is_refused():
    metric = hole_area_bins.HoleAreaBins()
    batch, generated = images([0, 0])
    metric.update_state(batch, generated)
    with pytest.raises(ValueError, match="at least one image with a hole. Received: none"):
        metric.result()
    metric.update_state(*images([5]))
    metric.reset_state()
    with pytest.raises(ValueError, match="Received: none"):
        metric.result()
    with pytest.raises(ValueError, match="a batch with \"hole\". Received: \\['image'\\]"):
        metric.update_state({"image": batch["image"]}, generated)
