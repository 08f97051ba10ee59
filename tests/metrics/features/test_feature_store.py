"""What one pass leaves behind: the store of outputs, and the streaming statistics of features."""

import numpy as np
import pytest

from metrics.features import feature_statistics, feature_store


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


def test_statistics_of_three_points_by_hand():
    result = feature_statistics.feature_statistics([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]])
    assert result["count"] == 3
    np.testing.assert_allclose(result["mean"], [1.0, 1.0], rtol=1e-15)
    np.testing.assert_allclose(result["covariance"], [[1.0, 0.0], [0.0, 3.0]], atol=1e-15)


def test_streaming_and_merging_equal_one_batch():
    features = np.random.default_rng(0).normal(size=[57, 6]).astype(np.float32)
    streamed, other = (feature_statistics.FeatureStatistics(6) for _ in range(2))
    for begin, end in ((0, 1), (1, 20), (20, 20), (20, 31)):
        streamed.update_state(features[begin:end])
    other.update_state(features[31:])
    streamed.merge(other)
    streamed.merge(feature_statistics.FeatureStatistics(6))
    wide = features.astype(np.float64)
    result = streamed.result()
    assert result["count"] == 57 and result["covariance"].dtype == np.float64
    np.testing.assert_allclose(result["mean"], wide.mean(axis=0), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(result["covariance"], np.cov(wide.T), rtol=1e-12, atol=1e-14)
    streamed.reset_state()
    streamed.update_state([[1.0] * 6, [3.0] * 6])
    np.testing.assert_allclose(streamed.result()["covariance"], np.full([6, 6], 2.0))


def test_features_far_from_zero_lose_no_digits():
    """Sums of squares would leave nothing here: 1e18 has steps of 128 in float64."""
    statistics = feature_statistics.FeatureStatistics(1)
    for _ in range(50):
        statistics.update_state([[1e9 - 1.0], [1e9 + 1.0]])
    result = statistics.result()
    assert result["mean"][0] == 1e9
    np.testing.assert_allclose(result["covariance"], [[100 / 99]], rtol=1e-12)


def test_wrong_statistics_are_refused():
    statistics = feature_statistics.FeatureStatistics(2)
    with pytest.raises(ValueError, match=r"shape \[B, 2\]. Received: shape \(1, 3\)"):
        statistics.update_state(np.zeros([1, 3]))
    with pytest.raises(ValueError, match="finite features. Received: 1 that"):
        statistics.update_state([[np.nan, 0.0]])
    with pytest.raises(ValueError, match="of 2 features. Received: other.dim=3"):
        statistics.merge(feature_statistics.FeatureStatistics(3))
    statistics.update_state([[1.0, 2.0]])
    with pytest.raises(ValueError, match="at least two images for a covariance. Received: 1"):
        statistics.result()
    with pytest.raises(ValueError, match="at least one feature. Received: dim=0"):
        feature_statistics.FeatureStatistics(0)
    with pytest.raises(ValueError, match=r"shape \[N, D\]. Received: shape \(3,\)"):
        feature_statistics.feature_statistics(np.zeros([3]))
