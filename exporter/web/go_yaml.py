"""YAML as Go reads it into texts: a number, a date or a truth value where a text is expected is what was written."""

from collections.abc import Collection
from typing import Any

import yaml

from exporter.config import strict_yaml
from exporter.web.rate_limit import parse_number

_TAG = "tag:yaml.org,2002:"
_NOT_TEXT = frozenset(_TAG + name for name in ("bool", "int", "float", "timestamp", "value"))
_SHORT_BOOL = {"y": "yes", "Y": "yes", "n": "no", "N": "no"}


def load(text: str, typed: Collection[str]) -> Any:
    """Return the plain values of the first document of a text; all are texts but those of the keys `typed`.

    Raises StrictYamlError.
    """
    return strict_yaml.load(text, first=True, prepare=lambda root: _as_text(root, typed))


def _as_text(root: yaml.Node, typed: Collection[str]) -> None:
    """Make texts of the scalars below a node."""
    nodes, seen = [root], set()  # an alias is the node itself again
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
            for item in node.value:
                _scalar(item, is_typed=False)
        elif isinstance(node, yaml.MappingNode):
            nodes += (value for _, value in node.value)
            for key, value in node.value:
                _scalar(key, is_typed=False)
                _scalar(value, is_typed=isinstance(key, yaml.ScalarNode) and key.value in typed)


def _scalar(node: yaml.Node, *, is_typed: bool) -> None:
    if not isinstance(node, yaml.ScalarNode) or node.style:
        return
    if not is_typed:
        node.tag = f"{_TAG}str" if node.tag in _NOT_TEXT else node.tag
    elif node.value in _SHORT_BOOL:
        node.tag, node.value = f"{_TAG}bool", _SHORT_BOOL[node.value]
    elif not node.tag.endswith((":bool", ":null")):
        number = parse_number(node.value)
        node.tag, node.value = f"{_TAG}{'int' if isinstance(number, int) else 'str'}", str(number)
