"""Who may import whom, checked on the source itself."""

import ast
import subprocess
import sys

import pytest

from tests.helpers.tiny import ROOT

OURS = ("data", "losses", "metrics", "models", "scripts", "training", "tests", "train")
# What a file may import of ours, by the first matching prefix of its path.
ALLOWED = [
    (
        "train.py",
        (
            "data",
            "metrics",
            "models",
            "training",
            "scripts.command.errors",
            "scripts.command.overrides",
            "scripts.preflight",
        ),
    ),
    ("scripts/", ("data", "metrics", "models", "scripts", "training")),
    ("training/", ("training", "losses.term")),
    ("models/layers/", ("models.layers",)),
    ("models/feature_weights.py", ("metrics.features.torch_files",)),
    ("models/", ("models",)),
    ("losses/", ("losses",)),
    ("metrics/", ("metrics",)),
    ("data/", ("data",)),
]
HYDRA = ("train", "scripts", "training.runs")
FILES = [
    path.relative_to(ROOT)
    for pattern in ("train.py", *(f"{name}/**/*.py" for name in OURS[:6]))
    for path in sorted(ROOT.glob(pattern))
]
COMMANDS = [
    path for path in FILES if str(path) == "train.py"
    or (path.parent.name == "scripts" and path.name != "__init__.py")
]  # fmt: skip


def imports(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name, prefixes):
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path):
    allowed = next(names for prefix, names in ALLOWED if str(path).startswith(prefix))
    for name in imports(path):
        if within(name, OURS):
            assert within(name, allowed), f"{path} must not import {name}"
        if within(name, ("hydra", "omegaconf")):
            assert within(str(path).removesuffix(".py").replace("/", "."), HYDRA)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_module_opens_with_its_purpose(path):
    assert ast.get_docstring(ast.parse((ROOT / path).read_text()))


@pytest.mark.parametrize("path", COMMANDS, ids=str)
def test_commands_start_without_tensorflow(path):
    """Help and shell completion must not wait for the import: Hydra calls a function with it."""
    name = ".".join(path.with_suffix("").parts)
    code = f"import sys, {name}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
