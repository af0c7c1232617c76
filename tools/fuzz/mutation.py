"""Mutations of texts and of trees of plain values, as people, editors and generators make them by mistake."""

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import yaml

TOKENS = (
    "!!bool x", "!!int ''", "!!timestamp x", "!!set {x}", "!!map x", "!!binary x", "!!python/name:os.system ''", "! x",
    "!x y", "&a", "*a", "&a [*a]", "<<: *a", "<<: x", "|", ">", ">-", "? ", "- ", ": ", "{", "}", "[", "]", "[" * 60,
    "{a: " * 60, "'", '"', "\\", "#", "%", "@", "`", "---", "...", "%YAML 9.9\n---\n", "\t", "\r", "\x85", "\u2028",
    '"\\0"', '"\\ud800"', '"\\UFFFFFFFF"', "\0", "\ufeff", "\x1b[31m", "0x", "0b_", "1e999", "1:99:99", ".nan", "~",
    "2026-13-45", "2026-01-01", "=", "null", "yes", "${", "${}", "${X}", "${X:-y}", "$$", "${HOME}", "9" * 5000,
    "x" * 5000, "postgresql://u:p@h/d", "host=h password=p", "http://u:p@h/p?q=r", "/dev/zero", "/dev/null",
    "/", ".", "..", "",
)  # fmt: skip
"""What stands for itself in some language, or is a border of some type."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**400, -(10**30), 1e308, float("nan"), float("inf"), "", " ", "x", "\n", "é",
    [], {}, [[]], [None], {"": None}, {"a": {"a": {"a": {}}}}, [1, "x", None], *TOKENS[:20], *TOKENS[-40:],
)  # fmt: skip


def text(random: Random, given: str, *, most: int = 4) -> str:
    """Return a text with one to `most` mutations of its characters and lines."""
    for _ in range(random.randint(1, most)):
        given = random.choice(_OF_TEXT)(random, given)
    return given


def tree(random: Random, given: Any, *, most: int = 3) -> Any:
    """Return a copy of a tree of plain values with one to `most` mutations of its nodes."""
    given = copy.deepcopy(given)
    for _ in range(random.randint(1, most)):
        if places := _places(given):
            random.choice(_OF_TREE)(random, places)
    return given


def document(random: Random, given: str) -> str:
    """Return a YAML text with mutations of its values, of its characters, or of both."""
    kind = random.random()
    if kind < 0.6:
        given = yaml.safe_dump(
            tree(random, yaml.safe_load(given)), sort_keys=False, allow_unicode=random.random() < 0.5
        )
    return text(random, given) if kind > 0.5 else given


def _cut(random: Random, given: str) -> str:
    start = random.randrange(len(given) + 1)
    return given[:start] + given[start + random.randint(1, 40) :]


def _insert(random: Random, given: str) -> str:
    at = random.randrange(len(given) + 1)
    return given[:at] + random.choice(TOKENS) + given[at:]


def _replace_character(random: Random, given: str) -> str:
    at = random.randrange(len(given) + 1)
    return given[:at] + chr(random.choice((random.randrange(128), random.randrange(0xD7FF)))) + given[at + 1 :]


def _after_colon(random: Random, given: str) -> str:
    """Put something where a value begins."""
    places = [number for number, character in enumerate(given) if character == ":"]
    if not places:
        return given
    at = random.choice(places) + 1
    rest = given[at:] if random.random() < 0.5 else given[at:].partition("\n")[2]
    return f"{given[:at]} {random.choice(TOKENS)}\n{rest}"


def _lines(change: Callable[[Random, list[str], int], None]) -> Callable[[Random, str], str]:
    def changed(random: Random, given: str) -> str:
        lines = given.split("\n")
        change(random, lines, random.randrange(len(lines)))
        return "\n".join(lines)

    return changed


def _repeat(random: Random, lines: list[str], at: int) -> None:
    lines[at:at] = [lines[at]] * random.choice((1, 2, 50))


def _move(random: Random, lines: list[str], at: int) -> None:
    lines.insert(random.randrange(len(lines)), lines.pop(at))


def _indent(random: Random, lines: list[str], at: int) -> None:
    lines[at] = " " * random.randint(0, 8) + lines[at].lstrip()


def _aliases(random: Random, given: str) -> str:
    """Append aliases of aliases."""
    return given + "\nx0: &x0 [x]\n" + "".join(
        f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * random.randint(1, 9))}]\n" for n in range(1, random.randint(2, 12))
    )  # fmt: skip


_OF_TEXT: Sequence[Callable[[Random, str], str]] = (
    _cut, _insert, _insert, _replace_character, _after_colon, _after_colon, _lines(_repeat), _lines(_move),
    _lines(_indent), _aliases,
)  # fmt: skip

_Place = tuple[Any, Any]
"""A mapping or list, and one of its keys or indexes."""


def _places(given: Any) -> list[_Place]:
    found: list[_Place] = []
    open_ = [given]
    while open_:
        node = open_.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        found += ((node, key) for key in keys)
        open_ += (node[key] for key in keys)
    return found


def _set(random: Random, places: list[_Place]) -> None:
    node, key = random.choice(places)
    node[key] = copy.deepcopy(random.choice(VALUES))


def _copy(random: Random, places: list[_Place]) -> None:
    (node, key), (other, its) = random.choice(places), random.choice(places)
    node[key] = copy.deepcopy(other[its])


def _swap(random: Random, places: list[_Place]) -> None:
    (node, key), (other, its) = random.choice(places), random.choice(places)
    one, two = copy.deepcopy(node[key]), copy.deepcopy(other[its])
    node[key], other[its] = two, one


def _wrap(random: Random, places: list[_Place]) -> None:
    node, key = random.choice(places)
    _, its = random.choice(places)
    name = its if isinstance(its, str) else "x"
    node[key] = random.choice(([node[key]], {name: node[key]}, {str(key): node[key]}, [[node[key]]]))


def _rename(random: Random, places: list[_Place]) -> None:
    """Give a value another's key, or its own misspelt or with `_file`."""
    node, key = random.choice(places)
    if not isinstance(node, dict):
        return
    others = [its for _, its in places if isinstance(its, str)] or ["x"]
    names = (
        random.choice(others),
        f"{key}_file",
        str(key).removesuffix("_file"),
        text(random, str(key)),
        str(node[key]),
    )
    node[random.choice(names)] = node.pop(key)


def _remove(random: Random, places: list[_Place]) -> None:
    node, key = random.choice(places)
    del node[key]


_OF_TREE: Sequence[Callable[[Random, list[_Place]], None]] = (_set, _set, _copy, _swap, _wrap, _rename, _remove)
