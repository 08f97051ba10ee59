"""The train command as a user meets it: help, typos, wrong folders."""

import re
import shlex

import hydra
import pytest
import tensorflow as tf
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from scripts.command import errors, overrides
from tests.helpers import tiny, train_command
from training.runs import run_config, trained_run

PIXEL = "models.layers.pixel_normalization.PixelNormalization"


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
        ("loss=hing", "Received: loss=hing. Did you mean 'hinge'?"),
        ("data/splits=hashed", "Received: a choice of data/splits"),
        ("lpips=alex", "Received: a choice of lpips"),
        ("labels=maps", "unknown key 'labels'"),  # of sample.py
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


def test_a_setting_without_a_default_is_named(tmp_path):
    text = message("experiment=class_folders_64", f"output_root={tmp_path}")
    assert "Expected a value of data.root, which has no default." in text


def test_a_missing_gpu_is_said(tmp_path):
    text = message("devices.device=gpu", f"output_root={tmp_path}", f"data.root={tmp_path}/d")
    assert "Expected a GPU" in text


def test_version_is_quick_and_says_the_commit():
    done = tiny.command("train.py", "--version")
    assert re.fullmatch(r"tessera 0\.2\.0 \(commit \w+(, changed since)?\)\n", done.stdout)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["~holes"], ["~holes"]),
        (["holes=null", "data/splits=null"], ["~holes", "~data/splits"]),
        (["~evaluation"], ["evaluation=null"]),
        (["~data.augmentations.flip", "seed=1"], ["data.augmentations.flip=null", "seed=1"]),
        (["~loss=hinge", "-m", "a=~b"], ["~loss=hinge", "-m", "a='~b'"]),
        (["g.n={_target_: a.B, c: 1}"], ["g.n=null", "g.n={_target_: a.B, c: 1}"]),
        (["data.source.splits={train: a}"], ["data.source.splits={train: a}"]),
    ],
)
def test_leaving_out_is_null_and_a_new_part_replaces_the_old(words, expected):
    assert overrides.with_nulls(words) == expected


def test_a_folder_of_the_user_is_expanded_as_in_variables(monkeypatch):
    monkeypatch.setenv("HOME", "/home/a (b)")
    words = ["data.root=~/photos", "resume=~", "~holes", "a=~b"]
    expected = ["data.root='/home/a (b)/photos'", "resume='/home/a (b)'", "~holes", "a='~b'"]
    assert overrides.with_nulls(words) == expected


@pytest.mark.parametrize(
    "path",
    ["/a b/c", "/照片/x", "/photos (1)", "/lr=2e-4/2026", "/it's", '/"q"', "/a\\'b", "/$HOME/`x`",
     "/[a]/{b}", "/a,b", "/#a", "/a;b&c", "/~", "/back\\"],
)  # fmt: skip
def test_a_printed_command_means_its_path_when_it_is_pasted(path):
    _, _, word = shlex.split(overrides.to_type("train.py", resume=path))
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.key_or_group == "resume" and override.value() == path


@pytest.mark.parametrize("value", ["[/x/照片", "{a: (}"])
def test_a_value_that_hydra_cannot_read_is_shown_in_quotes(value, tmp_path):
    message = train_command.train(f"data.root={value}", f"output_root={tmp_path}")
    assert f"Received: data.root={value}." in message
    word = shlex.split(message.partition("of the shell: ")[2])[0]
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.value() == value
    assert not list(tmp_path.iterdir())


ODD_NAMES = ["My Photos (2)", "lr=0.1,bs=4", "été", "照片", "a#b", "2024", "007", "1e3", "a,b",
             "[a]", "{b: 1}", "it's", '"q"', "$HOME", "${x}", "a;b&c", "~x", "back\\", " blank ",
             "a~b", "true", "glob(a)", "x=y", "null x", "a:b", "%20", "a|b", "*?"]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("place", ["absolute", "relative", "in a folder", "printed"])
def test_a_path_quoted_for_the_shell_alone_arrives(name, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / name) if place in ("absolute", "printed") else name
    path = f"{name}/x" if place == "in a folder" else path
    (tmp_path / path).mkdir(parents=True)
    for key in ("root", "data.root", "++images"):
        word = f"{key}={path}"
        if place == "printed":
            word = shlex.split(overrides.to_type("train.py", **{key: path}))[-1]
        (word,) = overrides.with_nulls([word])
        (override,) = OverridesParser.create().parse_overrides([word])
        assert override.key_or_group == key.lstrip("+") and not override.is_sweep_override()
        assert OmegaConf.create({"x": override.value()}).x == path
        assert overrides.with_nulls([word]) == [word]


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1", "-m"], ["trainer.steps=5"], ["metrics=[fid,kid]"], ["loss=hinge"],
        ["-m", "data.root=/a,/b"], ["a={b: 1}"], ["x=null"], ["a=true"], ["data.root='/a (b)'"],
        ["data/splits=lists,folders"], ["size=[256,256]"], ["a.b=1.5", "seed=3"],
        ["--config-dir=/a (b)"], ["experiment=x"], ["labels=null"], ["a=[1,{b: 2}]"],
    ],
)  # fmt: skip
def test_what_hydra_reads_as_it_is_meant_is_left_alone(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "3").mkdir()
    assert overrides.with_nulls(words) == words


