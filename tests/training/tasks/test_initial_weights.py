"""One initialiser of all weights but those with spectral norm."""

import hydra
import keras
import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from models.discriminators import patch
from tests.helpers import class_gan, layer_table, tiny
from training.tasks import averaging, gan_checks

SPEC = {
    "mask": tf.TensorSpec([None, class_gan.SIZE, class_gan.SIZE, 3]),
    "image": class_gan.SPEC["image"],
}
# Standard deviation of a kernel [..., fan_in, fan_out] that has `fans` in and out together.
DEVIATIONS = {
    "normal": lambda fans: 0.02,
    "glorot": lambda fans: np.sqrt(2.0 / fans),
    "scaled_glorot": lambda fans: 0.02 * np.sqrt(2.0 / fans),
}


def kernels(network):
    """{path: (values, whether spectrally normalised)}."""
    return {
        layer.path: (layer.kernel.numpy(), hasattr(layer, "u"))
        for layer in network._flatten_layers()
        if hasattr(layer, "kernel")
    }


def make_task(initializer=None):
    keras.utils.set_random_seed(1)
    return class_gan.make_task(
        spec=SPEC,
        generator=layer_table.small_generator(),
        discriminator=patch.MultiScalePatchDiscriminator(4, depth=3, scales=2),
        initializer=initializer,
        averaging=averaging.WeightAveraging(0.9),
    )


@pytest.fixture(scope="module")
def as_it_was():
    task = make_task()
    return [kernels(getattr(task, name)) for name in gan_checks.NETWORKS]


def test_the_choices_are_all_that_there_are():
    files = (tiny.ROOT / "configs" / "initializer").glob("*.yaml")
    assert {path.stem for path in files} == set(DEVIATIONS)


@pytest.mark.parametrize("name", DEVIATIONS)
def test_every_kernel_without_spectral_norm_is_drawn_anew(name, as_it_was):
    node = OmegaConf.load(tiny.ROOT / "configs" / "initializer" / f"{name}.yaml")
    task = make_task(hydra.utils.instantiate(node))
    averaged = kernels(task.generating_network)
    drawn = []
    for network, before in zip(gan_checks.NETWORKS, as_it_was, strict=True):
        now = kernels(getattr(task, network))
        assert len({spectral for _, spectral in now.values()}) == 2  # both kinds are there
        for (path, (kernel, spectral)), (old, _) in zip(now.items(), before.values(), strict=True):
            if spectral:
                np.testing.assert_array_equal(kernel, old, err_msg=path)
                continue
            fans = np.prod(kernel.shape[:-2]) * sum(kernel.shape[-2:])
            drawn.append(kernel.ravel() / DEVIATIONS[name](fans))
            assert not np.array_equal(kernel, old)
        if network == "generator":
            for (kernel, _), (copy, _) in zip(now.values(), averaged.values(), strict=True):
                np.testing.assert_array_equal(copy, kernel)
    first = [part[:4].tobytes() for part in drawn]
    assert len(set(first)) == len(first)  # each layer has draws of its own
    drawn = np.concatenate(drawn)
    assert len(drawn) > 1000 and abs(drawn.std() - 1) < 4 / np.sqrt(2 * len(drawn))
