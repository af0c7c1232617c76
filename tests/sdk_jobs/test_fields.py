"""Which fields of items are filled: of all kinds of items, bounded, and in the job's rows."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

import attrs
import pytest
import scrapy

import platform_sdk
from platform_sdk.jobs.fields import MOST_FIELDS
from platform_sdk.jobs.scraping import scraping_job
from tests.sdk_jobs.store import Store


@pytest.fixture(autouse=True)
def on(start: Callable[..., None]) -> None:
    """Switch the SDK on."""
    start()


def found(store: Store, *items: object) -> dict[str | None, tuple[str | None, int]]:
    """Return type and number of items by field, of a job with these items; None: all items."""
    with scraping_job(scraper="shop") as job:
        for item in items:
            job.item(item)
    assert platform_sdk.flush(60)
    return {name: (kind, items) for name, kind, items in store.rows("field, type, items", "scraping_field")}


@dataclass
class Offer:
    """An item."""

    title: str
    price: float | None = None
    sizes: list[int] = field(default_factory=list)


@attrs.define
class Chair:
    """An item."""

    title: str
    price: float | None = None


class Real(float):
    """A number as numpy's float64 is one."""


class Table(scrapy.Item):  # type: ignore[misc]
    """An item."""

    title = scrapy.Field()
    price = scrapy.Field()


@pytest.mark.parametrize(
    "item",
    [
        {"title": "a", "price": None}, Offer("a"), Chair("a"), Table(title="a"),
        namedtuple("Pair", "title price")("a", ""),
    ],
    ids=lambda item: type(item).__name__,
)  # fmt: skip
def test_items_of_all_kinds_are_looked_at(store: Store, item: object) -> None:
    """What is None, blank or missing is not filled; each is one item of the run."""
    assert found(store, item, item) == {None: (None, 2), "title": ("text", 2)}
    assert store.rows("items_processed") == [(2,)]


def test_types_are_told_apart(store: Store) -> None:
    """0 and False are values; NaN, blank texts and empty containers are none."""
    item: dict[str, Any] = {
        "a": 0, "b": False, "c": date(2026, 1, 1), "d": [1], "e": "x", "f": object(),
        "nan": float("nan"), "decimal": Decimal("nan"), "numpy": Real("nan"), "bytes": b"",
        "blank": " ", "none": None, "list": [], "object": {},
    }  # fmt: skip

    assert found(store, item) == {
        None: (None, 1), "a": ("number", 1), "b": ("boolean", 1), "c": ("time", 1), "d": ("list", 1),
        "e": ("text", 1), "f": ("other", 1),
    }  # fmt: skip


def test_nested_fields_have_a_depth(store: Store) -> None:
    """Three; of objects in a list each field counts once an item."""
    item = {"seller": {"name": "A", "place": {"city": {"zip": 1}}}, "offers": [{"price": 1}, {"price": 2}]}

    assert set(found(store, item)) == {
        None, "seller", "seller.name", "seller.place", "seller.place.city", "offers", "offers[].price",
    }  # fmt: skip
    assert store.rows("items", "scraping_field", "field = 'offers[].price'") == [(1,)]


def test_keys_that_are_data_are_bounded(store: Store) -> None:
    """Beyond the limit fields are one, and every item is still counted."""
    items = [{f"{item}-{number}": 1 for number in range(30)} for item in range(20)]
    fields = found(store, *items)

    assert len(fields) == 1 + MOST_FIELDS + 1
    assert fields[None] == (None, 20)
    assert fields["_other_"] == ("number", 17)


def test_numbers_of_items_are_no_items(store: Store) -> None:
    """They are counted as before."""
    assert found(store, 1, 4) == {}
    assert store.rows("items_processed") == [(5,)]


def test_an_item_that_fails_harms_nothing(store: Store) -> None:
    """Its properties may raise: that is counted, and the job goes on."""

    class Faulty(dict[str, object]):
        def items(self) -> Any:
            raise ValueError("no items")

    @dataclass
    class Lazy:
        a: int

        def __getattribute__(self, name: str) -> Any:
            if name == "a":
                raise RuntimeError("detached")
            return object.__getattribute__(self, name)

    items = (Faulty(), Lazy.__new__(Lazy), {"title": "a"})
    assert found(store, *items) == {None: (None, 1), "title": ("text", 1)}
    assert store.rows("items_processed") == [(3,)]


def test_fields_of_the_item_come_first(store: Store) -> None:
    """Where a nested mapping's keys are data: also a field that only a later item has."""
    specs = {"specs": {f"key-{number}": "x" for number in range(150)}}
    fields = found(store, {**specs, "title": "a"}, {**specs, "title": "b", "price": 1})

    assert (fields["title"], fields["price"]) == (("text", 2), ("number", 1))
    assert fields["_other_"] == ("text", 2)


def test_objects_in_a_list_of_different_types(store: Store) -> None:
    """A field is filled once in an item, with what the first of them has."""
    assert found(store, {"offers": [{"price": 1}, {"price": "x"}]})["offers[].price"] == ("number", 1)
    assert store.rows("items", "scraping_field", "field = 'offers[].price'") == [(1,)]


def test_what_is_no_field_of_a_dataclass(store: Store) -> None:
    """Constants of the class and arguments of its construction."""

    @dataclass
    class Item:
        title: str
        kind: ClassVar[str] = "x"
        given: InitVar[int] = 5

    assert found(store, Item("a")) == {None: (None, 1), "title": ("text", 1)}


def test_a_field_without_a_name(store: Store) -> None:
    """A label cannot show it: it is among the others."""
    assert found(store, {"": 5}) == {None: (None, 1), "_other_": ("number", 1)}


@pytest.mark.parametrize("number", [10**30, -5])
def test_numbers_that_no_row_can_hold(store: Store, number: int) -> None:
    """They are refused: the run's row would be."""
    found(store, 2, number)

    assert store.rows("items_processed") == [(2,)]
