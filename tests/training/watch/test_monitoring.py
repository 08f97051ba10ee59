"""What attention layers do, as scalars and as pictures."""

import numpy as np
import tensorflow as tf

from tests.helpers import class_gan
from training.watch import monitoring


def test_what_attention_does_is_logged():
    metrics = class_gan.make_task().train_step([class_gan.make_batch()], class_gan.SEED)
    for owner in "gd":
        shares = [value for name, value in metrics.items() if f"entity_share/{owner}_" in name]
        assert len(shares) == 3
        np.testing.assert_allclose(sum(shares), 1.0, rtol=1e-5)
        assert 0 < metrics[f"{owner}/mask_entropy"] < np.log(3)
        np.testing.assert_allclose(metrics[f"{owner}/rho"], 0.5, atol=0.1)
        np.testing.assert_allclose(metrics[f"{owner}/mean_t"], 0.1, atol=0.1)


def test_previews_show_the_layout():
    batch, seeds = class_gan.make_batch(), tf.zeros([class_gan.BATCH], tf.int32)
    previews = class_gan.make_task().previews(batch, seeds)
    masks = {f"masks/{entity:02d}" for entity in range(3)}
    assert set(previews) == {"generated", "layout"} | masks
    assert all(
        previews[name].shape == (class_gan.BATCH, class_gan.SIZE, class_gan.SIZE, 3)
        for name in masks
    )
    assert set(class_gan.make_task(block=None).previews(batch, seeds)) == {"generated"}


def test_the_overlay_mixes_image_and_hues():
    image = tf.zeros([1, 4, 2, 3])
    layout = tf.constant([[[[1.0, 0.0, 0.0]], [[1 / 3, 1 / 3, 1 / 3]]]])
    out = monitoring.overlay(image, layout).numpy()
    np.testing.assert_allclose(out[0, :2], np.broadcast_to([0.5, -0.5, -0.5], (2, 2, 3)))  # red
    np.testing.assert_allclose(out[0, 2:], -1 / 6, atol=1e-6)  # grey


def test_mask_tiles_keep_the_ratio_of_masks():
    layout = tf.constant([[[[0.8, 0.2]], [[0.4, 0.6]]], [[[0.5, 0.5]], [[0.5, 0.5]]]])
    tiles = {name: tile.numpy() for name, tile in monitoring.mask_tiles(layout).items()}
    assert set(tiles) == {"00", "01"}
    np.testing.assert_allclose(tiles["00"][0, :, 0], [[1.0] * 3, [0.0] * 3], atol=1e-6)
    np.testing.assert_allclose(tiles["01"][0, :, 0], [[-0.5] * 3, [0.5] * 3], atol=1e-6)
    assert (tiles["00"][1] == 1.0).all() and (tiles["01"][1] == 1.0).all()


def test_entropy_is_0_for_hard_masks_and_ln_n_for_uniform_ones():
    hard = tf.one_hot([[[0, 1], [1, 1]]], 4)
    values = monitoring.layout_scalars(hard)
    assert values["mask_entropy"] == 0.0 and values["entity_share_01"] == 0.75
    uniform = monitoring.layout_scalars(tf.fill([1, 2, 2, 4], 0.25))
    np.testing.assert_allclose(uniform["mask_entropy"], np.log(4), rtol=1e-6)
