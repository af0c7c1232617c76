"""Syntax trees of PromQL by Prometheus' own parser (`/api/v1/parse_query`, which Prometheus has from 3.0 on)."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from tools.stack.servers import Prometheus

Node = dict[str, Any]


@cache
def parsed(server: Prometheus, expression: str) -> Node:
    """Return the syntax tree. Raises StackError with Prometheus' message for invalid PromQL."""
    node: Node = server.get("/api/v1/parse_query", query=expression)["data"]
    return node


def walk(node: Node, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Yield every node with those above it, the outermost first."""
    yield node, above
    children = [node.get(key) for key in ("expr", "lhs", "rhs", "param")] + list(node.get("args") or [])
    for child in children:
        if isinstance(child, dict):
            yield from walk(child, (*above, node))


def selectors(node: Node) -> list[Node]:
    """Return the selectors of series below a node, each with `name` and `matchers`."""
    return [found for found, _ in walk(node) if found["type"] in ("vectorSelector", "matrixSelector")]


def matched(selector: Node) -> set[str]:
    """Return the labels that a selector asks for."""
    return {matcher["name"] for matcher in selector["matchers"]} - {"__name__"}


def made(node: Node) -> set[str]:
    """Return the labels that a query makes itself: by label_replace, label_join or count_values."""
    calls = [one["args"][1]["val"] for one, _ in walk(node) if one.get("func", {}).get("name", "").startswith("label_")]
    return {*calls, *(one["param"]["val"] for one, _ in walk(node) if one.get("op") == "count_values")}


def grouped(node: Node) -> list[tuple[set[str], Node]]:
    """Return the labels of every `by (...)`, `on (...)` and group_left with the node they stand at."""
    found = []
    for one, _ in walk(node):
        if one["type"] == "aggregation" and not one.get("without"):
            found.append((set(one.get("grouping") or []), one))
        matching = one.get("matching")
        if matching:
            labels = set(matching.get("include") or []) | (
                set(matching["labels"] or []) if matching.get("on") else set()
            )
            found.append((labels, one))
    return found
