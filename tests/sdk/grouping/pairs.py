"""A pair of errors: whether they belong together, and why."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.sdk.grouping.raising import Files, of, of_program


@dataclass(frozen=True)
class Pair:
    """Two errors; `same` says whether they are one issue, `why` the reason."""

    same: bool
    why: str
    left: Callable[[], str]
    right: Callable[[], str]


def raised(files: Files, call: str, in_app: tuple[str, ...] = ()) -> Callable[[], str]:
    return lambda: of(files, call, in_app)


def program(files: Files, *arguments: str, folder: str = ".") -> Callable[[], str]:
    return lambda: of_program(files, *arguments, folder=folder)


def twice(same: bool, why: str, files: Files, left: str, right: str) -> Pair:
    """Return a pair of two calls of one program."""
    return Pair(same, why, raised(files, left), raised(files, right))


def versions(same: bool, why: str, call: str, left: Files, right: Files, both: Files | None = None) -> Pair:
    """Return a pair of one call of two versions of a program."""
    return Pair(same, why, raised({**(both or {}), **left}, call), raised({**(both or {}), **right}, call))
