"""All distances over one pass of a feature network: which there are, of which images, once each."""

import numpy as np
import pytest
import tensorflow as tf

from metrics.distances import (
    feature_distances,
    frechet,
    inception_score,
    kernel_distance,
    neighbourhoods,
)


class Corner:
    """The four values of the first two pixels in two channels, counted as it is called."""

    name = "Corner 2"

    def __init__(self, logits=False):
        self.logits, self.seen = logits, 0

    def __call__(self, image):
        self.seen += len(image)
        features = np.asarray(image, np.float32)[:, 0, :2, :2].reshape(-1, 4)
        return {"features": features} | ({"logits": features[:, :3]} if self.logits else {})


def images(count, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1.0, [count, 2, 2, 3]).astype(np.float32)


def corner(image):
    return image[:, 0, :2, :2].reshape(-1, 4)


def all_metrics(*, seed=0, class_names=None):
    return {
        "kid": kernel_distance.KID(seed=seed), "fid": frechet.FID(),
        "inception_score": inception_score.InceptionScore(),
        "intra_fid": frechet.IntraFID(class_names=class_names),
        "precision_recall": neighbourhoods.PrecisionRecall(),
        "density_coverage": neighbourhoods.DensityCoverage(), "none": None,
    }  # fmt: skip


def test_every_figure_is_that_of_its_own_function():
    network, real, made = Corner(logits=True), images(40, 0), images(30, 1, 0.5)
    labels_real, labels_made = np.arange(40) % 2, np.arange(30) % 2
    metric = feature_distances.FeatureDistances(
        network, all_metrics(seed=3, class_names=["cat", "dog"]),
        real=lambda: {"features": corner(real), "label": labels_real},
    )  # fmt: skip
    for part in (slice(0, 20), slice(20, 30)):
        metric.update_state({"label": labels_made[part]}, {"image": made[part]})
    found = metric.result()
    x, y = corner(real), corner(made)
    kid = kernel_distance.kernel_distance(x, y, seed=3)
    score = inception_score.inception_score(inception_score.softmax(y[:, :3]), 10)
    fid = [
        frechet.frechet_distance_of_features(x[labels_real == k], y[labels_made == k])
        for k in (0, 1)
    ]
    expected = {
        "kernel_distance_corner_2": kid["mean"],
        "kernel_distance_corner_2_std": kid["std"],
        "frechet_distance_corner_2": frechet.frechet_distance_of_features(x, y),
        "classifier_score_corner_2": score["mean"],
        "classifier_score_corner_2_std": score["std"],
        "intra_frechet_distance_corner_2": np.mean(fid),
        "intra_frechet_distance_corner_2/cat": fid[0],
        "intra_frechet_distance_corner_2/dog": fid[1],
        **neighbourhoods.precision_recall(x, y),
        **neighbourhoods.density_coverage(x, y),
    }
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value), key
    assert metric.result() == found
    assert network.seen == 30  # one pass, whatever is measured


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("count", [4, 12])
def test_names_are_those_of_the_result_to_come(labelled, logits, count):
    """Also of figures that the network, the data or their number do not allow."""
    metric = feature_distances.FeatureDistances(
        Corner(logits=logits), all_metrics(class_names=["cat", "dog"])
    )
    spec = {"image": tf.TensorSpec([None, 2, 2, 3])}
    spec |= {"label": tf.TensorSpec([None], tf.int32)} if labelled else {}
    names = metric.names(spec, count)
    batch = {"image": images(count, 0)} | ({"label": np.arange(count) // 2} if labelled else {})
    metric.update_state(batch, {"image": images(count, 1)})
    found = [name for name in metric.result() if "/" not in name]  # classes without items lack
    assert [name for name in names if "/" not in name] == found


def test_too_few_images_are_refused_before_any_is_made():
    metric = feature_distances.FeatureDistances(Corner(), {"fid": frechet.FID()})
    with pytest.raises(ValueError, match="at least two images of each"):
        metric.names({"image": tf.TensorSpec([None, 2, 2, 3])}, 1)


def test_real_images_of_the_batches_where_none_are_given():
    real, made = images(8, 2), images(8, 3)
    metric = feature_distances.FeatureDistances(Corner(), {"fid": frechet.FID()})
    for _ in range(2):
        metric.reset_state()
        metric.update_state({"image": real}, {"image": made})
        assert metric.result()["frechet_distance_corner_2"] == pytest.approx(
            frechet.frechet_distance_of_features(corner(real), corner(made))
        )


def test_what_the_images_do_not_allow_is_left_out_or_refused():
    def measured(*names, count=4, batch=None):
        chosen = {name: metric for name, metric in all_metrics().items() if name in names}
        metric = feature_distances.FeatureDistances(
            Corner(), chosen or all_metrics(), strict=bool(chosen)
        )
        batch = {"image": images(count, 4), **(batch or {})}
        metric.update_state(batch, {"image": images(count, 5)})
        return metric.result()

    key = "distance_corner_2"
    assert set(measured()) == {f"kernel_{key}", f"frechet_{key}"}
    assert "precision" in measured(count=6)
    labels = {"label": np.array([0, 0, 1, 1])}
    assert f"intra_frechet_{key}/1" in measured(batch=labels)
    apart = {"label": np.arange(4)}
    assert f"intra_frechet_{key}" not in measured(batch=apart)
    with pytest.raises(ValueError, match="intra_fid needs a class with two real and two gen"):
        measured("intra_fid", batch=apart)
    with pytest.raises(ValueError, match="intra_fid needs images that were asked for by class"):
        measured("intra_fid")
    with pytest.raises(ValueError, match="inception_score needs a network with logits"):
        measured("fid", "inception_score")
    with pytest.raises(ValueError, match="precision_recall needs more than 5 images.*not 4"):
        measured("precision_recall")
    assert set(measured("fid")) == {f"frechet_{key}"}


def test_errors():
    with pytest.raises(KeyError, match="generated images.*Received: \\('logits',\\). Leave feat"):
        feature_distances.FeatureDistances(Corner(), {}).update_state(
            {}, {"logits": np.zeros([2, 3])}
        )


def test_a_config_leaves_them_out_without_a_network():
    assert feature_distances.of_network(None, {"fid": frechet.FID()}) is None
    metric = feature_distances.of_network(Corner(), {"fid": frechet.FID()})
    assert set(metric.metrics) == {"fid"} and not metric.strict


def test_configs_of_older_runs_name_distances_or_take_all():
    metric = feature_distances.of_network(Corner(), metrics=["fid"], seed=3)
    assert set(metric.metrics) == {"fid"} and metric.strict
    by_class = feature_distances.of_network(Corner(), by_class=True)
    assert set(by_class.metrics) == set(all_metrics()) - {"none"} and not by_class.strict
    assert set(feature_distances.of_network(Corner()).metrics) == set(by_class.metrics) - {
        "intra_fid"
    }
