"""Networks, terms and data that do not go together are refused."""

import pytest
import tensorflow as tf

from losses import differentiable_augmentation, gradient_penalty
from models.discriminators import patch, projection
from models.layers import batch_normalization
from tests.helpers import class_gan, layer_table


@pytest.mark.parametrize("penalty", [gradient_penalty.GradientPenalty(), gradient_penalty.R1()])
def test_gradient_penalties_refuse_batch_statistics(penalty):
    def critic():
        return projection.ProjectionDiscriminator(
            class_gan.CLASSES,
            (4, 6),
            downsample=(True, False),
            normalizer=batch_normalization.PlainBatchNormalization(),
        )

    message = "without batch statistics.*each image.*Received: terms \\['penalty'\\].*normalizer"
    with pytest.raises(ValueError, match=message):
        class_gan.make_task(penalty=penalty, discriminator=critic())
    class_gan.make_task(discriminator=critic())  # with the hinge loss it may


def test_a_term_of_the_hole_needs_data_with_it():
    message = r"data with \['hole'\], as .*'penalty', Masked.* Received: data with .*'label'"
    with pytest.raises(ValueError, match=message):
        class_gan.make_task(penalty=gradient_penalty.MaskedGradientPenalty())


def test_class_counts_must_agree():
    other = projection.ProjectionDiscriminator(4, (4,), downsample=(True,))
    with pytest.raises(ValueError, match="same number of classes.*'generator': 3.*: 4"):
        class_gan.make_task(discriminator=other)


def test_image_sizes_must_agree():
    spec = {**class_gan.SPEC, "image": tf.TensorSpec([None, 16, 16, 3], tf.float32)}
    with pytest.raises(ValueError, match=r"images of \(8, 8\).*Received: data of \(16, 16\)"):
        class_gan.make_task(spec=spec)


def test_sampling_labels_needs_classes():
    spec = {
        "mask": tf.TensorSpec([None, class_gan.SIZE, class_gan.SIZE, 3], tf.float32),
        "image": class_gan.SPEC["image"],
    }
    networks = {
        "generator": layer_table.small_generator(),
        "discriminator": patch.MultiScalePatchDiscriminator(4, depth=3, scales=1),
    }
    with pytest.raises(ValueError, match="sample_labels needs.*Received: SpadeGenerator"):
        class_gan.make_task(spec=spec, sample_labels=True, **networks)


class OfTheImage(differentiable_augmentation.DifferentiableAugmentation):
    """Moves the image and leaves its maps where they are."""

    def __init__(self):
        super().__init__()
        self.moves = ("image",)


def semantic_task(**settings):
    spec = {
        "mask": tf.TensorSpec([None, class_gan.SIZE, class_gan.SIZE, 3]),
        "image": class_gan.SPEC["image"],
    }
    return class_gan.make_task(
        spec=spec,
        generator=layer_table.small_generator(),
        discriminator=patch.MultiScalePatchDiscriminator(4, depth=3, scales=1),
        **settings,
    )


def test_moving_pixels_of_the_image_alone_does_not_go_with_a_map():
    with pytest.raises(ValueError, match=r"\['mask'\]. Received: OfTheImage that moves pixels"):
        semantic_task(augment=OfTheImage())
    semantic_task(augment=differentiable_augmentation.DifferentiableAugmentation(scale=0.2))
