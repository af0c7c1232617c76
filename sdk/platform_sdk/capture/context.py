"""Copy what an application passes as context, so that it can neither change nor grow afterwards."""

from collections.abc import Mapping
from enum import Enum
from math import isfinite
from typing import Any

DEEPEST = 5
MOST_ITEMS = 64
LONGEST_TEXT = 2_000
LARGEST_INTEGER = 2**63

_CONTAINERS = (Mapping, list, tuple, set, frozenset)
_SPELLED = frozenset(("bson", "datetime", "decimal", "ipaddress", "pathlib", "uuid"))
"""Modules whose objects have a text that is plain."""


def freeze(value: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, int]:
    """Return a bounded copy of plain values, and its approximate size in bytes. Objects become "<their class>".

    No method of an object is called: its `__str__` or `__repr__` might run queries or contain secrets. Nor is its
    class asked for by `isinstance`, by which a lazy object loads what it stands for.
    """
    if value is None:
        return None, 0
    sizes = [0]
    copy = _copy(value if issubclass(type(value), Mapping) else {"value": value}, 0, sizes)
    return copy, sizes[0]


def _copy(value: Any, depth: int, sizes: list[int]) -> Any:
    kind = type(value)
    if kind is str:
        sizes[0] += 80 + min(len(value), LONGEST_TEXT)
        return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT]
    sizes[0] += 80
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -LARGEST_INTEGER <= value < LARGEST_INTEGER else "<int>"
    if kind is float:
        return value if isfinite(value) else "<float>"
    if issubclass(kind, _CONTAINERS):
        return _copy_container(value, depth, sizes)
    return plain_text(value)


def _copy_container(value: Any, depth: int, sizes: list[int]) -> Any:
    if depth >= DEEPEST or sizes[0] > 20 * LONGEST_TEXT:
        return "..."
    if issubclass(type(value), Mapping):
        copy: dict[str, Any] = {}
        for number, key in enumerate(list(value)):
            if number >= MOST_ITEMS:
                copy["..."] = len(value) - number
                break
            name = (key if type(key) is str else plain_text(key))[:200]
            item = value[key]
            if type(item) is str and len(item) <= LONGEST_TEXT:  # as most are: this spares a call
                sizes[0] += 80 + len(item)
                copy[name] = item
            else:
                copy[name] = _copy(item, depth + 1, sizes)
        return copy
    return [_copy(item, depth + 1, sizes) for item in list(value)[:MOST_ITEMS]]


def plain_text(value: Any) -> str:
    """Return the text of a plain value, and for any other its class's name in angle brackets."""
    text = spelled(value)
    return f"<{type(value).__name__}>" if text is None else text


def is_spelled(kind: type) -> bool:
    """Return whether the objects of a class have a text that is plain."""
    return str(kind.__module__).partition(".")[0] in _SPELLED


def spelled(value: Any) -> str | None:
    """Return the text of a plain value, None for any other."""
    if issubclass(type(value), Enum):
        value = vars(value).get("_value_")
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)[:LONGEST_TEXT]
    if kind in (int, float, bool) and -LARGEST_INTEGER <= value < LARGEST_INTEGER:
        return str(value)
    if is_spelled(kind):
        return str(value)[:LONGEST_TEXT]
    return None
