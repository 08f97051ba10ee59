"""A command runs the code of its own checkout, and writes there, wherever it is called from."""

import os
import shutil
import subprocess
import sys

import pytest

from data import files
from data.synthetic import synthetic_facades
from tests.helpers import tiny
from training.runs import run_config, starting

PACKAGES = ("data", "losses", "metrics", "models", "scripts", "training", "tests")
COMMANDS = {  # a setting of each
    "train.py": "output_root",
    "scripts/sample.py": "grid_styles",
    "scripts/evaluate.py": "repeats",
    "scripts/compare.py": "data_root",
    "scripts/benchmark.py": "rounds",
    "scripts/prepare_dataset.py": "preview_count",
}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """(working directory, environment) in which another checkout is installed and on the path."""
    folder = tmp_path_factory.mktemp("foreign")
    other = folder / "other"
    for name in PACKAGES:
        (other / name).mkdir(parents=True)
        (other / name / "__init__.py").write_text("raise SystemExit('code of another checkout')\n")
    start_up = folder / "start_up"  # an editable install: a .pth file names the other checkout
    start_up.mkdir()
    (start_up / "other.pth").write_text(f"{other}\nimport sys; sys.path.insert(0, {str(other)!r})")
    (start_up / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(start_up)!r})")
    path = os.pathsep.join([str(other), str(start_up)])
    return folder, os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"}


def run(root, foreign, *arguments, **variables):
    folder, environment = foreign
    return subprocess.run(
        [sys.executable, str(root / arguments[0]), *arguments[1:]],
        cwd=folder, env=environment | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_other_checkout_would_be_imported(foreign):
    folder, environment = foreign
    command = [sys.executable, "-c", "import training"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert "code of another checkout" in done.stderr


@pytest.mark.parametrize(
    "command",
    [c if c == "train.py" else pytest.param(c, marks=pytest.mark.slow) for c in COMMANDS],
)
def test_a_command_runs_its_own_checkout(command, foreign):
    asked = ("--cfg", "job") if command == "train.py" else ("--help",)
    done = run(tiny.ROOT, foreign, command, *asked)
    assert done.returncode == 0, done.stderr
    assert COMMANDS[command] in done.stdout
    assert not (foreign[0] / "outputs").exists()


@pytest.mark.slow
def test_also_without_the_folder_of_the_script_on_the_path(foreign):
    for command in ("train.py", "scripts/sample.py"):
        assert run(tiny.ROOT, foreign, command, "--help", PYTHONSAFEPATH="1").returncode == 0


def test_defaults_lie_in_the_checkout_and_given_paths_in_the_working_directory(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert starting.runs_of(None, "a") == tiny.ROOT / "outputs" / "a"
    assert starting.runs_of("mine", "a") == tmp_path / "mine" / "a"
    assert files.DATASETS == tiny.ROOT / "datasets"
    assert synthetic_facades.SyntheticFacades().root == f"{tiny.ROOT}/datasets/synthetic_facades"


@pytest.mark.slow
def test_a_run_and_its_data_lie_in_the_checkout(foreign, tmp_path):
    own = tmp_path / "own"
    for name in ("train.py", "pyproject.toml"):
        own.mkdir(exist_ok=True)
        shutil.copy(tiny.ROOT / name, own / name)
    for name in (*PACKAGES[:-1], "configs"):
        shutil.copytree(tiny.ROOT / name, own / name, ignore=shutil.ignore_patterns("__pycache__"))
    settings = [text for text in tiny.data_overrides("") if not text.startswith("data.root")]
    done = run(own, foreign, "train.py", *tiny.OVERRIDES, *settings, "trainer.steps=1")
    assert done.returncode == 0, done.stderr
    (found,) = (own / "outputs").glob("*/*/checkpoints")
    assert (own / "datasets" / "synthetic_facades").is_dir()
    assert sorted(path.name for path in foreign[0].iterdir()) == ["other", "start_up"]
    assert run_config.load(found.parent / ".hydra" / "config.yaml").output_root is None
