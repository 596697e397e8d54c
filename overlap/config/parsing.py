"""Parses TOML, YAML and JSON without losing anything: a key that is repeated is an error."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from overlap.io.file_kinds import kind_of_content

MAX_VALUES = 100_000
"""Values of a configuration; references to references can stand for billions."""


class RepeatedKeyError(ValueError):
    """A mapping contains a key more than once, so that only the last value would count.

    Attributes:
        keys: The repeated keys.
    """

    def __init__(self, found: dict[str, list[int]]) -> None:
        named = [
            f"{key} occurs {max(2, len(lines))} times"
            + (f" (lines {', '.join(map(str, lines))})" if lines else "")
            for key, lines in found.items()
        ]
        super().__init__(f"{'; '.join(named)}; merge them, because only the last one would count")
        self.keys = tuple(found)


def text_of(content: bytes) -> str:
    """Decode a configuration: UTF-8 with or without a byte order mark.

    Raises:
        ValueError: it is not UTF-8; the message names the encoding or kind, if it is recognised.
    """
    if kind := kind_of_content(content[:512]):
        raise ValueError(f"it is {kind.name}; save it as a text file in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise ValueError(
            f"line {line}: byte 0x{wrong:02x} is not valid UTF-8; save it as UTF-8"
        ) from None


def parsed(text: str, suffix: str) -> Any:  # noqa: ANN401  any value of the formats
    """Parse a text.

    Args:
        text: The text.
        suffix: `.toml`, `.json`, or anything else for YAML.

    Raises:
        RepeatedKeyError: a mapping contains a key more than once.
        ValueError: it is not valid TOML or JSON.
        yaml.YAMLError: it is not valid YAML.
        RecursionError: it is nested too deeply.
    """
    if suffix == ".toml":
        return tomllib.loads(text)  # refuses repeated keys, with their line
    if suffix == ".json":
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, text))
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return None
    if found := dict(_repeated(node)):
        raise RepeatedKeyError(found)
    if _expanded_size(node, {}) > MAX_VALUES:
        raise ValueError("its aliases expand to more values than any configuration has")
    return yaml.safe_load(text)


def _unique(pairs: list[tuple[str, Any]], text: str) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len({*keys}) == len(keys):
        return dict(pairs)
    try:  # JSON is YAML, whose nodes have lines
        found = dict(_repeated(yaml.compose(text, Loader=yaml.SafeLoader)))
    except yaml.YAMLError:  # tabs between the tokens
        found = {}
    raise RepeatedKeyError(found or {key: [] for key in keys if keys.count(key) > 1})


def _repeated(top: yaml.Node | None) -> Iterator[tuple[str, list[int]]]:
    """Yield the keys that a mapping contains more than once, with their lines."""
    waiting, known = [("", top)], set[int]()
    while waiting:
        prefix, node = waiting.pop()
        if node is None or id(node) in known:  # an alias refers to a node
            continue
        known.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(prefix, item) for item in node.value]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[str, list[int]] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                lines.setdefault(prefix + key.value, []).append(key.start_mark.line + 1)
            waiting.append((f"{prefix}{key.value}." if isinstance(key.value, str) else "", value))
        yield from ((name, at) for name, at in lines.items() if len(at) > 1)


def _expanded_size(node: Any, known: dict[int, int]) -> int:  # noqa: ANN401  node or pair of nodes
    """Return the number of values below a node, with each alias counted as what it refers to."""
    if isinstance(node, tuple):
        return sum(_expanded_size(part, known) for part in node)
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_VALUES + 1  # a node within itself has no end
        known[id(node)] = sum(_expanded_size(part, known) for part in node.value)
    return known[id(node)]
