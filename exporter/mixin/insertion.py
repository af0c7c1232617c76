"""Add entries to lists of a YAML file that people wrote: their comments, order and spelling stay."""

from collections.abc import Callable, Sequence
from typing import Any

import yaml

from exporter.config import strict_yaml
from exporter.errors import ConfigError
from exporter.mixin.yaml_text import dumped

Key = tuple[str, ...]


def with_entries(text: str, key: Key, entries: Sequence[Any], *, first: bool = False) -> str:
    """Return the text with those of these entries that a list lacks, at its end or as its first.

    key: of the list, and the keys around it; the list is made where there is none, what is around it is not.
    Raises ConfigError where that would change anything else.
    """
    before = _loaded(text)
    there = _at(before, key) or []
    missing = [one for one in entries if one not in there]
    if not missing:
        return text
    found = _inserted(text, key, missing, first=first)
    expected = [*missing, *there] if first else [*there, *missing]
    if _loaded(found) != _with(before, key, expected):
        place = ".".join(key)
        raise ConfigError(f"cannot add to `{place}`: expected a list in block style; add to it:\n{dumped(missing)}")
    return found


def without_entries(text: str, key: Key, unwanted: Callable[[Any], bool]) -> str:
    """Return the text without those entries of a list in block style; raises ConfigError where that changes more."""
    before = _loaded(text)
    there = _at(before, key) or []
    kept = [one for one in there if not unwanted(one)]
    if kept == there:
        return text
    text += "\n" * (text[-1:] != "\n")
    node, lines = _node(text, key), text.splitlines(keepends=True)
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    for item, value in reversed(list(zip(items, there, strict=True))):
        if unwanted(value):
            del lines[item.start_mark.line : _end(lines, item)]
    found = "".join(lines)
    if _loaded(found) != _with(before, key, kept or None):
        raise ConfigError(f"cannot replace what is in `{'.'.join(key)}`: expected a list in block style; remove ours")
    return found


def _inserted(text: str, key: Key, entries: Sequence[Any], *, first: bool) -> str:
    """Return the text with entries inserted as lines; where lines do not fit, it is another document than expected."""
    text += "\n" * (text[-1:] not in ("", "\n"))
    lines = text.splitlines(keepends=True)
    node = _node(text, key[:-1])
    listed = _value(node, key[-1])
    if isinstance(listed, yaml.SequenceNode) and listed.value and not listed.flow_style:
        # A mark of an item is behind its dash, in the same line.
        place = listed.value[0].start_mark.line if first else _end(lines, listed)
        return _joined(lines, place, _block(entries, listed.start_mark.column))
    if listed is not None and listed.start_mark.line == listed.end_mark.line and not getattr(listed, "value", ""):
        # `key: []`, or a key without a value.
        line = listed.start_mark.line
        lines[line] = f"{lines[line][: listed.start_mark.column].rstrip()}\n"
        return _joined(lines, line + 1, _block(entries, 2 * len(key)))
    if node is None and len(key) == 1:
        return f"{text}{key[0]}:\n{_block(entries, 2)}"
    if listed is None and isinstance(node, yaml.MappingNode) and not node.flow_style:
        column = node.start_mark.column
        block = f"{' ' * column}{key[-1]}:\n" + _block(entries, column + 2)
        return _joined(lines, _end(lines, node), block)
    return text


def _node(text: str, key: Key) -> yaml.Node | None:
    """Return what a document has at a key, with its places in the text."""
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for name in key:
        node = _value(node, name)
    return node


def _value(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return what a mapping has at a key."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _end(lines: list[str], node: yaml.Node) -> int:
    """Return the line after the last of a value, without the comments and blank lines before what follows it."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        return node.end_mark.line + 1
    # A block ends where the next one begins.
    line = node.end_mark.line
    while line > 0 and (not lines[line - 1].strip() or lines[line - 1].lstrip().startswith("#")):
        line -= 1
    return line


def _block(entries: Sequence[Any], column: int) -> str:
    return "".join(f"{' ' * column}{line}\n" for line in dumped(list(entries)).splitlines())


def _joined(lines: list[str], place: int, block: str) -> str:
    return "".join([*lines[:place], block, *lines[place:]])


def _loaded(text: str) -> Any:
    try:
        return strict_yaml.load(text) or {}
    except strict_yaml.StrictYamlError as error:
        raise ConfigError(f"invalid YAML: {error}") from error


def _at(value: Any, key: Key) -> Any:
    for name in key:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _with(value: Any, key: Key, entries: list[Any] | None) -> Any:
    name, *rest = key
    return {**value, name: _with(value.get(name) or {}, tuple(rest), entries) if rest else entries}
