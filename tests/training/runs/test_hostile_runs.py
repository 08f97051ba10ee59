"""Run folders of somebody else: whatever their configs say, opening them runs no code of theirs."""

import contextlib
import os
import shutil
import sys

import pytest
import yaml
from omegaconf import OmegaConf

from scripts.sampling import sampling
from tests.helpers import saved_run, text_mutations, tiny
from training.runs import plain_config, run_config, run_folder, starting, targets, trained_run

OLD = tiny.ROOT / "tests" / "fixtures" / "old_runs" / "spade" / "run"
BASE = yaml.safe_load((OLD / ".hydra" / "config.yaml").read_text())
SPAWN = {"_target_": "setuptools._distutils.spawn.spawn", "cmd": ["sh", "-c", "id > canary"]}
WATCHED = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "os.fork")
watching = {"on": False, "seen": [], "inside": ""}


def watch(event, arguments):
    if not watching or not watching["on"]:  # none is left at exit
        return
    if event in WATCHED or event.startswith("socket."):
        watching["seen"].append((event, arguments))
    elif event in ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"):
        writes = event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        path = str(arguments[0])
        if writes and not path.startswith(watching["inside"]) and "__pycache__" not in path:
            watching["seen"].append((event, arguments))


sys.addaudithook(watch)


@contextlib.contextmanager
def nothing_happens(inside):
    """Fails where the block starts a process, connects, or writes outside of a folder."""
    watching.update(on=True, seen=[], inside=str(inside))
    try:
        yield
    finally:
        watching["on"] = False
    assert not watching["seen"]


def folder_of(path, text):
    shutil.copytree(OLD, path, dirs_exist_ok=True)
    config = path / ".hydra" / "config.yaml"
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def at(key, value):
    """The text of the config with another value of a key; a key that is new is added."""
    config = OmegaConf.create(BASE)
    plain = OmegaConf.to_container(config)
    *parents, last = key.split(".")
    node = plain
    for name in parents:
        node = node.setdefault(name, {}) if isinstance(node.get(name), dict | None) else node
    node[last] = value
    return yaml.safe_dump(plain)


def target(name, **arguments):
    return at("data.augmentations.x", {"_target_": name} | arguments)


