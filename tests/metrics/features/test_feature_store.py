"""What one pass leaves behind: the store of outputs."""

import numpy as np
import pytest

from metrics.features import feature_store


def test_batches_come_back_in_order_and_padding_is_left_out():
    store = feature_store.FeatureStore()
    features = np.arange(10, dtype=np.float32).reshape(5, 2)
    store.update_state({"features": features[:3], "label": np.array([4, 5, 6], np.int32)})
    store.update_state(
        {"features": features[[3, 4, 0]], "label": np.array([7, 8, 0], np.int32)},
        valid=[True, True, False],
    )
    result = store.result()
    assert store.count == 5
    np.testing.assert_array_equal(result["features"], features)
    np.testing.assert_array_equal(result["label"], [4, 5, 6, 7, 8])
    assert result["features"].dtype == np.float32 and result["label"].dtype == np.int32
    store.reset_state()
    assert store.count == 0
    store.update_state({"other": np.zeros([1])})
    assert list(store.result()) == ["other"]


def test_the_store_does_not_follow_the_buffer_it_was_given():
    store, buffer = feature_store.FeatureStore(), np.ones([2, 1])
    store.update_state({"features": buffer})
    buffer[:] = 7.0
    np.testing.assert_array_equal(store.result()["features"], np.ones([2, 1]))


@pytest.mark.parametrize(
    ("arrays", "valid", "message"),
    [
        ({}, None, "one entry for each image. Received: lengths {}"),
        ({"features": np.zeros([2, 3]), "label": np.zeros([1])}, None, "'label': 1"),
        ({"features": np.zeros([])}, None, "'features': None"),
        ({"features": np.zeros([2, 3])}, [True], "'valid': 1"),
        ({"features": np.zeros([2, 4])}, None, "shapes and dtypes as before"),
        ({"features": np.zeros([2, 3], np.float32)}, None, "shapes and dtypes as before"),
        ({"features": np.array([[1.0, np.nan, np.inf]])}, None, "Received: features with 2 that"),
    ],
)
def test_what_does_not_fit_the_store_is_refused(arrays, valid, message):
    store = feature_store.FeatureStore()
    store.update_state({"features": np.zeros([2, 3])})
    with pytest.raises(ValueError, match=message):
        store.update_state(arrays, valid)
    assert store.count == 2


def test_what_is_not_finite_may_stand_in_the_padding():
    store = feature_store.FeatureStore()
    store.update_state({"features": np.array([[1.0], [np.nan]])}, valid=[True, False])
    assert store.count == 1


def test_an_empty_store_has_no_result():
    with pytest.raises(ValueError, match="at least one image. Received: none"):
        feature_store.FeatureStore().result()
