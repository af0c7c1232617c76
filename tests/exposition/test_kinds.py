"""docs/kinds.md against a real event store: its examples count, and its rejections are those of the database."""

import pytest

from exporter.exposition import kinds
from platform_sdk.events import EVENTS
from platform_sdk.events.base import REJECTIONS, EventKind
from tests.aggregation.counting import Store
from tests.servers import Database


@pytest.fixture
def store(store_database: Database) -> Store:
    return Store(store_database.dsn)


def test_examples_count(store: Store) -> None:
    """Each INSERT of the document is accepted and counted once, and makes series of its kind."""
    for kind in EVENTS:
        store.execute(kinds.insert(kind))
    store.poll()
    metrics = {metric for (metric,) in store.execute("SELECT DISTINCT metric FROM monitoring.rollup")}

    assert store.value("platform_exporter_events_total") == len(EVENTS)
    assert store.rejected() == {}
    assert metrics >= {kind.rollups[0].metric for kind in EVENTS if kind.name != "sample"}
    assert "platform_sample_cache_size_bytes" in metrics


@pytest.mark.parametrize(
    ("kind", "column", "value", "reason"),
    [
        ("http_request", "duration_seconds", "-1", "negative"),
        ("http_request", "weight", "'NaN'", "not_finite"),
        ("api_call", "cost", "1e16", "out_of_range"),
        ("scraping_run", "at", "now() + interval '4 h'", "future"),
        ("sample", "kind", "'odd'", "malformed"),
        ("sample", "labels", "'[]'", "malformed"),
    ],
)
def test_rejections_are_those_of_the_document(
    store: Store, kind: str, column: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the table of a kind says of a column is what happens to a row that has such a value."""
    (declared,) = (one for one in EVENTS if one.name == kind)
    monkeypatch.setitem(kinds.EXAMPLES, column, value)
    store.execute(kinds.insert(declared))
    store.poll(kind)

    assert store.rejected() == {reason: 1}
    assert reason in kinds.rejections(declared, next(c for c in declared.all_columns if c.name == column))


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.name)
def test_every_column_is_explained(kind: EventKind) -> None:
    """A section has each column of its kind once, and names only reasons there are."""
    text = "\n".join(kinds.lines()).split(f"## {kind.name}\n")[1].split("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]

    assert len(rows) == len(kind.all_columns)
    assert all(set(kinds.rejections(kind, column)) <= set(REJECTIONS) for column in kind.all_columns)
    assert all(value in text for column in kind.columns for value in column.values)
