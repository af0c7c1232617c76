"""Which fields of a scraper's items are filled, and with what: counted in memory, reported as `scraping_field`.

An item is a mapping, a dataclass, an object of attrs or pydantic, or a named tuple. None, blank texts, NaN and empty
containers are not filled. Fields of nested objects are `parent.child`, of objects in a list `parent[].child`, to a
depth of three; MOST_FIELDS of them in all, so that an item whose keys are data does not become a thousand series.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from math import isnan
from typing import Any

from platform_sdk import emit
from platform_sdk.events.scraping_field import SCRAPING_FIELD

MOST_FIELDS, DEEPEST, LONGEST_LIST = 100, 3, 3
KEPT = 20
"""How many of MOST_FIELDS only the item's own fields may be: those of later items, where nested keys are data."""
"""How many fields a job has at most, how deep, and of how many objects of a list the fields are looked at."""
REST = "_other_"
"""What the fields beyond MOST_FIELDS are counted as, and one without a name, which a label cannot show."""

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"), ((int, float, Decimal), "number"), ((date, time), "time"),
    ((list, tuple, set, frozenset), "list"),
)  # fmt: skip

Pairs = Iterable[tuple[Any, Any]]


class Fields:
    """What the items of a job were filled with, since the last report. Its owner holds a lock."""

    def __init__(self) -> None:
        self._items = 0
        self._filled: Counter[tuple[str, str]] = Counter()
        self._known: set[str] = set()

    def add(self, item: Pairs) -> None:
        """Look at an item, of which `pairs_of` gave names and values."""
        found: dict[str, str] = {}
        for field, kind, depth in _filled(item, "", 1):
            found.setdefault(self._bounded(field, depth), kind)  # once an item, of the objects in a list the first
        self._items += 1
        self._filled.update(found.items())

    def _bounded(self, field: str, depth: int) -> str:
        if field not in self._known:
            if not field or len(self._known) >= (MOST_FIELDS if depth == 1 else MOST_FIELDS - KEPT):
                return REST
            self._known.add(field)
        return field

    def report(self, job_id: str, scraper: str) -> None:
        """Emit what was counted, and begin at 0."""
        if not self._items:
            return
        items, filled, self._items, self._filled = self._items, self._filled, 0, Counter()
        emit.event(SCRAPING_FIELD, job_id=job_id, scraper=scraper, items=items)
        for (field, kind), number in filled.items():
            emit.event(SCRAPING_FIELD, job_id=job_id, scraper=scraper, field=field, type=kind, items=number)


def pairs_of(item: object) -> Pairs | None:
    """Return the names and values of an item, None for what is none."""
    if isinstance(item, Mapping):
        return _items_of(item)
    kind = type(item)
    if is_dataclass(kind):
        return ((one.name, getattr(item, one.name, None)) for one in fields(kind))
    for declared in ("model_fields", "_fields"):
        if (names := getattr(kind, declared, None)) and not isinstance(item, type):
            return ((name, getattr(item, name, None)) for name in names)
    if attributes := getattr(kind, "__attrs_attrs__", None):
        return ((one.name, getattr(item, one.name, None)) for one in attributes)
    return None


def _items_of(item: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    yield from item.items()  # of the application's class: what it raises comes when the item is looked at


def _filled(pairs: Pairs, prefix: str, depth: int) -> Iterator[tuple[str, str, int]]:
    """Yield name, type and depth of what is filled, an object's own fields before those of the objects in it."""
    inner: list[tuple[Any, str]] = []
    for name, value in pairs:
        kind = _kind(value)
        if kind is None:
            continue
        field = f"{prefix}{name}"
        yield field, kind, depth
        if depth >= DEEPEST or kind not in ("list", "object"):
            continue
        if kind == "object":
            inner.append((value, f"{field}."))
        elif isinstance(value, list | tuple):
            inner += ((each, f"{field}[].") for each in value[:LONGEST_LIST])
    for each, begin in inner:
        yield from _filled(pairs_of(each) or (), begin, depth + 1)


def _kind(value: object) -> str | None:
    """Return the type of a value, None where the field is not filled."""
    if value is None or (isinstance(value, float) and isnan(value)) or (isinstance(value, Decimal) and value.is_nan()):
        return None
    if isinstance(value, str):
        return "text" if value.strip() else None
    if isinstance(value, bytes | bytearray):
        return "other" if value else None
    for types, name in _KINDS:
        if isinstance(value, types) and not hasattr(value, "_fields"):
            return None if name == "list" and not value else name
    pairs = pairs_of(value)
    if pairs is None:
        return "other"
    return "object" if not isinstance(value, Mapping) or value else None
