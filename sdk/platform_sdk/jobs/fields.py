"""Which fields of a scraper's items are filled, and with what: counted in memory, reported as `scraping_field`.

An item is a mapping, a dataclass, an object of attrs or pydantic, or a named tuple. None, blank texts, NaN and empty
containers are not filled. Fields of nested objects are `parent.child`, of objects in a list `parent[].child`, to a
depth of three; MOST_FIELDS of them in all, so that an item whose keys are data does not become a thousand series.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from math import isnan
from typing import Any

from platform_sdk import emit
from platform_sdk.events.scraping_field import SCRAPING_FIELD

MOST_FIELDS, DEEPEST, LONGEST_LIST = 100, 3, 3
"""How many fields a job has at most, how deep, and of how many objects of a list the fields are looked at."""
REST = "_other_"
"""What the fields beyond MOST_FIELDS are counted as."""

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
        self._items += 1
        self._filled.update({(self._bounded(field), kind) for field, kind in _filled(item, "", 1)})

    def _bounded(self, field: str) -> str:
        if field not in self._known:
            if len(self._known) >= MOST_FIELDS:
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
        return item.items()
    kind = type(item)
    for declared in ("__dataclass_fields__", "model_fields", "_fields"):
        if (names := getattr(kind, declared, None)) and not isinstance(item, type):
            return ((name, getattr(item, name, None)) for name in names)
    if attributes := getattr(kind, "__attrs_attrs__", None):
        return ((one.name, getattr(item, one.name, None)) for one in attributes)
    return None


def _filled(pairs: Pairs, prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    for name, value in pairs:
        kind = _kind(value)
        if kind is None:
            continue
        field = f"{prefix}{name}"
        yield field, kind
        if depth >= DEEPEST or kind not in ("list", "object"):
            continue
        if kind == "object":
            yield from _filled(pairs_of(value) or (), f"{field}.", depth + 1)
        elif isinstance(value, list | tuple):
            for each in value[:LONGEST_LIST]:
                yield from _filled(pairs_of(each) or (), f"{field}[].", depth + 1)


def _kind(value: object) -> str | None:
    """Return the type of a value, None where the field is not filled."""
    if value is None or (type(value) is float and isnan(value)):
        return None
    if isinstance(value, str):
        return "text" if value.strip() else None
    for types, name in _KINDS:
        if isinstance(value, types) and not hasattr(value, "_fields"):
            return None if name == "list" and not value else name
    pairs = pairs_of(value)
    if pairs is None:
        return "other"
    return "object" if not isinstance(value, Mapping) or value else None
