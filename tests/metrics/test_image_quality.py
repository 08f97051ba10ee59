"""PSNR, SSIM and L1 against arithmetic by hand and loops."""

import numpy as np
import pytest

from metrics import image_quality

RNG = np.random.default_rng(3)


def unit(levels):
    """Images of 8-bit levels in [-1, 1]."""
    return (np.asarray(levels, np.float32) / 127.5 - 1.0).astype(np.float32)


def result(real, fake, hole=None):
    metric = image_quality.ImageQuality()
    batch = {"image": real} | ({} if hole is None else {"hole": hole})
    metric.update_state(batch, {"image": fake})
    return metric.result()


def test_a_constant_difference_has_a_psnr_known_by_heart():
    real = np.full([2, 12, 13, 3], 100.0)
    values = result(unit(real), unit(real + 1.0))
    np.testing.assert_allclose(values["psnr"], 48.1308036, rtol=1e-8)  # 20 log10(255)
    np.testing.assert_allclose(values["l1_percent"], 100.0 / 255.0, rtol=1e-12)
    assert "hole_l1_percent" not in values


def test_images_are_rounded_to_8_bits_and_equal_ones_have_a_bound():
    real = unit(RNG.integers(0, 256, [1, 11, 11, 3]))
    values = result(real, real + 0.3 / 127.5)
    assert values["psnr"] == image_quality.MAX_PSNR
    assert values["l1_percent"] == 0.0
    np.testing.assert_allclose(values["ssim"], 1.0, atol=1e-6)


def test_the_mean_is_over_images_and_does_not_depend_on_batches():
    real = RNG.integers(0, 256, [5, 11, 12, 3])
    fake = RNG.integers(0, 256, [5, 11, 12, 3])
    psnr = []
    for a, b in zip(real, fake, strict=True):
        squares = [(float(x) - float(y)) ** 2 for x, y in zip(a.ravel(), b.ravel(), strict=True)]
        psnr.append(10 * np.log10(255.0**2 / (sum(squares) / len(squares))))
    metric = image_quality.ImageQuality()
    for part in (slice(0, 2), slice(2, 5)):
        metric.update_state({"image": unit(real[part])}, {"image": unit(fake[part])})
    np.testing.assert_allclose(metric.result()["psnr"], np.mean(psnr), rtol=1e-12)
    metric.reset_state()
    with pytest.raises(ValueError, match="Expected at least one image"):
        metric.result()


def test_ssim_against_the_formula_at_every_window():
    real = RNG.integers(0, 256, [1, 12, 11, 3]).astype(np.float64)
    fake = np.clip(real + RNG.normal(0, 40, real.shape), 0, 255).round()
    along = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(along, along) / np.outer(along, along).sum()
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for top in range(2):
        for channel in range(3):
            x, y = (image[0, top : top + 11, :, channel] for image in (real, fake))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            values.append((2 * mx * my + c1) * (2 * cov + c2)
                          / ((mx**2 + my**2 + c1) * (vx + vy + c2)))  # fmt: skip
    np.testing.assert_allclose(result(unit(real), unit(fake))["ssim"], np.mean(values), atol=1e-4)


def test_the_error_in_the_hole_is_that_of_its_pixels():
    real, hole = np.full([2, 11, 11, 3], 50.0), np.zeros([2, 11, 11, 1], np.float32)
    fake = real.copy()
    hole[0, 2:5, 3:7] = 1.0
    fake[0, 2:5, 3:7] += 51.0  # a fifth of 255
    values = result(unit(real), unit(fake), hole)  # the second image has no hole
    np.testing.assert_allclose(values["hole_l1_percent"], 20.0, rtol=1e-10)
    np.testing.assert_allclose(values["l1_percent"], 20.0 * 12 / 121 / 2, rtol=1e-10)


@pytest.mark.parametrize("shapes", [([1, 11, 11, 3], [1, 11, 12, 3]), ([1, 10, 11, 3],) * 2])
def test_images_that_cannot_be_compared_are_refused(shapes):
    with pytest.raises(ValueError, match="at least 11 pixels wide"):
        result(*(np.zeros(shape, np.float32) for shape in shapes))
