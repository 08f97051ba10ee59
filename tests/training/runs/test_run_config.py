"""Configs: unknown keys, wrong types, foreign code, what a resumed run may change."""

import inspect

import pytest
from omegaconf import OmegaConf

from training.runs import run_config, targets

TRAINER = {"_target_": "training.loop.trainer.Trainer", "steps": 5, "batch_size": 2}


ROOT = OmegaConf.create(
    {key: {} for key in ("devices", "checkpoints", "summaries")}
    | {"evaluation": {"_target_": "training.watch.evaluation.Evaluation", "metrics": {}}}
)


def check(config):
    run_config.check_keys(OmegaConf.merge(ROOT, config), "train")


def test_known_keys_pass():
    check({"trainer": TRAINER | {"seed": "${name}"}, "name": 3})
    check({"checkpoints": {"keep": 1, "fallback": None, "best_metric": "eval/x"}})
    check({"checkpoints": {"keep": "${seed}"}, "seed": 3})


@pytest.mark.parametrize(
    "config, message",
    [
        ({"trainr": {}}, "unknown key 'trainr'. Did you mean 'trainer'?"),
        (
            {"trainer": TRAINER | {"stepz": 5}},
            "unknown key 'trainer.stepz'. Did you mean 'steps'?.*Known: batch_size",
        ),
        ({"devices": {"precison": 1}}, "unknown key 'devices.precison'. Did you mean 'precision'?"),
        ({"checkpoints": {"keeep": 1}}, "unknown key 'checkpoints.keeep'. Did you mean 'keep'?"),
        ({"trainer": TRAINER | {"steps": "abc"}}, "trainer.steps must be of type int.*='abc'"),
        ({"trainer": TRAINER | {"jit_compile": 1}}, "trainer.jit_compile must be of type bool"),
        ({"checkpoints": {"keep": "abc"}}, "checkpoints.keep must be of type int.*='abc'"),
        ({"checkpoints": {"fallback": 5}}, "checkpoints.fallback must be of type str.*=5"),
        ({"summaries": {"histograms": "no"}}, "summaries.histograms must be of type bool"),
        ({"devices": {"logical_cpus": "abc"}}, "devices.logical_cpus must be of type int"),
        ({"trainer": TRAINER | {"steps": True}}, "trainer.steps must be of type int.*=True"),
    ],
)
def test_unknown_keys_and_wrong_types_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        check(config)


def test_the_evaluation_may_be_left_out_and_settings_may_not():
    check({"evaluation": None})
    for value in (None, 5):
        with pytest.raises(ValueError, match=f"below checkpoints: keep.*checkpoints={value}"):
            check({"checkpoints": value})
    with pytest.raises(ValueError, match="below evaluation: .*metrics.*Received: evaluation=5"):
        check({"evaluation": 5})


def test_keys_of_base_classes_count_where_a_class_passes_them_on():
    optimizer = {"_target_": "keras.optimizers.Adam", "learning_rate": 1e-3, "clipnorm": 1.0}
    check({"trainer": optimizer})
    with pytest.raises(ValueError, match="unknown key 'trainer.learning_rat'. Did you mean 'lear"):
        check({"trainer": optimizer | {"learning_rat": 1.0}})


def test_nested_nodes_and_lists_are_checked():
    with pytest.raises(ValueError, match=r"'trainer.parts.0.wrong'"):
        check({"trainer": {"parts": [TRAINER | {"wrong": 1}]}})


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "datax.f",
        "tensorflow.io.gfile.rmtree",
        "keras.utils.get_file",
        "keras.optimizers.deserialize",
        "training.runs.run_folder.os.remove",
        "data.labels.conversion.shutil.rmtree",
        "training.loop.trainer",
        "training.runs.checkpoint._replace_folder",
        "training.runs.run_folder.new_run_folder",
        "data.images.decoded_cache.FileStore",
        "metrics.distances.feature_distances.FeatureDistances",
        "metrics.features.feature_network._Resizing",
        "losses.term.Term",
        "losses.adversarial.Hinge.__init__",
        "losses..adversarial.Hinge",
        "models.layers.residual.settings.FromSettings",
        "keras.layers.Lambda",
        "keras.layers.TFSMLayer",
        "keras.layers.JaxLayer",
        "keras.layers.TorchModuleWrapper",
        "keras.layers.Wrapper",
        "keras.optimizers.LossScaleOptimizer",
        "keras.initializers.get",
        "keras.src.optimizers.adam.Adam",
        "tests.helpers.throwaway_metric.Brightness",
    ],
)
def test_code_from_elsewhere_is_refused(target):
    config = OmegaConf.create({"task": {"inner": [{"_target_": target}]}})
    with pytest.raises(ValueError, match=rf"task.inner.0._target_={target}"):
        run_config.check_targets(config)


@pytest.mark.parametrize("target", targets.KERAS)
def test_what_keras_gives_is_built_from_numbers_and_texts(target):
    """None of them takes a function, a layer or an object in its saved form."""
    found = targets.trusted("part", target)
    assert inspect.isclass(found)
    takes = run_config._parameters(found)
    serialized = {"layer", "function", "inner_optimizer", "call_fn", "module", "filepath"}
    assert not serialized & set(takes)


