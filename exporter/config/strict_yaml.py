"""YAML as people write it: no key twice, every key a text, and errors of one line without its content."""

import re
from typing import Any

import yaml


class StrictYamlError(Exception):
    """Raised when a text is not the YAML expected: with line, column and problem, never with what stands there."""


def load(text: str) -> Any:
    """Return the plain values of a YAML text. Raises StrictYamlError.

    The error quotes nothing of the file: the line that is wrong may be the one with the password.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that refuses more
    except yaml.YAMLError as error:
        raise StrictYamlError(_one_line(error)) from None
    except RecursionError:
        raise StrictYamlError("nested too deeply: expected at most some dozens of levels") from None


class _Loader(yaml.SafeLoader):
    """Loads plain YAML values and refuses a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"invalid key of type {type(key).__name__}: expected a text, in quotes if need be"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key `{key}` is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError):  # such as the date 2026-13-45
            problem = "invalid date or number: put quotes around a text"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
            anchored = self.anchors.get(event.anchor)
            # A node without an end is still being read: it would contain itself.
            if anchored is not None and getattr(anchored, "end_mark", None) is None:
                raise yaml.MarkedYAMLError(problem="invalid alias inside its own anchor", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _one_line(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
    # Aliases and tags are quoted by their names, and a password that begins with * or ! is read as one.
    problem = re.sub(r"(['\"]).{3,}\1", "'...'", str(problem).splitlines()[0])
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem
