"""What the past of an adopted table adds up to: exactly what its counters counted."""

import time
from pathlib import Path

import pytest

from exporter.config.settings import Limits
from exporter.history import increments
from exporter.history.increments import TimeGrid
from tests.aggregation.shop import COUNT, FINISHED, NEW, TABLE, opened
from tests.servers import Database

DONE = """UPDATE "ScrapeJobs" SET "Status" = 'DONE' WHERE id {}"""

EACH = 'INSERT INTO "ScrapeJobs" (id, millis) VALUES (5, 5), (6, 6)'

CASES = {
    "finished later": (FINISHED, [NEW, DONE.format("< 3")], [DONE.format("> 2")], 2),
    "finished again": (FINISHED, [NEW, DONE.format("< 3")], [DONE.format("= 1").replace("DONE", "NEW"),
                       DONE.format("= 1")], 2),
    "inserted later": ("issues: true", [NEW], [NEW.replace("1, 4", "5, 6")], 4),
    "inserted and deleted later": ("issues: true", [NEW], [EACH,
                                   'DELETE FROM "ScrapeJobs" WHERE id = 5'], 4),
    "changed later": ("issues: true", [NEW], ['UPDATE "ScrapeJobs" SET millis = 9'], 4),
    "every change": (FINISHED + "\ncounted: every_change", [NEW, DONE.format("< 3")], [DONE.format("> 2")], 2),
    "when deleted": ("counted: deleted", [NEW, 'DELETE FROM "ScrapeJobs" WHERE id < 3'],
                     ['DELETE FROM "ScrapeJobs"'], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_the_past_ends_at_the_counters(store_database: Database, tmp_path: Path, name: str) -> None:
    """Rows that no poll has counted yet are not in it, whichever way they will count."""
    when, counted, waiting, expected = CASES[name]
    shop = opened(store_database, tmp_path, when, TABLE)
    shop.execute(*counted)
    shop.count()
    shop.execute(*waiting)
    grid = TimeGrid(int(time.time()) - 3600, 60, 60)
    with (
        shop.store.connect_as_exporter() as connection,
        increments.read(connection, shop.store.plan, grid, Limits(), lambda _: None) as past,
    ):
        since = sum(found.value for key, found in past.since.items() if key[0] == COUNT)

    assert since == expected
