"""The variants of a training config that are compared: overrides of `compare=[...]`."""

import re
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig, OmegaConf

from scripts.command import errors, overrides

GIVEN = "as given"
LISTS = ("compare", "evaluate")  # settings whose values are overrides
# An override within a list: it starts with no bracket, and brackets in its value come in pairs.
OVERRIDE = re.compile(
    r"[^\s,\[\]](?:[^,\[\]{}()]|\[(?:[^\[\]]|\[[^\[\]]*\])*\]|\{[^}]*\}|\([^)]*\))*"
)


def quoted_compare(argument: str) -> str:
    """`compare=[a=1, [b=2, c=3]]`, also `evaluate=`, with the quotes that Hydra needs.

    Raises:
        ValueError: brackets that do not match.
    """
    key, _, text = argument.partition("=")
    if key not in LISTS or "'" in text or '"' in text:
        return argument
    if any(text.count(left) != text.count(right) for left, right in ("[]", "{}", "()")):
        raise ValueError(
            f"Expected {key}=[a.b=c, [d.e=f, g.h=i]], brackets in pairs. Received: {text}"
        )
    text = text if text.startswith("[") else f"[{text}]"
    return f"{key}=" + OVERRIDE.sub(lambda found: repr(found[0].strip()), text)


def named(compare) -> list[tuple[str, list[str]]]:
    """(name, overrides) of the given config, which has none, and of each entry of `compare`."""
    entries = OmegaConf.to_container(compare)
    changes = [entry if isinstance(entry, list) else [entry] for entry in entries]
    return [(GIVEN, []), *((" ".join(each), each) for each in changes)]


def replaced(given: list[str], changes: Sequence[str]) -> list[str]:
    """The overrides with those of the changes, in the place of earlier ones of their keys."""
    keys = {overrides.key_of(text) for text in changes}
    kept = [text for text in given if overrides.key_of(text) not in keys]
    return kept + overrides.with_nulls(list(changes))


def composed(given: list[str], changes: Sequence[str] = ()) -> DictConfig:
    """The training config of the overrides, of which later ones replace earlier ones.

    Raises:
        ValueError: a change that does not fit; the variant is named.
    """
    try:
        return hydra.compose("train", replaced(given, changes))
    except hydra.errors.HydraException as error:
        if not changes:
            raise
        reason = errors.reason(error).partition("\n")[0]
        raise ValueError(
            "Every entry of compare must be an override that train.py takes, or a list of them. "
            f"Received: {' '.join(changes)} ({reason})"
        ) from None