def test_names_of_files_without_letters_are_printed(monkeypatch, capsys):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def fail():
        print("\udcff.png")
        raise ValueError("Received: \udcff.png")

    with pytest.raises(SystemExit, match="Received: "):
        errors.run(fail)
    assert capsys.readouterr().out == "\\udcff.png\n"


def test_words_that_begin_as_paths_do_are_paths():
    words = ["/x/a=b", "./c=d", "count=0"]
    expected = ["runs=['/x/a=b','./c=d']", "count=0"]
    assert overrides.with_paths(overrides.with_nulls(words), "runs") == expected


def test_lists_and_sweeps_of_odd_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/é")
    words = ["runs=[outputs/a b/照片, ~/x,/y]", "-m", "data.root=/照片,/a=b,/c"]
    lists, _, sweep = overrides.with_nulls(words)
    parsed = OverridesParser.create().parse_overrides([lists, sweep])
    assert parsed[0].value() == ["outputs/a b/照片", "/home/é/x", "/y"]
    assert [str(getattr(v, "text", v)) for v in parsed[1].value().list] == ["/照片", "/a=b", "/c"]


INPAINTING = "experiment=inpaint_synthetic"
LEFT_OUT = [  # (what else is chosen, key, where the config then has null or nothing)
    ((INPAINTING,), "holes", "data.holes"),
    ((INPAINTING,), "generator.attention", "generator.attention"),
    ((INPAINTING,), "evaluation", "evaluation"),
    ((INPAINTING,), "evaluation.metrics.image_quality", "evaluation.metrics.image_quality"),
    ((), "task.averaging", "task.averaging"),
    ((), "data.augmentations.flip", "data.augmentations.flip"),
    ((), "generator.normalizer", "generator.normalizer"),
    ((), "task.objective.generator_terms.feature_matching",
     "task.objective.generator_terms.feature_matching"),
    (("perceptual=vgg19",), "perceptual", "task.objective.generator_terms.perceptual"),
    (("features=squeezenet",), "features", "features"),
    (("attention=attentive_norm",), "attention", "attention"),
    (("loss=wgan_gp",), "loss.discriminator_terms.gradient_penalty",
     "loss.discriminator_terms.gradient_penalty"),
]  # fmt: skip


@pytest.mark.parametrize("chosen, key, place", LEFT_OUT, ids=[key for _, key, _ in LEFT_OUT])
def test_a_part_is_left_out_by_null_and_by_a_tilde_alike(chosen, key, place):
    texts = [[*chosen, *overrides.with_nulls([word])] for word in (f"~{key}", f"{key}=null")]
    with hydra.initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        by_tilde, by_null = (hydra.compose("train", text) for text in texts)
    assert by_tilde == by_null
    assert OmegaConf.select(by_null, place) is None
    run_config.check_keys(by_null, "train")


@pytest.mark.parametrize(
    "words, expected",
    [
        (["normalizer=pixel"], {"_target_": PIXEL, "epsilon": 1e-8}),
        (["normalizer=spade", "generator.normalizer.hidden=7"], 7),
        ([f"generator.normalizer={{_target_: {PIXEL}}}"], {"_target_": PIXEL}),
    ],
)
def test_a_normalizer_replaces_that_of_the_generator(words, expected):
    with hydra.initialize_config_dir(str(run_config.CONFIGS), version_base="1.3"):
        config = hydra.compose("train", overrides.with_nulls(words))
    run_config.check_keys(config, "train")
    found = config.generator.normalizer
    assert (found if isinstance(expected, dict) else found.hidden) == expected


@pytest.mark.slow
def test_without_evaluation_and_augmentation_a_run_trains_and_samples(tmp_path):
    data = tiny.data_overrides(tmp_path / "data")
    left_out = ("~evaluation", "~data.augmentations.flip", "task.averaging=null")
    shared = (*tiny.OVERRIDES, *data, "normalizer=pixel", f"output_root={tmp_path}/runs")
    tiny_generator = [text for text in shared if "normalizer.hidden" not in text]
    done = tiny.command("train.py", *tiny_generator, *left_out, "trainer.steps=1")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs" / "spade_synthetic").iterdir()
    opened = trained_run.open_run(run)
    assert opened.config.evaluation is None and not opened.averaged
    assert opened.data.augmentations == {}
    assert type(opened.task.generator.normalizer).__name__ == "PixelNormalization"


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("train", "Set data.bits_used=12", "Set data.bits_used=12"),
        ("evaluate", "Set data.bits_used=12 of data.txt", "Set bits_used=12 of data.txt"),
        ("sample", "data.root -> x", "data_root -> x"),
        ("sample", "Set data.bits_used=12",
         "Set data.bits_used=12\n(Settings of train.py, not of this command: data.bits_used.)"),
    ],
)  # fmt: skip
def test_a_key_in_a_message_is_one_of_the_command(command, text, expected, monkeypatch):
    monkeypatch.setattr("sys.argv", [f"scripts/{command}.py"])
    assert errors.with_keys_of_this_command(text) == expected
