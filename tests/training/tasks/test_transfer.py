"""Values of one network for another: names, shapes, classes."""

import keras
import numpy as np
import pytest

from models import classifier, segmenter
from models.discriminators import patch, projection
from models.generators import class_conditional, semantic
from models.layers import class_embedding, modulation, pixel_normalization
from training.tasks import transfer

OLD = ("sky", "facade", "window")
NEW = ("window", "tree", "facade", "door")
MAP = transfer.ClassMap(NEW, OLD, (2, None, 1, None))


def spade(count, width=4, **settings):
    network = semantic.SpadeGenerator(
        width, (2, 1), upsample=(True, True), normalizer=modulation.SPADE(8), **settings
    )
    return network, {"mask": (None, 16, 16, count)}


def patches(count):
    network = patch.MultiScalePatchDiscriminator(4, depth=2)
    return network, {"mask": (None, 16, 16, count), "image": (None, 16, 16, 3)}


def by_class(count, **settings):
    network = class_conditional.ClassConditionalGenerator(count, (4, 4, 4), noise_dim=6, **settings)
    return network, {"label": (None,), "noise": (None, 6)}


def embedded(count):
    embedding = class_embedding.ClassEmbedding(count, 4)
    return by_class(count, normalizer=pixel_normalization.PixelNormalization(), embedding=embedding)


def attending(count):
    return by_class(count, attentive_norm_block=1)


def projected(count):
    network = projection.ProjectionDiscriminator(count, (4, 4), downsample=(True, True))
    return network, {"label": (None,), "image": (None, 16, 16, 3)}


def segmenting(count, blocks=1):
    network = segmenter.Segmenter(count, (4, 5, 6, 7), blocks=blocks, pyramid_filters=4)
    return network, {"image": (None, 16, 16, 3)}


def classifying(count):
    return classifier.ImageClassifier(count, (4, 4)), {"image": (None, 16, 16, 3)}


def built(made, value=None):
    """(network, shapes); every value of it different, or one value."""
    network, shapes = made
    network.build(shapes)
    for index, variable in enumerate(network.variables):
        values = np.arange(np.prod(variable.shape), dtype=np.float32) + 1000.0 * (index + 1)
        values = values if value is None else np.full_like(values, value)
        variable.assign(np.reshape(values, variable.shape))
    return network, shapes


# Variables that depend on classes -> the axis.
DEPENDING = {
    "spade": (spade, "label_map", {
        "start/kernel": 2, **{f"block_{b}/spade_{n}/shared/kernel": 2
                              for b, n in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))},
    }),
    "patch": (patches, "label_map", {f"critic_{i}/first/kernel": 2 for i in range(2)}),
    "class-conditional": (by_class, "label", {
        f"block_{b}/conditional_batch_normalization_{n}/{name}": 0
        for b in range(2) for n in range(2) for name in ("gamma", "beta")
    }),
    "embedding": (embedded, "label", {"class_embedding_0/table": 0}),
    "projection": (projected, "label", {"class_embedding/embeddings": 0, "class_embedding/u": 0}),
    "segmenter": (segmenting, "label_map", {"classes/kernel": 3, "classes/bias": 0}),
    "classifier": (classifying, "label", {"linear/kernel": 1, "linear/bias": 0}),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEPENDING)
@pytest.mark.parametrize("old_count", [3, 4], ids=["other count", "same count"])
def test_what_depends_on_classes_is_taken_class_by_class(kind, old_count):
    make, entry, depending = DEPENDING[kind]
    old_names = (*OLD, "stone")[:old_count]
    classes = transfer.ClassMap(NEW, old_names, MAP.sources)
    old, _ = built(make(old_count))
    new, shapes = built(make(len(NEW)), -1.0)
    assert transfer.class_axes(new, shapes, entry) == depending
    report = transfer.transfer(new, old, shapes, {entry: classes})
    assert sorted(report.by_class) == sorted(depending)
    assert not report.new and not report.dropped
    before, now = map(transfer.variables_by_name, (old, new))
    assert set(before) == set(now)
    for name, variable in now.items():
        if name not in depending:
            np.testing.assert_array_equal(variable, before[name])
            continue
        value, source = (
            np.moveaxis(v.numpy(), depending[name], 0) for v in (now[name], before[name])
        )
        np.testing.assert_array_equal(value[[0, 2]], source[[2, 1]])
        assert (value[[1, 3]] == -1.0).all()
        np.testing.assert_array_equal(value[4:], source[old_count:])  # the image's channels


@pytest.mark.parametrize("make", [spade, attending], ids=["spade", "attention"])
def test_equal_classes_are_taken_whole_whatever_was_built_before(make):
    old, _ = built(make(3))
    spade(3), keras.layers.Conv2D(3, 3)  # names of layers go on counting
    new, shapes = built(make(3), -1.0)
    same = transfer.ClassMap(OLD, OLD, (0, 1, 2))
    report = transfer.transfer(new, old, shapes, {"label_map": same, "label": same})
    assert not report.by_class and not report.new and not report.dropped
    for target, source in zip(new.variables, old.variables, strict=True):
        np.testing.assert_array_equal(target, source)


def test_other_sizes_are_new_and_left_behind():
    old, _ = built(spade(3, noise_dim=6))
    new, shapes = built(spade(3, noise_dim=7), -1.0)
    report = transfer.transfer(new, old, shapes | {"noise": (None, 7)}, {})
    assert report.new == report.dropped == ["start/kernel"]
    assert (new.start.kernel.numpy() == -1.0).all()


def test_layers_keep_their_own_names_and_numbers():
    """A third block in the first stage is new; it does not take what the second stage has."""
    old, _ = built(segmenting(3))
    new, shapes = built(segmenting(3, blocks=2), -1.0)
    report = transfer.transfer(new, old, shapes, {})
    assert not report.dropped
    assert {name.split("/")[0] for name in report.new} == {f"stage_{i}_block_1" for i in range(4)}


def test_finding_axes_allocates_nothing():
    new, shapes = built(spade(3))
    values = [variable.numpy() for variable in new.variables]
    with keras.StatelessScope() as scope:
        transfer.class_axes(new, shapes, "label_map")
    assert not scope.state_mapping
    for variable, value in zip(new.variables, values, strict=True):
        np.testing.assert_array_equal(variable, value)
