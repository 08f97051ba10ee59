"""Run folders of somebody else, and damaged ones, through the commands that people type."""

import json
import shutil
import subprocess
import sys

import keras
import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from tests.helpers import saved_run, text_mutations, tiny
from training.runs import run_folder, starting, trained_run

OLD = tiny.ROOT / "tests" / "fixtures" / "old_runs" / "spade" / "run"
# In a list of YAML, where a look at the text sees no "${".
ESCAPED = '["\\x24{oc.create:{_target_: os.system, command: touch CANARY}}"]'
COMMANDS = {
    "sample": ["scripts/sample.py", "run=RUN"],
    "evaluate": ["scripts/evaluate.py", "run=RUN"],
    "judge": ["scripts/evaluate.py", "run=GOOD", "judge=RUN"],
    "compare": ["scripts/compare.py", "GOOD", "RUN"],
    "resume": ["train.py", "resume=RUN"],
}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A run of an untrained classifier."""
    folder = tmp_path_factory.mktemp("commands")
    overrides = ["experiment=classify_synthetic", *tiny.CLASSIFIER_OVERRIDES]
    return saved_run.saved(folder / "run", *overrides, *tiny.data_overrides(folder / "data"))


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A run of an untrained generator, which a classifier can judge."""
    folder = tmp_path_factory.mktemp("generator")
    overrides = ["experiment=class_synthetic", *tiny.CLASS_OVERRIDES]
    return saved_run.saved(folder / "run", *overrides, *tiny.data_overrides(folder / "data"))


@pytest.fixture
def run(untrained, tmp_path):
    return shutil.copytree(untrained, tmp_path / "run")


def command(script, *arguments):
    return subprocess.run(
        [sys.executable, tiny.ROOT / script, *arguments],
        capture_output=True, text=True, timeout=200, check=False, env=tiny.environment(),
    )  # fmt: skip


def contents(folder):
    """Bytes of all files but the lock and the log, which tells of the refusal."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {p: p.read_bytes() for p in files if p.name not in (".lock", "train.log")}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kind", ["computes", "no class of ours", "bytes"])
def test_every_command_refuses_a_hostile_run(run, generator, tmp_path, name, kind):
    canary, file = tmp_path / "canary", run / ".hydra" / "config.yaml"
    text = {
        "computes": f"evil: {ESCAPED}",
        "no class of ours": "evil: {_target_: os.system, command: touch CANARY}",
        "bytes": "evil: \x00",
    }[kind]
    file.write_text(f"{file.read_text()}{text}\n".replace("CANARY", str(canary)))
    before = contents(run)
    words = [word.replace("GOOD", str(generator)) for word in COMMANDS[name]]
    done = command(*(word.replace("RUN", str(run)) for word in words))
    assert done.returncode == 1 and "config.yaml" in done.stderr and "Received" in done.stderr
    assert "Traceback" not in done.stderr and not canary.exists()
    assert contents(run) == before


def test_what_a_resumed_run_has_kept_is_checked_as_well(run):
    kept = run / ".hydra" / "effective.yaml"
    kept.write_text(f"data: {ESCAPED}\n")
    with pytest.raises(ValueError, match=r"effective\.yaml"):
        trained_run.open_run(run)


def test_classes_of_images_are_no_interpolations(run, monkeypatch):
    """They come from folders of a data set, or from a file of the run, into configs."""
    monkeypatch.setenv("SECRET", "do-not-tell")
    names = ["${oc.env:SECRET}", "b", "c", "d", "e"]
    (run / "image_class_names.json").write_text(json.dumps(names))
    with pytest.raises(ValueError, match="names of classes without") as error:
        trained_run.open_run(run)
    assert "do-not-tell" not in str(error.value)


@pytest.mark.slow
def test_a_training_with_a_network_of_a_file_is_resumed_by_naming_it(tmp_path):
    inputs = keras.Input([None, None, 3])
    keras.Model(inputs, keras.layers.Rescaling(2.0)(inputs)).save(tmp_path / "network.keras")
    file = f"feature_weights={tmp_path / 'network.keras'}"
    settings = ["trainer.steps=2", "trainer.evaluate_every_steps=2", "evaluation.num_images=4"]
    data = tiny.data_overrides(tmp_path / "data")
    new = command("train.py", *tiny.OVERRIDES, *data, *settings, f"hydra.run.dir={tmp_path}/run",
                  "features=saved", "features.name=mine", file)  # fmt: skip
    assert new.returncode == 0, new.stderr
    alone = command("train.py", f"resume={tmp_path / 'run'}", "trainer.steps=4")
    assert alone.returncode == 1 and f"add {file}" in alone.stderr
    resumed = command("train.py", f"resume={tmp_path / 'run'}", "trainer.steps=4", file)
    assert resumed.returncode == 0, resumed.stderr
    assert "frechet_distance_mine" in (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_a_damaged_file_of_choices_is_read_or_named(tmp_path, count):
    run = shutil.copytree(OLD, tmp_path / "run")
    file, read = run / ".hydra" / "hydra.yaml", 0
    for mutated in text_mutations.of(file.read_bytes(), count):
        file.write_bytes(mutated)
        try:
            starting.load_run(run_folder.RunFolder(run))
        except ValueError as error:
            assert "hydra.yaml" in str(error) and "Received: " in str(error)
        else:
            read += 1
    assert 0 < read < count


@pytest.mark.parametrize("count", [20, pytest.param(400, marks=pytest.mark.slow)])
def test_a_damaged_config_opens_or_ends_in_an_error_of_ours(run, count):
    """Values of other types and sizes reach data and networks."""
    file, opened = run / ".hydra" / "config.yaml", 0
    for mutated in text_mutations.of(file.read_bytes(), count, seed=1):
        file.write_bytes(mutated)
        try:
            trained_run.open_run(run)
            opened += 1
        except (ValueError, OSError, KeyError, HydraException, OmegaConfBaseException):
            pass  # what commands report in one message
    assert 0 < opened < count
