"""Configs of others as plain data: parsed within limits, interpolated without resolvers."""

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import _utils

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 40
MAX_NUMBER_LENGTH = 100
MAX_EXPANDED = 2_000_000  # values and characters of a config with its interpolations replaced
TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in "null bool int float str seq map".split())
INTERPOLATION = re.compile(r"\$\{(\w+(?:\.\w+)*)\}", re.ASCII)
RELATIVE = re.compile(r"\$\{(\.+)(\w+(?:\.\w+)*)\}", re.ASCII)  # "." = beside the value itself
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


def absolute(node: Any, path: tuple = ()) -> Any:
    """The config with the interpolations that are relative to their place written in full."""
    if isinstance(node, dict):
        return {key: absolute(value, (*path, key)) for key, value in node.items()}
    if isinstance(node, list):
        return [absolute(value, (*path, index)) for index, value in enumerate(node)]
    if not isinstance(node, str):
        return node

    def in_full(match) -> str:
        above = path[: max(0, len(path) - len(match[1]))]
        return f"${{{'.'.join([*map(str, above), match[2]])}}}"

    return RELATIVE.sub(in_full, node)


def resolved(config: dict) -> dict:
    """The config with the values that its interpolations stand for.

    Args:
        config: plain dicts, lists and values.

    Raises:
        ValueError: an interpolation of anything but a key of this config, such as a resolver, in a
            value or in a key; one that leads to itself; more values than `MAX_EXPANDED`; a control
            character in a text. The key is named.
    """
    return _Interpolated(config).value(config, "")


class _Interpolated:
    def __init__(self, root) -> None:
        self.root, self.left, self.depth = root, MAX_EXPANDED, 0

    def value(self, node, path) -> Any:
        """A node of the config with all that it refers to."""
        self.depth += 1
        self.left -= 1 + (len(node) if isinstance(node, str) else 0)
        if self.left < 0 or self.depth > 2 * MAX_DEPTH:
            raise ValueError(
                f"Expected interpolations that lead to values. Received: {path}, which leads to "
                f"itself or to more than {MAX_EXPANDED} values. {ADVICE}"
            )
        found = node
        if isinstance(node, dict):
            found = {k: self.value(v, below(path, self.text(k, path))) for k, v in node.items()}
        elif isinstance(node, list):
            found = [self.value(item, below(path, i)) for i, item in enumerate(node)]
        elif isinstance(node, str):
            found = self.text(node, path)
        self.depth -= 1
        return found

    def text(self, text, path) -> Any:
        """A text with what its interpolations stand for; such a value itself, where it is all."""
        if not isinstance(text, str) or not (text := self._plain(text, path)):
            return text
        whole = INTERPOLATION.fullmatch(text)
        if whole:
            return self.value(self._node(whole[1], path), path)
        if "${" not in text:
            return text
        parts = [str(self.value(self._node(found, path), path)) if i % 2 else found
                 for i, found in enumerate(INTERPOLATION.split(text))]  # fmt: skip
        joined = "".join(parts)
        # "${a}{oc.env:HOME}" with a "$" in a: the result would be resolved once more.
        if "${" in joined:
            raise _refused(path, text)
        self.left -= len(joined)
        return joined

    def _plain(self, text, path) -> str:
        rest = INTERPOLATION.sub("", text)
        if "${" in rest or ("${" in text and "\\" in text) or CONTROL.search(text):
            raise _refused(path, text)
        return text

    def _node(self, key, path) -> Any:
        """The node of a dotted key, through other interpolations where need be; None = no node."""
        node = self.root
        for name in key.split("."):
            if isinstance(node, str) and (whole := INTERPOLATION.fullmatch(node)):
                self.depth += 1
                if self.depth > 2 * MAX_DEPTH:
                    raise _refused(path, f"${{{key}}}")
                node = self._node(whole[1], path)
                self.depth -= 1
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, dict) and name.isdigit() and int(name) in node:
                node = node[int(name)]
            elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            else:
                return None  # what reads the value says what is missing
        return node


def below(path, key) -> str:
    """The dotted name of a key below another."""
    return f"{path}.{key}" if path else str(key)


def _refused(path, text) -> ValueError:
    shown = CONTROL.sub("?", text)
    return ValueError(
        "Expected plain interpolations, ${a.b} of keys of the same config, and texts without "
        f"control characters. Received: {path or 'a key'}={shown[:200]!r}. Write the value itself "
        f"in your own config. {ADVICE}"
    )