RESOLVERS = [
    "${oc.create:{_target_: os.system}}", "${oc.env:SECRET}", "${oc.env:SECRET,none}",
    "${${name}:SECRET}", "${ oc.env:SECRET }", "${oc.decode:${oc.env:SECRET}}",
    "\\${oc.env:SECRET}", "\\\\${oc.env:SECRET}", "\\\\\\${oc.env:SECRET}", "${hydra:job.name}",
    "${oc.select:name}", "${oc.deprecated:name}", "${now:%Y}", "${run_folder:a,b,c,d}",
    "${name}${oc.env:SECRET}", "${oc.dict.values:data}", "${}", "${name", "${.${name}}",
    "${name[0]}", "$" + "{oc.env:SECRET}",
]  # fmt: skip
FOREIGN = {
    "spawn": at("data.augmentations.x", SPAWN),
    "system": target("os.system", command="id > canary"),
    "eval": target("builtins.eval"),
    "hydra": target("hydra.utils.instantiate", config=SPAWN),
    "hydra_get": target("hydra.utils.get_method", path="os.system"),
    "own_private": target("training.runs.checkpoint._replace_folder", source="a", target="b"),
    "own_function": target("data.files.write_atomically", path="canary", content="x"),
    "own_function_2": target("training.runs.whole_files.written", path="canary"),
    "own_class": target("training.runs.checkpoint.CheckpointStore", folder="x"),
    "own_module_of_another": target("data.files.shutil.rmtree", path="x"),
    "own_import": target("data.files.os.system", command="id > canary"),
    "own_imported_class": target("training.watch.summaries.EventFileWriter", logdir="x"),
    "own_alias": target("data.holes.mask_folder.makers.HoleMaker"),
    "own_method": target("data.pipeline.ImagePipeline.check"),
    "own_base": target("data.holes.makers.HoleMaker"),
    "own_script": target("scripts.command.errors.run"),
    "own_test": target("tests.helpers.tiny.command"),
    "own_missing": target("losses.Nothing"),
    "own_dunder": target("losses.adversarial.Hinge.__init__"),
    "lambda": target("keras.layers.Lambda", function="x"),
    "tfsm": target("keras.layers.TFSMLayer", filepath="x"),
    "jax": target("keras.layers.JaxLayer", call_fn="x"),
    "torch": target("keras.layers.TorchModuleWrapper", module="x"),
    "wrapper": target("keras.layers.Wrapper", layer="x"),
    "wrapper_2": target("keras.layers.TimeDistributed", layer="x"),
    "get_file": target("keras.utils.get_file", fname="x", origin="file:///x"),
    "deserialize": target("keras.optimizers.deserialize", config={}),
    "load_model": target("keras.models.load_model", filepath="x"),
    "loss_scale": target("keras.optimizers.LossScaleOptimizer", inner_optimizer="x"),
    "keras_dict": target(
        "keras.layers.BatchNormalization",
        beta_initializer={"class_name": "Lambda", "config": {}, "module": "keras.layers"},
    ),
    "keras_dict_2": at("generator.registered_name", "x"),
    "interpolated": at("name", "os.system")
    .replace("_target_: data.pipeline", "_target_: ${name} #"),
    "interpolated_node": at("data.augmentations.y", "${evil}") + "evil: {_target_: os.system}\n",
    "split": at("data.augmentations.z", "${a}{oc.env:SECRET}") + "a: $\n",
    "list": at("data.augmentations.x", [[[SPAWN]]]),
    "defaults": at("defaults", [SPAWN]),
    "top": at("_target_", "os.system"),
    "number": at("data._target_", 5),
    "empty": at("data._target_", ""),
    "dots": at("data._target_", "data..pipeline.ImagePipeline"),
    "unicode": at("data._target_", "data.pipelinе.ImagePipeline"),
    "args": at("data._args_", [1]),
    "partial": at("data._partial_", True),
    "recursive": at("data._recursive_", False),
    "convert": at("data._convert_", "object"),
    "saved_features": at(
        "task.objective.network",
        {"_target_": "metrics.features.feature_network.SavedFeatures", "path": "evil"},
    ),
    "python_tag": "x: !!python/object/apply:os.system ['id > canary']\n",
    "python_name": "x: !!python/name:os.system\n",
    "binary": "x: !!binary aWQ=\n",
    "merge": "a: &a {x: 1}\nb: {<<: *a}\n",
    "anchor": "a: &a 1\n",
    "two_documents": "a: 1\n---\nb: 2\n",
    "key_twice": "a: 1\na: 2\n",
    "key_list": "? [a]\n: 1\n",
    "key_resolver": "'${oc.env:SECRET}': 1\n",
    "cycle": at("name", "${name}"),
    "cycle_2": "a: ${b}\nb: ${a}\n",
    "cycle_3": "a: {b: '${a}'}\n",
    "bomb": "a0: x\n" + "".join(f"a{i + 1}: '{f'${{a{i}}}' * 9}'\n" for i in range(40)),
    "bomb_lists": "a0: x\n" + "".join(f"a{i + 1}: [{f'${{a{i}}},' * 9}]\n" for i in range(30)),
    "bomb_of_interpolations": "a: 1\nb:\n" + "- ${a}\n" * 40_000,
    "many_values": "p:\n" + "- 1\n" * 200_000,
    "no_such_key": at("name", "${hydra.runtime.cwd}"),
    "above_the_config": at("name", "${....hydra.job}"),
    "value_missing": at("name", "???") + "a: ${name}\n",
    "digits_to_base_60": "p: 1" + ":11" * 200_000,
    "surrogate": 'name: "\\ud800"\n',
    "graph_of_a_file": at(
        "task.objective.network",
        {"_target_": "metrics.features.inception.Inception2015", "graph_path": "evil"},
    ),
    "aliases": "a: &a [x]\n" + "".join(f"b{i}: [*a, *a]\n" for i in range(9)),
    "deep": "[" * 100_000,
    "deep_2": "a: " + "{a: " * 5000 + "}" * 5000,
    "deep_3": "".join(" " * i + "a:\n" for i in range(2000)),
    "large": b"a: " + b"x" * 100_000_000,
    "digits": "a: " + "9" * 5000,
    "utf16": "a: 1".encode("utf-16"),
    "not_text": b"a: \xff\xfe\x00",
    "control": 'name: "\\e]0;title\\a"\n',
    "nothing": "",
    "list_only": "- 1\n",
}  # fmt: skip


