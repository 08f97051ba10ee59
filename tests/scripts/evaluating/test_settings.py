"""Which metrics are measured of which subjects, and what is asked for them."""

import types

import pytest

from scripts.evaluating import settings, subjects
from tests.helpers import saved_run
from training.kinds import class_conditional, classification, inpainting, segmentation, semantic

KINDS = {
    "semantic": semantic.Semantic(), "class-conditional": class_conditional.ClassConditional(),
    "inpainting": inpainting.Inpainting(), "classifier": classification.Classification(),
    "segmenter": segmentation.Segmentation(), "folders": subjects.Folders(),
}  # fmt: skip
GIVEN = ["features=saved", "feature_weights=some.keras", "features.name=Some"]


def chosen(kind, *words):
    subject = types.SimpleNamespace(kind=KINDS[kind], described=f"a run, a {kind} run,")
    return list(settings.chosen_metrics(subject, saved_run.compose("evaluate", *words)))


def test_all_that_the_settings_allow():
    distances = ["kid", "fid", "inception_score", "precision_recall", "density_coverage"]
    assert chosen("semantic", *GIVEN) == distances
    assert chosen("semantic", "judge=run") == ["miou"]
    assert chosen("semantic", "judge=run", *GIVEN) == [*distances, "miou"]
    assert set(chosen("class-conditional", *GIVEN)) == {*distances, "intra_fid"}
    assert chosen("class-conditional", "judge=run") == ["class_accuracy"]
    assert chosen("inpainting") == ["image_quality", "hole_area_bins"]
    given = ["lpips=alex", "lpips_backbone=a.pth", "lpips_heads=b.pth"]
    assert chosen("inpainting", *given)[-1] == "lpips"
    assert chosen("classifier") == ["class_accuracy"]
    assert chosen("segmenter") == ["miou"]
    assert chosen("folders", *GIVEN, "metrics=[fid]") == ["fid"]
    assert chosen("folders", "features=inception_2015", "features.download=true") == distances


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("classifier", ["metrics=[fid]"], "classifier run, are class_accuracy. Rec.*\\[fid\\]"),
        ("classifier", ["metrics=[class_acuracy]"], "Did you mean 'class_accuracy'"),
        ("classifier", ["metrics=class_accuracy"], "a list of metrics, out of class_accuracy."),
        ("classifier", ["metrics=[]"], "a list of metrics.*Received: metrics=\\[\\]. For exa"),
        ("classifier", ["judge=other"], "here class_accuracy. Received: judge=..., which none"),
        ("inpainting", ["judge=other"], "here image_quality, hole_.*judge=..., which none"),
        ("semantic", ["metrics=[fid]"], "fid needs features=NAME feature_weights=FILE. Rec"),
        ("semantic", ["metrics=[intra_fid]", *GIVEN], "are kid.*miou. Received.*\\[intra_fid\\]"),
        ("semantic", ["metrics=[miou]", "judge=run", *GIVEN], "here miou. Received: features="),
        ("semantic", ["features=squeezenet"], "features=... without feature_weights. Add feature"),
        ("semantic", ["judge=run", "lpips_heads=some"], "lpips=NAME, .*lpips_heads=some alone"),
        ("inpainting", ["lpips=alex", "lpips_heads=some"], "lpips=... without lpips_backbone"),
        (
            "class-conditional",
            [],
            "with. Received: neither features=.* nor judge=CLASSIFICATION_RUN",
        ),
        ("class-conditional", ["metrics=[class_accuracy]"], "needs judge=CLASSIFICATION_RUN"),
    ],
)
def test_what_does_not_go_together(kind, words, message):
    with pytest.raises(ValueError, match=message):
        chosen(kind, *words)
