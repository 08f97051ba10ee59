"""What made a file: version and commit of this application, versions of Python and packages."""

import functools
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tensorflow", "keras", "numpy", "pillow")


def provenance() -> dict[str, str | None]:
    """Versions by name, for manifests, passports and logs; imports none of the packages.

    Returns:
        "version" and "commit" of the application (see `version` and `commit`), "python", and the
        version of each of `PACKAGES`.
    """
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {
        "version": version(),
        "commit": commit(),
        "python": platform.python_version(),
    } | packages


@functools.cache
def version() -> str:
    """The version of the application, as pyproject.toml has it.

    Python 3.10 has no parser of TOML; the line is the only one of its kind.
    """
    text = (ROOT / "pyproject.toml").read_text()
    (found,) = re.findall(r'^version\s*=\s*"([^"]+)"', text, re.MULTILINE)
    return found


@functools.cache  # of the code as it was when this process started, near enough
def commit() -> str | None:
    """The commit of this checkout, "-dirty" behind it where tracked files differ from it.

    Returns:
        40 digits, perhaps with the suffix; None where this is no checkout or git does not answer.
    """
    if not (ROOT / ".git").exists():  # a copy of the files inside some other checkout
        return None
    command = ["git", "-C", str(ROOT), "--no-optional-locks"]
    command += ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def in_words() -> str:
    """One line for a terminal or log: "0.2.0 (commit 1234567)"."""
    found = commit()
    if found is None:
        return f"{version()} (commit unknown)"
    digits, _, dirty = found.partition("-")
    return f"{version()} (commit {digits[:10]}{', changed since' if dirty else ''})"
