"""Who may import whom, checked on the source itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("data", "losses", "metrics", "models", "scripts", "training", "tests", "train")
# What a file may import of ours, by the first matching prefix of its path.
ALLOWED = [
    ("train.py", ("data", "metrics", "models", "scripts", "training")),
    ("scripts/", ("data", "metrics", "models", "scripts", "training")),
    ("training/", ("training",)),
    ("models/layers/", ("models.layers",)),
    ("models/", ("models",)),
    ("losses/", ("losses",)),
    ("metrics/", ("metrics",)),
    ("data/", ("data",)),
]
FILES = [
    path.relative_to(ROOT)
    for pattern in ("train.py", *(f"{name}/**/*.py" for name in OURS[:6]))
    for path in sorted(ROOT.glob(pattern))
]


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
            assert within(str(path).removesuffix(".py").replace("/", "."), ("train", "scripts"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_module_opens_with_its_purpose(path):
    assert ast.get_docstring(ast.parse((ROOT / path).read_text()))


# Layers for the benchmark, loaded by their `_target_` when it builds them; no command imports them.
BY_TARGET = {"scripts/naive_attentive_normalization.py": "scripts.naive_attentive_normalization"}
COMMANDS = [p for p in FILES if p.parts[0] in ("train.py", "scripts") and str(p) not in BY_TARGET]


@pytest.mark.parametrize("path", COMMANDS, ids=str)
def test_commands_start_without_tensorflow(path):
    """Help and shell completion must not wait for the import: it belongs inside functions."""
    slow = ("tensorflow", "keras", "data", "models", "losses", "metrics", "training")
    top_level = ast.parse((ROOT / path).read_text()).body
    for node in top_level:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        assert not any(within(name, (*slow, *BY_TARGET.values())) for name in names)
