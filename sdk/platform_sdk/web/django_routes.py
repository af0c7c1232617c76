"""Turn what Django calls a route into a template that a person can read."""

import re
from functools import lru_cache

_GROUP = re.compile(r"\((?:\?P<(?P<name>\w+)>|(?P<other>\?))?")


@lru_cache(maxsize=4096)
def template(route: str) -> str:
    """Return "/articles/<year>/" for "^articles/(?P<year>[0-9]{4})/$", and "/users/<int:pk>/" for "users/<int:pk>/"."""
    for anchor in ("^", r"\A"):
        route = route.removeprefix(anchor)
    for anchor in ("$", r"\Z", r"\z"):
        route = route.removesuffix(anchor)
    return "/" + (_without_groups(route) if "(" in route or "\\" in route else route).removeprefix("/")


def _without_groups(pattern: str) -> str:
    """Return a regular expression with its groups' names in their places; "<var>" for those that have none."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\" and at + 1 < len(pattern):
            parts.append(pattern[at : at + 2] if pattern[at + 1].isalnum() else pattern[at + 1])
            at += 2
        elif (group := _GROUP.match(pattern, at)) and not group["other"]:
            parts.append(f"<{group['name'] or 'var'}>")
            at = _end_of_group(pattern, at)
        else:
            parts.append(pattern[at])
            at += 1
    return "".join(parts)


def _end_of_group(pattern: str, at: int) -> int:
    """Return where what follows the group begins that is opened at `at`."""
    depth, in_class = 0, False
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 1
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return at