def test_a_marker_is_not_inherited(monkeypatch):
    from losses import adversarial

    child = type("Child", (adversarial.Hinge,), {"__module__": "losses.adversarial"})
    monkeypatch.setattr(adversarial, "Child", child, raising=False)
    config = OmegaConf.create({"loss": {"_target_": "losses.adversarial.Child"}})
    with pytest.raises(ValueError, match="`configurable = True` in its body.*loss._target_=losses"):
        run_config.check_targets(config)
    child.configurable = True
    run_config.check_targets(config)


def test_a_run_that_no_command_could_open_is_not_started():
    """Hydra saves the resolver, not what it gave."""
    config = OmegaConf.create({"data": {"root": "${oc.env:HOME}/data"}})
    with pytest.raises(ValueError, match="plain interp.*data.root=.*Write the value itself"):
        run_config.check_targets(config)


def test_a_target_that_does_not_exist_is_named():
    with pytest.raises(
        ValueError, match="class or function that exists.*trainer._target_=losses.N"
    ):
        check({"trainer": {"_target_": "losses.Nothing"}})


def test_a_saved_config_is_checked_when_it_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("task:\n  _target_: os.system\n  command: true\n")
    with pytest.raises(ValueError, match="_target_=os.system"):
        run_config.load(path)
    for text in ("${oc.create:{_target_: os.system}}", "a ${ oc.env:HOME} b"):
        path.write_text(f'x: "{text}"\n')
        with pytest.raises(ValueError, match="plain interpolations"):
            run_config.load(path)
    path.write_text("a: 1\nb: ${a}\nc: '${x.y}:1'\nx: {y: 2, z: [{w: '${...y}${a}'}]}\n")
    assert run_config.load(path).b == 1 and run_config.load(path).c == "2:1"
    path.write_text("a: {b: {c: '${..d}', e: '${.c}'}, d: 3}\n")
    assert run_config.load(path).a.b == {"c": 3, "e": 3}
    path.write_text("- 1\n")
    with pytest.raises(ValueError, match="config.yaml, with a list in the place of a mapping"):
        run_config.load(path)


SAVED = OmegaConf.create(
    {
        "trainer": {"steps": 5, "batch_size": 2},
        "checkpoints": {"keep": 3, "best_metric": None, "best_is": "highest"},
        "generator": {"width": 8},
        "schedule": {"end_step": "${trainer.steps}"},
        "encoding": {"id_map": {0: 0, 1: 2}},
        "devices": {"precision": "float32"},
        "resume": None,
    }
)
CHOICES = {"generator": "spade", "experiment": "spade_synthetic", "perceptual": "vgg19"}


def resumed(*overrides):
    return run_config.resumed(SAVED, CHOICES, list(overrides))


def test_a_resumed_run_may_change_steps_and_repeat_what_it_says():
    config = resumed(
        "trainer.steps=9", "generator.width=8", "experiment=spade_synthetic", "resume=auto",
        "encoding.id_map={0:0,1:2}", "~generator.absent",
    )  # fmt: skip
    assert config.trainer.steps == 9 and config.generator.width == 8
    assert config.schedule.end_step == 5
    assert SAVED.trainer.steps == 5


def test_a_resumed_run_may_choose_another_best_metric():
    """The figures of the best checkpoint lie beside it, so that any of them can be compared."""
    config = resumed("checkpoints.best_metric=eval/fid", "checkpoints.best_is=lowest")
    assert config.checkpoints == {"keep": 3, "best_metric": "eval/fid", "best_is": "lowest"}


@pytest.mark.parametrize(
    "override, message",
    [
        ("generator.width=16", r"generator.width=16 \(the run has generator.width=8\)"),
        ("generator=other", r"generator=other \(the run has generator=spade\)"),
        ("trainer.batch_size=4", "trainer.batch_size=4"),
        ("perceptual=null", r"perceptual=null \(the run has perceptual=vgg19\)"),
        ("devices.precision=mixed_bfloat16", "devices.precision=mixed_bfloat16"),
        ("encoding.id_map={0:0,1:1}", "encoding.id_map"),
        ("+generator.extra=1", "generator.extra=1"),
        ("~generator.width", "~generator.width"),
    ],
)
def test_a_resumed_run_refuses_the_rest_by_name(override, message):
    with pytest.raises(ValueError, match=f"may change only data.root.*Received: .*{message}"):
        resumed(override)


def test_what_resuming_changed_stays_changed(tmp_path):
    from training.runs import run_folder, starting

    hydra_folder = tmp_path / ".hydra"
    for name, steps in (("", 5), ("resumed_2026-01-01", 7), ("resumed_2026-01-02", 9)):
        (hydra_folder / name).mkdir(parents=True, exist_ok=True)
        file = "effective.yaml" if name else "config.yaml"
        (hydra_folder / name / file).write_text(f"trainer: {{steps: {steps}}}\n")
    (hydra_folder / "hydra.yaml").write_text("hydra: {runtime: {choices: {loss: hinge}}}\n")
    config, choices = starting.load_run(run_folder.RunFolder(tmp_path))
    assert config.trainer.steps == 9 and choices == {"loss": "hinge"}
    (hydra_folder / "effective.yaml").write_text("trainer:\n  steps: 11\n")  # of today
    assert starting.load_run(run_folder.RunFolder(tmp_path))[0].trainer.steps == 11


def test_root_keys_come_from_the_root_config():
    keys = run_config.root_keys("train")
    assert {"data", "generator", "trainer", "seed", "resume"} <= keys
    assert not keys & {"defaults", "hydra", "experiment"}