@pytest.mark.parametrize("text", RESOLVERS)
def test_no_text_of_a_config_computes(text, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "do-not-tell")
    escaped = "".join(f"\\x{ord(c):02x}" for c in text)  # YAML hides it from a look at the text
    places = [at("name", text), f'name: "{escaped}"\n', at("data.augmentations.x", [text])]
    for number, content in enumerate(places):
        run = run_folder.RunFolder(folder_of(tmp_path / str(number), content))
        with nothing_happens(tmp_path), pytest.raises(ValueError, match="config.yaml") as refused:
            starting.load_run(run)
        assert "do-not-tell" not in str(refused.value)


@pytest.mark.parametrize("name", FOREIGN)
def test_no_config_builds_what_is_not_meant_to_be_configured(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "do-not-tell")
    run = run_folder.RunFolder(folder_of(tmp_path / "run", FOREIGN[name]))
    with nothing_happens(tmp_path), pytest.raises(ValueError, match="config.yaml") as refused:
        starting.load_run(run)
    assert len(str(refused.value)) < 3000 and "do-not-tell" not in str(refused.value)
    assert not (tmp_path / "canary").exists()


def test_the_commands_refuse_such_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = folder_of(tmp_path / "run", FOREIGN["spawn"])
    for call in (
        lambda: trained_run.open_run(run),
        lambda: sampling.sample(saved_run.compose("sample", f"run={run}", f"out={tmp_path}")),
    ):
        with nothing_happens(tmp_path), pytest.raises(ValueError, match="_target_=setuptools"):
            call()
    assert not (tmp_path / "canary").exists()


def test_hydras_own_file_is_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "do-not-tell")
    run = run_folder.RunFolder(folder_of(tmp_path / "run", yaml.safe_dump(BASE)))
    file = run.config.with_name("hydra.yaml")
    file.write_text("hydra: {runtime: {choices: {loss: '${oc.env:SECRET}'}}}\n")
    assert starting.load_run(run)[1] == {"loss": "${oc.env:SECRET}"}
    for text in ("hydra: 5\n", "[]", "hydra: {runtime: {choices: [1]}}\n"):
        file.write_text(text)
        with pytest.raises(ValueError, match="hydra.yaml"):
            starting.load_run(run)


def test_a_network_that_can_hold_code_is_named_on_this_command_line():
    node = {"_target_": "metrics.features.feature_network.SavedFeatures", "path": "net.keras"}
    config = OmegaConf.create({"features": node | {"name": "x"}, "feature_weights": "net.keras"})
    run_config.check_targets(config)  # the user's own
    run_config.check_targets(config, ("net.keras",))
    with pytest.raises(ValueError, match="features.path=net.keras.*add feature_weights=net.keras"):
        run_config.check_targets(config, ("other.keras",))


@pytest.mark.parametrize("words", [["resume=net"], ["data.root=net"], ["~feature_weights"]])
def test_a_file_of_code_is_named_by_one_key_alone(words, monkeypatch):
    monkeypatch.setattr(starting, "task_overrides", lambda: words)
    assert starting.code_files_given() == ()
    monkeypatch.setattr(starting, "task_overrides", lambda: [*words, "feature_weights='a b.keras'"])
    assert starting.code_files_given() == ("a b.keras",)


def test_a_resumed_run_does_not_load_a_network_that_it_names_itself(tmp_path):
    features = {"_target_": "metrics.features.feature_network.SavedFeatures", "path": "net.keras"}
    text = at("features", features | {"name": "x"})
    run = folder_of(tmp_path / "run", text)
    config, _ = starting.load_run(run_folder.RunFolder(run))
    with pytest.raises(ValueError, match="named on this command line.*path=net.keras, named by"):
        run_config.check_targets(config, ())


@pytest.mark.parametrize(
    "count", [300, pytest.param(2000, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_a_damaged_config_is_named(count, tmp_path):
    """Either it is read, as plain values of public classes, or refused with the file's name."""
    content = (OLD / ".hydra" / "config.yaml").read_bytes()
    file = tmp_path / "config.yaml"
    read = 0
    with nothing_happens(tmp_path):
        for mutated in text_mutations.of(content, count):
            file.write_bytes(mutated)
            try:
                config = run_config.load(file)
            except ValueError as error:
                assert "config.yaml" in str(error)
            else:
                read += 1
                targets.check(plain_config.resolved(OmegaConf.to_container(config)))
    assert 0 < read < count
