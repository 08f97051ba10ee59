"""Configs of version 0.1.0 in the classes and keys of today."""

import inspect

import hydra
import pytest
from omegaconf import OmegaConf

from training.runs import moved, run_config

# Everything that the configs of version 0.1.0, its manual or its error messages name.
OLD_TARGETS = """
data.class_folders.ClassFolders data.decoded_cache.CacheSettings data.hole_folder.MaskFolder
data.hole_strokes.BrushStrokes data.hole_strokes.FreeForm data.holes.CenterRectangle
data.holes.RandomRectangle data.holes.Union data.label_maps.LabelEncoding
data.no_label_maps.NoLabelMaps data.photo_folder.PhotoFolder data.pipeline.ImagePipeline
data.sources.PairedFolders data.splits.FolderSplits data.splits.HashedSplits data.splits.ListSplits
data.splits.NoSplits data.synthetic_facades.SyntheticFacades data.tfds_source.TfdsPipeline
data.tfds_source.TfdsSource data.transforms.RandomBrightnessContrast data.transforms.RandomCrop
data.transforms.RandomFlip data.transforms.Resize
keras.optimizers.Adam keras.optimizers.schedules.PiecewiseConstantDecay
keras.optimizers.schedules.PolynomialDecay
losses.adversarial.Hinge losses.adversarial.LeastSquares losses.adversarial.NonSaturating
losses.adversarial.Wasserstein losses.cross_entropy.CrossEntropy
losses.differentiable_augmentation.DifferentiableAugmentation losses.divergence.KLDivergence
losses.feature_matching.FeatureMatching losses.gradient_penalty.GradientPenalty
losses.gradient_penalty.MaskedGradientPenalty losses.gradient_penalty.R1
losses.perceptual.Perceptual losses.reconstruction.Reconstruction
metrics.accuracy.ClassAccuracy metrics.feature_distances.of_network
metrics.feature_network.FeatureFunction metrics.feature_network.KerasApplication
metrics.feature_network.SavedFeatures metrics.hole_area_bins.HoleAreaBins
metrics.image_quality.ImageQuality metrics.inception.Inception2015 metrics.lpips.LPIPS
metrics.segmentation.SegmentationScores
models.classifier.ImageClassifier models.discriminators.inpainting.GlobalLocalCritics
models.discriminators.inpainting.GlobalPatchCritics
models.discriminators.patch.MultiScalePatchDiscriminator
models.discriminators.projection.ProjectionDiscriminator
models.discriminators.sn_patch.SNPatchDiscriminator models.feature_networks.SqueezeNetFeatures
models.feature_networks.VGG19Features
models.generators.class_conditional.ClassConditionalGenerator
models.generators.inpainting.InpaintingGenerator models.generators.semantic.SpadeGenerator
models.generators.style_guided.StyleGuidedGenerator
models.layers.attentive_normalization.AttentiveNormalization
models.layers.attentive_normalization.Orthogonality
models.layers.batch_normalization.ConditionalBatchNormalization
models.layers.batch_normalization.PlainBatchNormalization
models.layers.class_embedding.ClassEmbedding models.layers.contextual_attention.ContextualAttention
models.layers.modulation.SPADE models.layers.pixel_normalization.PixelNormalization
models.layers.self_attention.SelfAttention models.layers.statistics.BatchStatistics
models.layers.statistics.InstanceStatistics models.segmenter.Segmenter
models.style_encoder.StyleEncoder
training.averaging.WeightAveraging training.evaluation.Evaluation training.gan.GANTask
training.gan_losses.GANLosses training.schedules.ConstantThenLinear
training.supervised.SupervisedTask training.trainer.Trainer
""".split()


@pytest.mark.parametrize("name", OLD_TARGETS)
def test_every_old_target_is_somewhere_today(name):
    now = moved.target(name)
    assert callable(hydra.utils.get_object(now))
    assert moved.target(now) == now
    run_config.check_targets(OmegaConf.create({"part": {"_target_": now}}))


def test_no_entry_is_without_an_old_target():
    """A module that moves in a later version gets its old targets into the list above."""
    modules = {name.rpartition(".")[0] for name in OLD_TARGETS}
    assert set(moved.MOVED_MODULES) <= modules and set(moved.MOVED) <= set(OLD_TARGETS)


