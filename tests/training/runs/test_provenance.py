"""Where files come from: version, commit, packages."""

import shutil
import subprocess
from importlib import metadata

import pytest

from tests.helpers.tiny import ROOT
from training.runs import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder in the place of this checkout."""
    for function in (provenance.version, provenance.commit):
        function.cache_clear()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    yield tmp_path
    for function in (provenance.version, provenance.commit):
        function.cache_clear()


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_versions_are_those_installed_and_the_projects_own(checkout):
    (checkout / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "7.8.9"\n')
    found = provenance.provenance()
    assert found["version"] == "7.8.9"
    assert found["tensorflow"] == metadata.version("tensorflow")
    assert found["keras"] == metadata.version("keras")


def test_the_commit_says_whether_files_differ_from_it(checkout):
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message=x")
    git(checkout, "tag", "v1")  # the commit is named, not the tag
    head = git(checkout, "rev-parse", "HEAD")
    assert provenance.commit() == head
    assert head[:10] in provenance.in_words() and "changed" not in provenance.in_words()
    provenance.commit.cache_clear()
    with open(checkout / "pyproject.toml", "a") as file:
        file.write("# more\n")
    assert provenance.commit() == f"{head}-dirty"
    assert "changed since" in provenance.in_words()


def test_a_copy_without_git_has_no_commit(checkout, monkeypatch):
    assert provenance.provenance()["commit"] is None
    assert "commit unknown" in provenance.in_words()
    provenance.commit.cache_clear()
    (checkout / ".git").mkdir()  # damaged
    assert provenance.commit() is None
    provenance.commit.cache_clear()
    monkeypatch.setenv("PATH", str(checkout))  # no git at all
    assert provenance.commit() is None
