"""The thread that polls a source, over several polls."""

import pytest

from exporter.aggregation.poller import Worker
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Retention, Source
from exporter.sections import Secret
from exporter.sources import mapping
from tests.aggregation.counting import Store, add_runs, runs
from tests.servers import Database, poll_until


def test_an_old_schema_is_named_once(store_database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Every poll says what to run, never which column the database misses."""
    store_database.execute("UPDATE monitoring.schema_version SET version = version - 1")
    store_database.execute("ALTER TABLE monitoring.rollup DROP COLUMN exemplars")
    settings = Settings(dsn=Secret(store_database.dsn), poll_interval_seconds=0.05)
    worker = Worker(mapping.plan(Source()), settings, Limits(), Retention())
    failed: list[Exception] = []
    fail = worker._fail
    worker._fail = lambda error: (failed.append(error), fail(error))[1]  # type: ignore[method-assign,func-returns-value]
    worker.start()
    poll_until(lambda: len(failed) >= 3)
    worker.stop()

    assert len({str(error) for error in failed}) == 1
    assert "run `platform-exporter schema apply --config FILE`" in caplog.text
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_polls_between_removals(store: Store) -> None:
    """Old days are read and removed one after each poll, so that no row waits for more than one."""
    worker = store.worker()
    worker.poll()
    for days in (1000, 1001, 1002):
        store.execute("SELECT monitoring.ensure_partition('scraping_run', current_date - %s)", [days])
    worker._maintained_at = None
    left, counted = [], []
    for _ in range(4):
        add_runs(store)
        worker.poll()
        left.append(store.one("SELECT count(*) FROM pg_class WHERE relname ~ '^scraping_run_202[0-5]....$'"))
        counted.append(runs(store))
    worker._disconnect()

    assert left == [2, 1, 0, 0]
    assert counted == [1, 2, 3, 4]
