"""The gate for all YAML that people write: plain values, bounded, every key a text and given once.

Errors are of one line, with the place and without the content. What a text may be is bounded before it is built: tags,
which can name any type, are refused; aliases count as what they stand for; depth and size have an end.
"""

import re
from collections.abc import Callable, Hashable
from typing import Any

import yaml

from exporter.files import NO_TEXT, YAML_BYTES
from exporter.redaction import shown_key

MOST_LEVELS = 50
MOST_NODES = 10_000
"""How many values a text may stand for, each alias counted as all that it repeats."""


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class StrictYamlError(Exception):
    """Raised when a text is not the YAML expected: with line, column and problem, never with what stands there."""


def load(text: str, *, first: bool = False, prepare: Callable[[yaml.Node], None] = lambda node: None) -> Any:
    """Return the plain values of a YAML text. Raises StrictYamlError.

    `first` leaves out all documents but the first, unread; `prepare` may change the nodes before they become values.
    The error quotes nothing of the file: the line that is wrong may be the one with the password.
    """
    if len(text) > YAML_BYTES:
        raise StrictYamlError(f"too long: expected at most {YAML_BYTES // 1024} kB")
    try:
        loader = _Loader(text)
        node = (loader.get_node() if loader.check_node() else None) if first else loader.get_single_node()
        if node is None:
            return None
        prepare(node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise StrictYamlError(_one_line(error)) from None


class _Refusal(yaml.MarkedYAMLError):
    """Raised when a text is YAML, but not what people may write here."""

    def __init__(self, problem: str, where: Any) -> None:
        super().__init__(problem=problem, problem_mark=where and where.start_mark)


class _Loader(yaml.SafeLoader):
    """Loads plain YAML values and refuses a key given twice, of which YAML would silently keep the last."""

    # `=` is a text like any other, not YAML 1.1's type of default values, which nothing constructs.
    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML declares it
        first: resolvers for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items() if first != "="
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = self._deepest = self._nodes = 0
        self._anchored: dict[str, tuple[int, int]] = {}
        """How many values each anchor stands for, and on how many levels; from its end on."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        if isinstance(event, yaml.AliasEvent):
            # Without an end the anchor is still being read: it would contain itself. PyYAML names one that is missing.
            if event.anchor in self.anchors and event.anchor not in self._anchored:
                raise _Refusal("invalid alias inside its own anchor", event)
            nodes, levels = self._anchored.get(event.anchor or "", (0, 0))
            self._count(event, nodes, levels)
            return super().compose_node(parent, index)
        if getattr(event, "tag", None) is not None:
            raise _Refusal("invalid tag: expected a plain value, in quotes if it begins with !", event)
        before, above, self._deepest = self._nodes, self._deepest, 0
        self._count(event, 1, 1)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        levels = self._deepest + 1
        self._deepest = max(above, levels)
        if event.anchor is not None:
            self._anchored[event.anchor] = (self._nodes - before, levels)
        return node

    def _count(self, event: yaml.Event, nodes: int, levels: int) -> None:
        self._nodes += nodes
        self._deepest = max(self._deepest, levels)
        if self._level + levels > MOST_LEVELS:
            raise _Refusal("nested too deeply: expected at most some dozens of levels", None)
        if self._nodes > MOST_NODES:
            raise _Refusal(f"too many values: expected at most {MOST_NODES}, with what aliases repeat", event)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if NO_TEXT.search(node.value):
            raise _Refusal("invalid text: expected no NUL and no lone surrogate", node)
        if ":" in node.value and node.tag in _NUMBERS:  # YAML 1.1 reads 1:30 as 90
            node.tag = "tag:yaml.org,2002:str"
        return node

    def scan_flow_scalar_non_spaces(self, double: Any, start_mark: Any) -> Any:
        try:
            return super().scan_flow_scalar_non_spaces(double, start_mark)
        except (ValueError, OverflowError):  # "\UFFFFFFFF"
            raise yaml.MarkedYAMLError(
                problem="invalid escape: expected a character that exists", problem_mark=start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self._key(key_node)
            if key in seen:
                raise _Refusal(f"key {shown_key(key)} is given twice", key_node)
            seen.add(key)
        self.flatten_mapping(node)
        for key_node, _ in node.value:  # with those that were merged
            self._key(key_node)
        return super().construct_mapping(node, deep=deep)

    def _key(self, node: yaml.Node) -> str:
        key = self.construct_object(node, deep=True)
        if not isinstance(key, str):
            raise _Refusal(f"invalid key of type {type(key).__name__}: expected a text, in quotes if need be", node)
        return key

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
            str(value if isinstance(value, int) else "")  # hexadecimal is read at any length, and written at none
            return value
        except (ValueError, OverflowError):  # such as the date 2026-13-45
            raise _Refusal("invalid date or number: put quotes around a text", node) from None


def _one_line(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
    # Aliases are quoted by their names, and a password that begins with * is read as one.
    problem = re.sub(r"(['\"]).{3,}\1", "'...'", str(problem).splitlines()[0])
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem
