"""The train command as a user meets it: help, typos, wrong folders."""

import hydra
import pytest
import tensorflow as tf

from scripts.command import errors
from tests.helpers import tiny


def message(*overrides):
    done = tiny.command("train.py", *overrides)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_help_lists_groups_and_settings():
    done = tiny.command("train.py", "--help")
    assert done.returncode == 0
    for text in ("generator:", "discriminator:", "loss: hinge", "checkpoint_every_steps"):
        assert text in done.stdout
    assert tiny.command("train.py", "--cfg", "job", "-p", "trainer").returncode == 0


@pytest.mark.parametrize(
    "override, expected",
    [
        ("trainer.stepz=5", "unknown key 'trainer.stepz'. Did you mean 'trainer.steps'?"),
        ("generatr.width=5", "unknown key 'generatr.width'. Did you mean 'generator.width'?"),
        ("~task.generator_term", "unknown key 'task.generator_term'"),
        (
            "task.objective.generator_terms.perceptul.weight=1",
            "unknown key 'task.objective.generator_terms.perceptul.weight'",
        ),
        (
            "experiment=classify_synthetic,generator.width=5",
            "Received: 'generator.width', which belongs to a choice",
        ),
        ("loss=hing", "hinge"),
        ("resume=nowhere", "Expected the folder of a training run. Received: 'nowhere'"),
    ],
)
def test_a_wrong_override_is_named_with_what_is_like_it(override, expected, tmp_path):
    assert expected in message(*override.split(","), f"output_root={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert "Set output_root to a folder you may write to" in message(f"output_root={tmp_path}/file")


def test_wrong_values_are_named_before_anything_is_built(tmp_path):
    text = message("trainer.steps=many", f"output_root={tmp_path}")
    assert "trainer.steps must be of type int. Received: trainer.steps='many'" in text


def test_an_error_inside_the_compiled_step_is_one_message(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which the command sets

    @tf.function
    def step():
        raise ValueError("Expected a hole. Received: hole=None. Use data with holes.")

    with pytest.raises(SystemExit, match="^Error: Expected a hole. Received: hole=None. Use "):
        errors.run(step)


def test_what_to_do_next_is_not_lost_to_what_it_came_from(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def fetch():
        try:
            raise OSError("no such host")
        except OSError as error:
            ours = ConnectionError("Expected the archive. Received: no such host. Fetch it.")
            raise ours from error

    def build():
        try:
            fetch()
        except OSError as error:
            text = "Error in call to target:\nReceived: ...\nfull_key: features"
            raise hydra.errors.InstantiationException(text) from error

    with pytest.raises(SystemExit, match="^Error: features: Expected the arch.* host. Fetch it.\n"):
        errors.run(build)


def test_an_interruption_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def interrupted():
        raise KeyboardInterrupt

    for settings, said in (({}, "Interrupted."), ({"interrupted": "Nothing."}, "Nothing.")):
        with pytest.raises(SystemExit, match="130"):
            errors.run(interrupted, **settings)
        assert capsys.readouterr().err == f"\n{said}\n"


def test_a_missing_gpu_is_said(tmp_path):
    text = message("devices.device=gpu", f"output_root={tmp_path}", f"data.root={tmp_path}/d")
    assert "Expected a GPU" in text
