"""Tables an application owns: the same exactness, with the application's own rows and mistakes."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from exporter.config.settings import Source
from exporter.database import connection, schema
from exporter.sources import adopt, mapping
from tests.aggregation.counting import Store
from tests.servers import Database, ServerFactory, poll_until
from tools.stack.servers import Postgres

MAPPING = """
app: shop
streams:
  jobs:
    table: public.jobs
    kind: scraping_run
    columns:
      at: t.created_at AT TIME ZONE 'UTC'
      scraper: t.name
      outcome: CASE WHEN t.success = 1 THEN 'success' WHEN t.success = 0 THEN 'failure' END
      duration_seconds: t.duration_ms / 1000.0
      items_processed: t.items
  metrics:
    table: public.metrics
    kind: sample
    columns:
      at: t.created_at
      name: t.name
      kind: lower(t.type)
      value: t.value
      labels: monitoring.try_jsonb(t.labels)
sample_labels: [table]
"""
TABLES = """
CREATE TABLE public.jobs
    (id serial PRIMARY KEY, created_at timestamp, name text, success int, duration_ms int, items int);
CREATE TABLE public.metrics (created_at timestamptz DEFAULT now(), name text, type text, value float8, labels text);
"""
JOB = """INSERT INTO public.jobs (created_at, name, success, duration_ms, items)
VALUES (now() AT TIME ZONE 'UTC', %s, 1, 1500, 2)"""
COUNT = "platform_scraping_runs_total"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Return a source whose mapping is a file."""
    path = tmp_path / "shop.yml"
    path.write_text(MAPPING)
    return Source(preset=str(path))


@pytest.fixture
def shop(database: Database, source: Source) -> Store:
    """Return an application's database with five old rows, adopted."""
    database.execute(TABLES)
    store = Store(database.dsn, mapping.plan(source))
    for _ in range(5):
        store.execute(JOB, ["old"])
    adopt_tables(store, source)
    return store


def adopt_tables(store: Store, source: Source) -> None:
    with store.connect() as connection:
        adopt.carry_out(connection, adopt.steps(connection, source, mapping.load(source.preset)), lambda _: None)


def test_old_and_new_rows_count(shop: Store) -> None:
    """Rows older than the adoption count once, at the first poll."""
    shop.poll()
    shop.execute(JOB, ["new"])
    shop.poll()
    shop.poll()

    assert shop.series(COUNT) == {("shop", "old"): 5, ("shop", "new"): 1}
    assert shop.value("platform_scraping_items_total") == 12


def test_rows_written_between_adoption_and_first_poll(shop: Store) -> None:
    """Adopted tables are not a special case."""
    shop.execute(JOB, ["new"])
    shop.poll()

    assert shop.value(COUNT) == 6


def test_concurrent_inserts(shop: Store) -> None:
    """Eight writers with rollbacks and savepoints, polled all the while."""
    shop.poll()
    stopping = threading.Event()
    committed = [0] * 8

    def write(index: int) -> None:
        with shop.connect() as connection:
            while not stopping.is_set():
                with connection.transaction():
                    connection.execute(JOB, [f"w{index}"])
                    with connection.transaction(force_rollback=True):
                        connection.execute(JOB, [f"w{index}"])
                    with connection.transaction():
                        connection.execute(JOB, [f"w{index}"])
                committed[index] += 2

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    poll_until(lambda: shop.poll("jobs") and min(committed) > 100)
    stopping.set()
    for thread in threads:
        thread.join()
    shop.poll("jobs")

    assert shop.series(COUNT) == {("shop", "old"): 5, **{("shop", f"w{i}"): n for i, n in enumerate(committed)}}


def test_a_changed_row_is_not_counted_again(shop: Store) -> None:
    """Applications update their rows; an event stays one event."""
    shop.poll()
    shop.execute("UPDATE public.jobs SET items = items + 1")
    shop.poll()

    assert shop.value(COUNT) == 5


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("NULL, 'j', 1, 1, 1", "null"),
        ("now(), NULL, 1, 1, 1", "null"),
        ("now(), 'j', NULL, 1, 1", "null"),
        ("now(), 'j', 7, 1, 1", "null"),
        ("now(), 'j', 1, NULL, 1", "null"),
        ("now(), 'j', 1, -1, 1", "negative"),
        ("now(), 'j', 1, 1, -1", "negative"),
        ("now() + '1 day', 'j', 1, 1, 1", "future"),
        ("'infinity', 'j', 1, 1, 1", "future"),
    ],
)
def test_a_bad_row(shop: Store, row: str, reason: str) -> None:
    """It is rejected for its reason, and the others count."""
    shop.execute(f"INSERT INTO public.jobs (created_at, name, success, duration_ms, items) VALUES ({row})")
    shop.poll()

    assert shop.rejected() == {reason: 1}
    assert shop.value(COUNT) == 5


