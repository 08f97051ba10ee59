"""Configs: unknown keys, wrong types, foreign code, what a resumed run may change."""

import pytest
from omegaconf import OmegaConf

from scripts import run_config

TRAINER = {"_target_": "training.trainer.Trainer", "steps": 5, "batch_size": 2}


def check(config, keys=("trainer", "name")):
    run_config.check_keys(OmegaConf.create(config), set(keys))


def test_known_keys_pass():
    check({"trainer": TRAINER | {"seed": "${name}"}, "name": 3})


@pytest.mark.parametrize(
    "config, message",
    [
        ({"trainr": {}}, "unknown key 'trainr'. Did you mean 'trainer'?"),
        (
            {"trainer": TRAINER | {"stepz": 5}},
            "unknown key 'trainer.stepz'. Did you mean 'steps'?.*takes .*batch_size",
        ),
        ({"trainer": TRAINER | {"steps": "abc"}}, "trainer.steps must be of type int.*='abc'"),
        ({"trainer": TRAINER | {"jit_compile": 1}}, "trainer.jit_compile must be of type bool"),
        ({"trainer": TRAINER | {"steps": True}}, "trainer.steps must be of type int.*=True"),
    ],
)
def test_unknown_keys_and_wrong_types_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        check(config)


def test_keys_of_base_classes_count_where_a_class_passes_them_on():
    optimizer = {"_target_": "keras.optimizers.Adam", "learning_rate": 1e-3, "clipnorm": 1.0}
    check({"trainer": optimizer})
    with pytest.raises(ValueError, match="unknown key 'trainer.learning_rat'. Did you mean 'lear"):
        check({"trainer": optimizer | {"learning_rat": 1.0}})


def test_nested_nodes_and_lists_are_checked():
    with pytest.raises(ValueError, match=r"'trainer.parts.0.wrong'"):
        check({"trainer": {"parts": [TRAINER | {"wrong": 1}]}})


@pytest.mark.parametrize("target", ["os.system", "subprocess.run", "builtins.eval", "datax.f"])
def test_code_from_elsewhere_is_refused(target):
    config = OmegaConf.create({"task": {"inner": [{"_target_": target}]}})
    with pytest.raises(ValueError, match=rf"task.inner.0._target_={target}"):
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
    path.write_text("- 1\n")
    with pytest.raises(ValueError, match="Expected a config in .*ListConfig"):
        run_config.load(path)


SAVED = OmegaConf.create(
    {"trainer": {"steps": 5, "batch_size": 2}, "generator": {"width": 8}, "resume": None}
)
CHOICES = {"generator": "spade", "experiment": "spade_synthetic"}


def resumed(*overrides):
    return run_config.resumed(SAVED, CHOICES, list(overrides))


def test_a_resumed_run_may_change_steps_and_repeat_what_it_says():
    config = resumed(
        "trainer.steps=9", "generator.width=8", "experiment=spade_synthetic", "resume=auto"
    )
    assert config.trainer.steps == 9 and config.generator.width == 8
    assert SAVED.trainer.steps == 5


@pytest.mark.parametrize(
    "override, message",
    [
        ("generator.width=16", r"generator.width=16 \(the run has generator.width=8\)"),
        ("generator=other", r"generator=other \(the run has generator=spade\)"),
        ("trainer.batch_size=4", "trainer.batch_size=4"),
        ("+generator.extra=1", "generator.extra=1"),
        ("~generator.width", "~generator.width"),
    ],
)
def test_a_resumed_run_refuses_the_rest_by_name(override, message):
    with pytest.raises(ValueError, match=f"may change only data.root.*Received: .*{message}"):
        resumed(override)


def test_root_keys_come_from_the_root_config():
    keys = run_config.root_keys("train")
    assert {"data", "generator", "trainer", "seed", "resume"} <= keys
    assert not keys & {"defaults", "hydra", "experiment"}
