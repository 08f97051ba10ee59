"""The project files agree with each other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings the same parser for Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [
    Requirement(line.split("#")[0])
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.lstrip().startswith("#")
]


def declared():
    extras = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in PROJECT["dependencies"] + extras["dev"] + extras["gpu"]]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_declared_range_holds_its_pin(requirement):
    pins = [pin for pin in PINS if pin.name == requirement.name]
    assert pins, f"{requirement.name} is not pinned; run make requirements"
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(Version(exact.version))


def test_the_direct_dependencies_are_few():
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == {
        "tensorflow", "tensorflow-datasets", "importlib-resources", "pillow", "hydra-core",
        "tensorboard",
    }  # fmt: skip


def test_what_tfds_imports_undeclared_is_installed():
    """Needed to build a tfds data set, on every Python."""
    import importlib_resources

    assert importlib_resources.abc.Traversable
    (pin,) = (pin for pin in PINS if pin.name == "importlib-resources")
    assert pin.marker is None


def test_pins_are_exact_and_name_no_host():
    text = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"https?:|file:|--index|--find-links", text)
    assert all(str(pin.specifier).startswith("==") for pin in PINS)


def test_what_is_installed_is_what_is_pinned():
    from importlib.metadata import version

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