@pytest.mark.parametrize("labels", ["{", "", "[1, 2]", '"x"', "{'table': 1}", '{"a": "\\u0000"}', "[" * 50_000])
def test_broken_json(shop: Store, labels: str) -> None:
    """Malformed labels reject their row, counted, and no other."""
    insert = "INSERT INTO public.metrics (name, type, value, labels) VALUES ('m', 'COUNTER', 1, %s)"
    for text in (labels, '{"table": "t"}', None):
        shop.execute(insert, [text])
    shop.poll()

    assert shop.rejected() == {"malformed": 1}
    assert shop.series("platform_sample_m_total") == {("shop", "t"): 1, ("shop",): 1}


def problems(store: Store) -> tuple[str, ...]:
    worker = store.worker()
    worker.poll()
    worker._disconnect()
    return worker.view.problems


def test_a_dropped_column_stops_its_stream_only(shop: Store) -> None:
    """The message names table and column, and what to do; other tables go on."""
    shop.poll()
    shop.execute("ALTER TABLE public.jobs DROP COLUMN items")
    shop.execute("INSERT INTO public.metrics (name, type, value) VALUES ('m', 'counter', 3)")
    (problem,) = problems(shop)

    assert all(word in problem for word in ("t.items", "public.jobs", "mapping"))
    assert shop.value("platform_sample_m_total") == 3


def test_a_locked_table_stops_no_count(shop: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that holds one table for long stops neither the count of others nor that of its changes before."""
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "200ms")
    shop.poll()
    shop.execute("INSERT INTO public.metrics (name, type, value) VALUES ('m', 'counter', 3)")
    shop.execute(JOB, ["new"])
    with shop.connect() as migration, migration.transaction():
        migration.execute("LOCK TABLE public.jobs IN ACCESS EXCLUSIVE MODE")

        assert problems(shop) == ()
    assert shop.value("platform_sample_m_total") == 3
    assert shop.value(COUNT) == 6


def test_a_statement_timeout_of_the_role_does_not_stop_a_first_count(shop: Store) -> None:
    """Years of rows take longer than an application's timeout."""
    name = psycopg.conninfo.conninfo_to_dict(shop.dsn)["dbname"]
    shop.execute(f"ALTER DATABASE {name} SET statement_timeout = '30ms'")
    slow = replace(shop.plan.streams[0], where="pg_sleep(0.02) IS NOT NULL")
    shop.plan = replace(shop.plan, streams=(slow,))
    shop.poll()

    assert shop.value(COUNT) == 5


def test_an_adopted_table_moves_to_another_cluster(
    shop: Store, postgres: Postgres, start_postgres: Callable[..., Postgres], source: Source, tmp_path: Path
) -> None:
    """Counted, uncounted and new rows, before the first poll there: each once, although transaction ids start again."""
    shop.poll()
    shop.execute(JOB, ["uncounted"])
    other = start_postgres()
    file = postgres.dump(str(psycopg.conninfo.conninfo_to_dict(shop.dsn)["dbname"]), tmp_path / "dump")
    moved = Store(other.restore(file, "shop"), shop.plan)
    moved.execute(JOB, ["new"])
    moved.poll()
    moved.execute(JOB, ["newer"])
    moved.poll()

    assert {key[1]: value for key, value in moved.series(COUNT).items()} == {
        "old": 5, "uncounted": 1, "new": 1, "newer": 1,
    }  # fmt: skip


def test_a_mapping_without_adoption_says_so(database: Database, source: Source) -> None:
    """The message names the command that is missing, once for all tables."""
    database.execute(TABLES)
    store = Store(database.dsn, mapping.plan(source))
    with store.connect() as connection:
        connection.execute(schema.counting_sql().encode())
    (found,) = problems(store)

    assert f"run `platform-exporter adopt` for source {source.label}" in found


def test_a_worker_refuses_a_standby(
    start_postgres: Callable[..., Postgres], servers: ServerFactory, source: Source
) -> None:
    """The view says why, and what to change; nothing is up."""
    primary = start_postgres()
    store = Store(primary.create_database("shop"), mapping.plan(source))
    store.execute(TABLES)
    adopt_tables(store, source)
    standby = servers.adopt(primary.standby())
    standby.start()
    worker = Store(standby.dsn_of("shop"), store.plan).worker()
    worker.start()
    poll_until(lambda: worker.view.problems != ("not polled yet",))
    worker.stop()

    assert "standby" in worker.view.problems[0]
    assert "primary" in worker.view.problems[0]
    assert worker.view.polled_at is None


def test_a_worker_recovers_from_a_frozen_server(start_postgres: Callable[..., Postgres], source: Source) -> None:
    """Its lag grows while the server hangs, its counts stay visible, and it goes on by itself."""
    server = start_postgres()
    store = Store(server.create_database("shop"), mapping.plan(source))
    store.execute(TABLES)
    adopt_tables(store, source)
    store.execute(JOB, ["a"])
    worker = store.worker()
    worker.start()
    poll_until(lambda: worker.view.totals)
    server.freeze()
    stopped = poll_until(lambda: worker.view.advanced_at) or 0.0
    lag = poll_until(lambda: (worker.view.lag_seconds(stopped + 30) or 0) > 29)
    totals = worker.view.totals
    server.thaw()
    store.execute(JOB, ["b"])
    poll_until(lambda: len([t for t in worker.view.totals if t.metric == COUNT]) == 2)
    worker.stop()

    assert lag
    assert totals
    assert store.value(COUNT) == 2
