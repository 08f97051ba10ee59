"""Configs of others as plain data: parsed within limits, interpolated without resolvers."""

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import _utils

MAX_BYTES = 1_000_000
MAX_NODES = 50_000
MAX_DEPTH = 40
MAX_NUMBER_LENGTH = 100
MAX_EXPANDED = 2_000_000  # values and characters of a config with its interpolations replaced
PER_INTERPOLATION = 1_000  # what one counts for: OmegaConf takes as much longer over it
MAX_INTERPOLATED_LENGTH = 1_000  # of a text
TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in "null bool int float str seq map".split())
INTERPOLATION = re.compile(r"\$\{(\.*\w+(?:\.\w+)*)\}", re.ASCII)
# Terminals obey some of them, and none is part of a name.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
ADVICE = "Do not use a run folder you do not trust."


class _Loader(_utils.get_yaml_loader()):  # type: ignore[misc]  # numbers as OmegaConf reads them
    """Scalars, lists and mappings alone, up to the limits."""

    nodes = depth = 0

    def compose_node(self, parent, index) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise ValueError(f"an anchor or alias in line {event.start_mark.line + 1}")
        self.nodes += 1
        self.depth += 1
        if self.nodes > MAX_NODES or self.depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_NODES} values, or {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        is_text = node.tag == yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG
        if node.tag not in TAGS:
            raise ValueError(f"the tag {node.tag} in line {node.start_mark.line + 1}")
        if not is_text and isinstance(node.value, str) and len(node.value) > MAX_NUMBER_LENGTH:
            raise ValueError(f"a number of {len(node.value)} digits")
        return node

    def construct_mapping(self, node, deep=False) -> dict:
        mapping = super().construct_mapping(node, deep=True)
        if len(mapping) != len(node.value):
            raise ValueError(f"a key twice in the mapping of line {node.start_mark.line + 1}")
        if not all(type(key) in (str, int) for key in mapping):
            raise ValueError(f"a key that is no text in line {node.start_mark.line + 1}")
        return mapping


def read(path: str | Path) -> dict[str, Any]:
    """A YAML file of somebody else's making as plain dicts, lists, texts, numbers and None.

    Raises:
        ValueError: no file, no YAML mapping, or one beyond the limits; the file is named.
    """
    try:
        if not Path(path).is_file():
            raise ValueError("no such file")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        # A decoded text: bytes may declare encodings of which the reader knows little.
        config = yaml.load(content.decode("utf-8"), _Loader)  # noqa: S506  # a safe loader
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__} in the place of a mapping")
    except (ValueError, yaml.YAMLError, OSError, RecursionError, LookupError, TypeError) as error:
        reason = " ".join(CONTROL.sub("?", str(error)).split())
        raise ValueError(
            f"Expected a config: a YAML file of plain keys and values. Received: {path}, with "
            f"{reason[:300]}. Restore the file, such as from a copy of the run."
        ) from None
    return config


def resolved(config: dict) -> dict:
    """The config with the values that its interpolations stand for.

    Args:
        config: plain dicts, lists and values.

    Raises:
        ValueError: an interpolation of anything but a key of this config, such as a resolver, in a
            value or in a key; one that leads to itself; more values than `MAX_EXPANDED`; a control
            character in a text. The key is named.
    """
    return _Interpolated(config).value(config, ())


class _Interpolated:
    def __init__(self, root) -> None:
        self.root, self.left, self.depth = root, MAX_EXPANDED, 0

    def value(self, node, path) -> Any:
        """The node at a path of the config, a tuple of keys, with all that it refers to."""
        self._descend(path, len(node) if isinstance(node, str) else 0)
        found = node
        if isinstance(node, dict):
            for key in node:
                self._check_text(key, path)
            found = {key: self.value(item, (*path, key)) for key, item in node.items()}
        elif isinstance(node, list):
            found = [self.value(item, (*path, index)) for index, item in enumerate(node)]
        elif isinstance(node, str):
            found = self._text(node, path)
        self.depth -= 1
        return found

    def _text(self, text, path) -> Any:
        """A text with what its interpolations stand for; such a value itself, where it is all."""
        self._check_text(text, path)
        if whole := INTERPOLATION.fullmatch(text):
            return self.value(*self._node(whole[1], path))
        parts = INTERPOLATION.split(text)
        if len(parts) > 1 and len(text) > MAX_INTERPOLATED_LENGTH:
            raise _refused(path, text)
        parts[1::2] = [str(self.value(*self._node(key, path))) for key in parts[1::2]]
        joined = "".join(parts)
        self.left -= len(joined)
        # "${a}{oc.env:HOME}" with a "$" in a: the result would be resolved once more.
        if len(parts) > 1 and "${" in joined:
            raise _refused(path, text)
        return joined

    def _check_text(self, text, path) -> None:
        if isinstance(text, str) and (
            "${" in INTERPOLATION.sub("", text)
            or ("${" in text and "\\" in text)
            or CONTROL.search(text)
        ):
            raise _refused(path, text)

    def _node(self, key, path) -> tuple[Any, tuple]:
        """(node or None, its path) of the dotted key in a text at a path, also through others."""
        self.left -= PER_INTERPOLATION
        names: list = key.lstrip(".").split(".")
        up = len(key) - len(key.lstrip("."))  # one dot: beside the text, two: one level above
        if up:
            names = [*path[: max(len(path) - up, 0)], *names]
        node, found = self.root, ()  # type: tuple[Any, tuple]
        for name in names:
            if isinstance(node, str) and (whole := INTERPOLATION.fullmatch(node)):
                self._descend(path, 0)
                node, found = self._node(whole[1], found)
                self.depth -= 1
            known = range(len(node)) if isinstance(node, list) else node
            if not isinstance(known, range | dict):
                known = ()
            if name not in known and str(name).isdigit():
                name = int(name)  # of a list, or a number among the keys of a mapping
            if name not in known:
                return None, found  # what reads the value says what is missing
            node, found = node[name], (*found, name)
        return node, found

    def _descend(self, path, length) -> None:
        self.depth += 1
        self.left -= 1 + length
        if self.left < 0 or self.depth > 2 * MAX_DEPTH:
            raise ValueError(
                f"Expected interpolations that lead to values. Received: {_shown(path)}, which "
                f"leads to itself or to more than {MAX_EXPANDED} values. {ADVICE}"
            )


def below(path, key) -> str:
    """The dotted name of a key below another."""
    return f"{path}.{key}" if path else str(key)


def _shown(path) -> str:
    return CONTROL.sub("?", ".".join(map(str, path))[:200]) or "a key"


def _refused(path, text) -> ValueError:
    return ValueError(
        "Expected plain interpolations, ${a.b} of keys of the same config, and texts without "
        f"control characters. Received: {_shown(path)}={CONTROL.sub('?', text[:200])}. Write the "
        f"value itself in your own config. {ADVICE}"
    )
