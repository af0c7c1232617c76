"""Where in a tree of plain values something is wrong, with the names that msgspec leaves out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

Step = str | int
"""A key of a mapping, or an index of a list."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is wrong, where, and the key itself where that is what is wrong."""

    problem: str
    steps: tuple[Step, ...]
    key: str | None = None

    @property
    def path(self) -> str:
        """Return the place as a person writes it: `probes.redis[0].name`."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps).removeprefix(".")


def place_of(error: msgspec.ValidationError, tree: object, convert: Callable[[Any], object]) -> Place:
    """Return where `convert` found `tree` invalid. msgspec writes `[...]` for any key of a mapping.

    So the mapping is converted with one key at a time: the one that gives the same error is meant.
    """
    message = str(error)
    problem, _, path = message.partition(" - at `")
    of_key = path.startswith("key` in `")
    parts = path.removeprefix("key` in `").rstrip("`").removeprefix("$").split("[...]")
    steps: tuple[Step, ...] = ()
    for number, part in enumerate(parts):
        found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", part)
        steps += tuple(int(index) if index else name for index, name in found)
        if number + 1 < len(parts):
            steps += (_key(tree, steps, message, convert),)
    return Place(problem, steps, _key(tree, steps, message, convert) if of_key else None)


def look_up(tree: Any, steps: Sequence[Step]) -> Any:
    """Return the value at a place. Raises LookupError or TypeError where there is none."""
    for step in steps:
        tree = tree[step]
    return tree


def _key(tree: object, steps: tuple[Step, ...], message: str, convert: Callable[[Any], object]) -> str:
    for key in look_up(tree, steps):
        try:
            convert(_with_only(tree, steps, key))
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return "..."


def _with_only(tree: Any, steps: tuple[Step, ...], key: object) -> Any:
    """Return a copy of the tree in which the mapping at a place has only this key."""
    if not steps:
        return {key: tree[key]}
    changed: Any = list(tree) if isinstance(tree, list) else dict(tree)
    changed[steps[0]] = _with_only(tree[steps[0]], steps[1:], key)
    return changed