OLD = {
    "data": {
        "_target_": "data.pipeline.ImagePipeline",
        "source": {"_target_": "data.class_folders.ClassFolders", "class_names": ["b", "a"]},
        "labels": {"_target_": "data.label_maps.LabelEncoding", "id_map": {0: 2}},
    },
    "generator": {"_target_": "models.generators.semantic.SpadeGenerator"},
    "classes": "${data.labels.num_classes} of ${data.labels}, ${data.labels_of}",
    "order": "${data.source.class_names}",
    "task": {
        "_target_": "training.gan.GANTask",
        "losses": {"_target_": "training.gan_losses.GANLosses", "labels": 1},
        "metrics": [{"_target_": "metrics.feature_distances.of_network", "network": "???"}],
        "averaging": None,
    },
}
NEW = {
    "data": {
        "_target_": "data.pipeline.ImagePipeline",
        "shuffle": "index_shuffle",
        "source": {
            "_target_": "data.sources.class_folders.ClassFolders",
            "class_order": ["b", "a"],
        },
        "encoding": {"_target_": "data.labels.label_maps.LabelEncoding", "id_map": {0: 2}},
    },
    "generator": {"_target_": "models.generators.semantic.SpadeGenerator"},
    "classes": "${data.encoding.num_classes} of ${data.encoding}, ${data.labels_of}",
    "order": "${data.source.class_order}",
    "task": {
        "_target_": "training.tasks.gan.GANTask",
        "objective": {"_target_": "training.tasks.objective.Objective", "labels": 1},
        "metrics": [
            {"_target_": "metrics.distances.feature_distances.of_network", "network": "???"}
        ],
        "averaging": None,
        "kind": {"_target_": "training.kinds.semantic.Semantic"},
    },
}


def test_targets_arguments_and_interpolations_are_renamed_and_the_kind_is_added():
    assert moved.up_to_date(OLD) == NEW
    assert "labels" in OLD["data"]  # the config itself stays


def test_a_config_of_today_stays_as_it_is():
    assert moved.up_to_date(NEW) == NEW
    unknown = {"task": {"_target_": "training.tasks.gan.GANTask"}, "generator": None, "name": "x"}
    assert moved.up_to_date(unknown) == unknown


def test_an_old_run_keeps_its_order_and_crop_and_a_new_one_says_its_own():
    part = {"resize": {"_target_": "data.transforms.Resize"}}
    for target in ("data.pipeline.ImagePipeline", "data.sources.tfds_source.TfdsPipeline"):
        old = moved.up_to_date({"data": {"_target_": target, **part}})["data"]
        assert (old["shuffle"], old["resize"]["evaluate"]) == ("index_shuffle", "crop")
        new = OmegaConf.create({"data": {"_target_": target, **part}})
        OmegaConf.set_struct(new, True)
        run_config.write_defaults(new)
        assert (new.data.shuffle, new.data.resize.evaluate) == ("permutation", "whole")
        run_config.write_defaults(OmegaConf.create(old))
        assert moved.up_to_date(OmegaConf.to_container(new)) == new
    for target, added in moved.ADDED_ARGUMENTS.items():  # what is written is what classes do
        parameters = {
            name: parameter.default
            for parent in reversed(hydra.utils.get_class(target).__mro__)
            for name, parameter in inspect.signature(parent.__init__).parameters.items()
        }
        assert {name: parameters[name] for name in added} == {
            n: new for n, (_, new) in added.items()
        }


@pytest.mark.parametrize(
    "generator, task, kind",
    [
        ("models.generators.style_guided.StyleGuidedGenerator", {}, "semantic.Semantic"),
        ("models.generators.inpainting.InpaintingGenerator", {}, "inpainting.Inpainting"),
        (
            "models.generators.class_conditional.ClassConditionalGenerator",
            {},
            "class_conditional.ClassConditional",
        ),
        (None, {"network": "${segmenter}", "target": "label_map"}, "segmentation.Segmentation"),
        (None, {"network": "${image_classifier}"}, "classification.Classification"),
    ],
)
def test_the_kind_of_a_task_is_told_by_its_networks(generator, task, kind):
    config = {"generator": generator and {"_target_": generator}}
    config["task"] = {"_target_": "training.supervised.SupervisedTask", **task}
    added = moved.up_to_date(config)["task"]["kind"]["_target_"]
    assert added == f"training.kinds.{kind}" and hydra.utils.get_class(added)


def test_a_config_that_was_saved_by_a_resumed_run_is_brought_up_to_date_as_well(tmp_path):
    path = tmp_path / "effective.yaml"
    OmegaConf.save(OmegaConf.create({"trainer": {"_target_": "training.trainer.Trainer"}}), path)
    assert run_config.load(path).trainer._target_ == "training.loop.trainer.Trainer"
