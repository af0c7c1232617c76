"""Fields of scraped items: every series equals what plain SQL says of the table."""

import pytest

from tests.aggregation.counting import Store
from tests.servers import Database

ROWS = """INSERT INTO monitoring.scraping_field (at, app, job_id, scraper, field, type, items)
    SELECT now(), 'app', 'job' || i % 7, 'scraper' || i % 3, CASE WHEN i % 4 > 0 THEN 'field.' || i % 5 END,
        (ARRAY['text', 'number', 'list', 'odd', NULL])[1 + i % 5], nullif(i % 6, 0)
    FROM generate_series(1, 900) i"""


@pytest.fixture
def store(store_database: Database) -> Store:
    """Return the event store, with rows of all sorts counted."""
    store = Store(store_database.dsn)
    store.execute(ROWS)
    store.poll("scraping_field")
    return store


def test_items_that_were_looked_at_are_counted(store: Store) -> None:
    """They are the rows without a field."""
    rows = store.execute(
        "SELECT app, scraper, coalesce(sum(items) FILTER (WHERE field IS NULL), 0)::float8 "
        "FROM monitoring.scraping_field GROUP BY 1, 2"
    )

    assert store.series("platform_scraping_items_examined_total") == {row[:2]: row[2] for row in rows}


def test_filled_fields_are_counted_by_type(store: Store) -> None:
    """A type that is not in the list is `other`, none the empty label."""
    rows = store.execute(
        "SELECT app, scraper, field, CASE WHEN type = 'odd' THEN 'other' ELSE coalesce(type, '') END, "
        "coalesce(sum(items), 0)::float8 FROM monitoring.scraping_field WHERE field IS NOT NULL GROUP BY 1, 2, 3, 4"
    )
    counted = store.series("platform_scraping_field_items_total")

    assert {frozenset(key): value for key, value in counted.items()} == {frozenset(row[:4]): row[4] for row in rows}


def test_a_negative_number_is_rejected(store: Store) -> None:
    """No counter falls."""
    store.execute("INSERT INTO monitoring.scraping_field (at, app, scraper, items) VALUES (now(), 'app', 'bad', -1)")
    store.poll("scraping_field")

    assert store.value("platform_exporter_rows_rejected_total", reason="negative") == 1
    assert store.value("platform_scraping_items_examined_total", scraper="bad") is None
