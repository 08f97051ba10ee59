"""What each kind shows, names and refuses; no run and no file is needed for it."""

import types

import numpy as np
import pytest

from training.kinds import (
    class_conditional,
    classification,
    inpainting,
    kind,
    noise,
    segmentation,
    semantic,
    unconditional,
)

IMAGE = np.linspace(-1, 1, 5 * 2 * 3 * 3, dtype=np.float32).reshape(5, 2, 3, 3)
LABELS = np.array([2, 0, 2, 2, 0], np.int32)
BATCH = {
    "image": IMAGE,
    "masked_image": IMAGE / 2,
    "label": LABELS,
    "label_map": np.ones([5, 2, 3], np.uint8),
}
NAMES = ("cat", "dog", "eel")
ALL = (
    class_conditional.ClassConditional, classification.Classification, inpainting.Inpainting,
    segmentation.Segmentation, semantic.Semantic, unconditional.Unconditional,
)  # fmt: skip


def colorize(ids):
    return np.repeat(np.uint8(ids)[..., None] * 9, 3, -1)


@pytest.mark.parametrize(
    ("of", "titles", "rows"),
    [
        (semantic.Semantic, ["label map", "real"], []),
        (segmentation.Segmentation, ["label map", "real"], []),
        (class_conditional.ClassConditional, ["real"], ["eel", "cat", "eel", "eel", "cat"]),
        (classification.Classification, ["real"], ["eel", "cat", "eel", "eel", "cat"]),
        (inpainting.Inpainting, ["original", "masked"], []),
        (unconditional.Unconditional, ["real"], []),
    ],
)
def test_what_a_sheet_shows_of_what_is_given(of, titles, rows):
    columns, found = of().given(BATCH, colorize, NAMES)
    assert list(columns) == titles and found == rows
    for title, entry in (("real", "image"), ("original", "image"), ("masked", "masked_image")):
        if title in columns:
            expected = np.clip(np.round((BATCH[entry] + 1) * 127.5), 0, 255)
            np.testing.assert_array_equal(columns[title], expected)
    if "label map" in columns:
        assert (columns["label map"] == 9).all()


def test_items_that_noise_alone_tells_apart_are_previewed_with_different_noise():
    assert class_conditional.ClassConditional().preview_seeds(BATCH).tolist() == [0, 0, 1, 2, 1]
    assert unconditional.Unconditional().preview_seeds(BATCH).tolist() == [0, 1, 2, 3, 4]
    assert semantic.Semantic().preview_seeds(BATCH).tolist() == [0] * 5


def test_every_kind_has_a_name_of_its_own_and_says_what_it_is_asked_by():
    assert len({of.name for of in ALL}) == len(ALL)
    for of in ALL:
        assert (of.condition is None) == (of is unconditional.Unconditional)
        assert (
            (of.settings is None) == (of.pictured is None) == (of is classification.Classification)
        )
        assert of.judge is None or of.judge.kind in {other.name for other in ALL}


def test_names_of_classes_are_those_of_images_or_of_pixels():
    data = types.SimpleNamespace(class_names=("wall", "roof"))
    run = types.SimpleNamespace(image_class_names=["cat"], data=data)
    found = {of.name: of().class_names(run) for of in ALL}
    assert found == {
        "class-conditional": ("cat",), "classification": ("cat",), "inpainting": (),
        "segmentation": ("wall", "roof"), "semantic": ("wall", "roof"), "unconditional": (),
    }  # fmt: skip


def with_noise(noise_dim=4):
    network = types.SimpleNamespace(noise_dim=noise_dim)
    task = types.SimpleNamespace(generating_network=network)
    return types.SimpleNamespace(task=task, image_class_names=NAMES)


def test_classes_are_taken_in_turn_or_spread():
    def labels(count):
        names, batch = class_conditional.ClassConditional().examples(with_noise(), count)
        assert names == [NAMES[index] for index in batch["label"]]
        return batch["label"].tolist()

    assert labels(5) == [0, 1, 2, 0, 1] and labels(2) == [0, 1]
    assert unconditional.Unconditional().examples(with_noise(), 3) == (["0", "1", "2"], {})


def test_the_grid_of_noise_has_eight_columns_and_a_shorter_last_row():
    grid = unconditional.Unconditional().grid(with_noise(), count=10, seed=3)
    assert grid.names == [f"seed_{seed}" for seed in range(3, 13)]
    assert len(grid.columns) == 8 and grid.rows == ["from seed 3", "from seed 11"]
    expected = noise.of_seeds(with_noise(), range(3, 13), None)
    np.testing.assert_array_equal(grid.conditions(np.array([9, 0]))["noise"], expected[[9, 0]])
    listed = unconditional.Unconditional().grid(with_noise(), seeds=[7, 3, 7], truncation=0.5)
    assert listed.names == ["seed_7", "seed_3"] and listed.columns == ["1", "2"]
    assert np.abs(listed.conditions(np.arange(2))["noise"]).max() <= 0.5


def test_between_two_seeds_noise_stays_as_long():
    grid = unconditional.Unconditional().grid(
        with_noise(4000), seeds=[3, 7], interpolate="seeds", steps=5
    )
    assert grid.columns == ["seed 3", "0.25", "0.50", "0.75", "seed 7"] and not grid.rows
    rows = grid.conditions(np.arange(5))["noise"]
    np.testing.assert_allclose(rows[[0, 4]], noise.of_seeds(with_noise(4000), [3, 7], None),
                               atol=1e-6)  # fmt: skip
    np.testing.assert_allclose(rows.std(axis=1), 1.0, atol=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interpolate": "classes"}, "interpolate=seeds or null. Received: interpolate=classes"),
        ({"steps": 1}, "two steps.*steps=1"),
        ({"steps": None}, "Expected a number. Received: steps=None"),
        ({"truncation": 0.001}, "threshold of at least 0.02.*truncation=0.001"),
        ({"interpolate": "seeds", "seeds": [1, 2, 3]}, "two seeds.*seeds=\\[1, 2, 3\\]"),
    ],
)
def test_settings_of_noise_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        unconditional.Unconditional().grid(with_noise(), **settings)


def test_a_plain_kind_has_no_grid():
    with pytest.raises(NotImplementedError, match="Kind has no grid"):
        kind.Kind().grid(with_noise(), seeds=None)
