"""Tables that may only be read: a real primary, its hot standby and a role with SELECT, counted into an event store."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.aggregation import missed, read_only, replica
from exporter.aggregation.poller import Worker
from exporter.aggregation.series import Reading, SourceView
from exporter.config import loader
from exporter.database import schema
from exporter.exposition.collector import sources
from exporter.service import Service
from tests.aggregation.counting import Store
from tests.chart import Served
from tests.servers import Database, ServerFactory
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Postgres

COUNT = "platform_scraping_runs_total"
MAPPING = """
app: vendor
read_only: {{settle_seconds: {settle}}}
streams:
  orders:
    table: public.orders
    kind: scraping_run
    cursor: {cursor}
    where: t.test IS NOT TRUE
    columns:
      at: t.created_at
      scraper: t.name
      outcome: CASE WHEN t.ok THEN 'success' ELSE 'failure' END
      duration_seconds: monitoring.try_number(t.millis) / 1000.0
states:
  jobs:
    table: public.jobs
    kind: scraping_jobs
    columns: {{scraper: t.name, status: t.status, created_at: now(), heartbeat_at: now()}}
"""
TABLES = """CREATE TABLE orders (id bigserial PRIMARY KEY, created_at timestamptz, name text, ok boolean, millis text,
    test boolean);
CREATE INDEX ON orders (created_at);
CREATE TABLE jobs (name text, status text);
CREATE ROLE reader LOGIN; GRANT SELECT ON orders, jobs TO reader"""


@dataclass
class Vendor:
    """A database that may only be read, the exporter that reads it, and the event store where it counts."""

    primary: Postgres
    read: Postgres
    store: Store
    path: Path

    def configure(self, settle: float = 0, cursor: str = "t.created_at", read: str = "vendor", **more: object) -> None:
        """Write mapping and configuration."""
        self.path.with_name("vendor.yml").write_text(MAPPING.format(settle=settle, cursor=cursor))
        dsn = self.read.dsn_of(read).replace("postgres@", "reader@")
        source = {"preset": "./vendor.yml", "database": {"dsn": dsn, "poll_interval_seconds": 0.2}}
        tree = {"database": {"dsn": self.store.dsn}, "sources": [source], "listen": "127.0.0.1:1", **more}
        self.path.write_text(json.dumps(tree))

    def write(self, rows: int, ago: str = "0 s", name: str = "n", millis: str = "1000") -> None:
        """Insert rows of one time, so long ago, on the primary; return when the standby has them."""
        with self.primary.connect("vendor") as connection:
            connection.execute(
                "INSERT INTO orders (created_at, name, ok, millis) "
                "SELECT clock_timestamp() - %s::interval, %s, true, %s FROM generate_series(1, %s)",
                [ago, name, millis, rows],
            )
        self.follow()

    def follow(self) -> None:
        """Wait until the standby has all."""
        with self.primary.connect() as primary, self.read.connect() as standby:
            (position,) = primary.execute("SELECT pg_current_wal_lsn()").fetchone() or (None,)
            query = "SELECT coalesce(pg_last_wal_replay_lsn() >= %s, true)"
            poll_until(lambda: standby.execute(query, [position]).fetchone() == (True,))

    def worker(self) -> Worker:
        """Return the worker of the configuration, not started."""
        service = Service(self.path, loader.load(self.path))
        (worker,) = service._workers.values()
        return worker

    def view(self) -> SourceView:
        """Poll once, as a new process would."""
        worker = self.worker()
        try:
            worker.poll()
        finally:
            worker._disconnect()
        return worker.view

    def poll(self) -> float:
        """Poll once, and return how many rows are counted."""
        assert self.view().problems == ()
        return self.counted()

    def objects(self) -> list[tuple[str, ...]]:
        """Return every table, trigger and function of the source, and what was ever written to its tables."""
        with self.primary.connect("vendor") as connection:
            return connection.execute(
                """SELECT 'table', oid::regclass::text FROM pg_class UNION ALL SELECT 'trigger', tgname FROM pg_trigger
                UNION ALL SELECT 'function', oid::regprocedure::text FROM pg_proc
                UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE nspname !~ '^pg_t' ORDER BY 1, 2"""
            ).fetchall()

    def counted(self, **labels: str) -> float:
        return self.store.value(COUNT, **labels) or 0.0

    def run(self, command: str) -> Result:
        return CliRunner().invoke(main, [*command.split(), "--config", str(self.path)])


@pytest.fixture(scope="module")
def replicated(session_servers: ServerFactory) -> tuple[Postgres, Postgres]:
    """Return a primary and its hot standby, which notices within seconds that nothing comes any more."""
    primary = session_servers.start(Postgres, durable=False)
    primary.create_database("vendor")
    with primary.connect("vendor") as connection:
        connection.execute(TABLES)
    standby = session_servers.adopt(
        primary.standby(settings={"wal_receiver_timeout": "2s", "max_standby_streaming_delay": "0"})
    )
    standby.start()
    return primary, standby


@pytest.fixture
def vendor(replicated: tuple[Postgres, Postgres], store_database: Database, tmp_path: Path) -> Vendor:
    """Return an empty database, read on its standby."""
    primary, standby = replicated
    with primary.connect("vendor") as connection:
        connection.execute("TRUNCATE orders, jobs")
    made = Vendor(primary, standby, Store(store_database.dsn), tmp_path / "platform-exporter.yml")
    made.configure()
    made.follow()
    return made


def test_a_standby_is_counted_and_left_as_it_was(vendor: Vendor) -> None:
    """Rows that are there and rows that come count once, also the last before all is silent; nothing is created."""
    before = vendor.objects()
    vendor.write(7, ago="1 day")
    first = vendor.poll()
    vendor.write(5)

    assert first == 7
    poll_until(lambda: vendor.poll() == 12)
    assert vendor.poll() == 12
    assert vendor.objects() == before


def test_states_are_read_where_the_tables_are(vendor: Vendor) -> None:
    """Gauges of open jobs come from the standby, and the exposition says that the source is approximate."""
    with vendor.primary.connect("vendor") as connection:
        connection.execute("INSERT INTO jobs SELECT 'j', 'running' FROM generate_series(1, 3)")
    vendor.follow()
    view = vendor.view()
    lines = {(s.name, *s.labels.values()): s.value for m in sources([view], {"vendor": 1}, 0) for s in m.samples}

    assert Reading("platform_scraping_jobs", ("vendor", "j", "running"), 3) in view.readings
    assert lines["platform_exporter_source_approximate", "vendor"] == 1


def test_rows_settle_before_they_count(vendor: Vendor) -> None:
    """A row that commits late, but within the time to settle, counts; one that commits later is missed, and shown."""
    vendor.configure(settle=3600)
    vendor.write(3, ago="2 hours")
    vendor.write(1, ago="61 minutes")
    first = vendor.poll()
    vendor.write(5, ago="59 minutes")
    unsettled = vendor.poll()
    vendor.configure(settle=60)
    second = vendor.poll()
    vendor.write(2, ago="90 minutes")
    missed, found = vendor.poll(), json.loads(vendor.run("reconcile --json").output)["sources"][0]
    runs = next(one for one in found["metrics"] if one["metric"] == COUNT)

    assert (first, unsettled, second, missed) == (4, 4, 9, 9)
    assert (runs["counter"], runs["rows"], runs["explained"]) == (9, 11, True)
    assert "settle_seconds" in runs["why"]


def test_rows_that_come_too_late_are_counted_as_missed(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stretch of time that was read is counted again later; what is deleted meanwhile is not a missed row."""
    monkeypatch.setattr(missed, "LOOK_BACK_SECONDS", 0)
    vendor.write(1, ago="3 hours")
    worker = vendor.worker()
    try:
        worker.poll()
        monkeypatch.setattr(missed, "LOOK_BACK_SECONDS", 3600)
        vendor.write(4, ago="1 hour")
        worker.poll()
        vendor.write(3, ago="2 hours")
        monkeypatch.setattr(missed, "LOOK_BACK_SECONDS", 0)
        worker.poll()
        with vendor.primary.connect("vendor") as connection:
            connection.execute("DELETE FROM orders")
        vendor.follow()
        worker.poll()
    finally:
        worker._disconnect()

    assert worker.view.problems == ()
    assert vendor.store.value(missed.MISSED) == 3
    assert vendor.counted() == 5


def test_rows_of_one_time_are_read_together(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows of one time than a batch holds are neither divided nor counted twice."""
    monkeypatch.setattr(read_only, "BATCHES", (10, 5, 2))
    for minutes in range(1, 8):
        vendor.write(13 if minutes % 2 else 1, ago=f"{minutes} minutes", name=f"n{minutes}")

    assert vendor.poll() == vendor.poll() == 4 * 13 + 3
    assert vendor.counted(scraper="n3") == 13


def test_a_row_without_a_time_counts_when_it_gets_one(vendor: Vendor) -> None:
    """Of jobs that finish later the time of their end is the cursor."""
    vendor.write(4, ago="1 hour")
    with vendor.primary.connect("vendor") as connection:
        connection.execute("INSERT INTO orders (name, ok, millis) SELECT 'later', true, 1 FROM generate_series(1, 2)")
    vendor.follow()
    vendor.configure(cursor="t.created_at", settle=0)
    before = vendor.poll()
    with vendor.primary.connect("vendor") as connection:
        connection.execute("UPDATE orders SET created_at = now() - interval '1 s' WHERE name = 'later'")
    vendor.follow()

    assert before == 4
    poll_until(lambda: vendor.poll() == 6)


def test_a_standby_that_stands_still_is_shown(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where replay is paused the lag grows, the source is down with its reason, and nothing is lost afterwards."""
    monkeypatch.setattr(replica, "STALE_SECONDS", 0.5)
    vendor.write(1)
    poll_until(lambda: vendor.poll() == 1)
    with vendor.read.connect() as standby:
        standby.execute("SELECT pg_wal_replay_pause()")
        with vendor.primary.connect("vendor") as connection:
            connection.execute("INSERT INTO orders (created_at, name, ok, millis) VALUES (now(), 'n', true, 1)")
        worker = vendor.worker()
        try:
            poll_until(lambda: worker.poll() or worker.view.problems != ())
            lag = worker.view.lag_seconds(worker.view.polled_at or 0.0) or 0.0
            problems, health, doctor = worker.view.problems, vendor.run("health"), vendor.run("doctor")
        finally:
            standby.execute("SELECT pg_wal_replay_resume()")
            worker._disconnect()

    assert "behind its primary" in problems[0]
    assert lag >= 0.5
    assert "behind its primary" in health.output
    assert "FAIL   source vendor" in doctor.output
    vendor.write(1)
    poll_until(lambda: vendor.poll() == 3)


@pytest.mark.parametrize("by", ["conflict", "termination"])
def test_what_is_interrupted_is_read_again(vendor: Vendor, by: str) -> None:
    """A statement that stands in the way of the standby is cancelled there, or its session ends; rows count once."""
    vendor.configure(cursor="(SELECT t.created_at FROM pg_sleep(0.1))")
    vendor.write(20, ago="1 hour")
    vendor.write(20, ago="2 hours", name="dead")
    worker = vendor.worker()
    thread = threading.Thread(target=worker.poll)
    query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active' AND usename = 'reader'"
    with vendor.read.connect() as standby:
        thread.start()
        (pid,) = poll_until(lambda: standby.execute(query).fetchone())
        if by == "conflict":
            with vendor.primary.connect("vendor") as connection:
                connection.execute("DELETE FROM orders WHERE name = 'dead'")
                connection.execute("VACUUM orders")
        else:
            standby.execute("SELECT pg_terminate_backend(%s)", [pid])
        thread.join(60)
    worker._disconnect()

    assert worker.view.problems == ()
    assert vendor.counted(scraper="n") == 20
    assert vendor.counted(scraper="dead") == (0 if by == "conflict" else 20)


def test_rows_on_which_the_mapping_fails_are_rejected(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One malformed row rejects one row, once, wherever it is in a batch."""
    monkeypatch.setattr(read_only, "BATCHES", (3, 2, 1))
    for minutes, millis in ((9, "1"), (8, "broken"), (7, "2"), (6, "3"), (5, "worse"), (4, "bad"), (3, "4"), (2, "no")):
        vendor.write(1, ago=f"{minutes} minutes", millis=millis)

    assert vendor.poll() == vendor.poll() == 4
    assert vendor.store.rejected() == {"malformed": 4}


def test_killed_exporters_lose_and_double_nothing(vendor: Vendor, tmp_path: Path) -> None:
    """Transactions that last up to a second, a time to settle of four, and two exporters that are killed in turns."""
    vendor.configure(settle=4)
    text = vendor.path.read_text()
    ended = threading.Event()
    written = [0, 0, 0]

    def write(number: int) -> None:
        with vendor.primary.connect("vendor") as connection:
            while not ended.is_set():
                connection.execute(
                    "WITH slow AS (SELECT pg_sleep(random())) INSERT INTO orders (created_at, name, ok, millis) "
                    "SELECT now(), %s, true, 5 FROM slow, generate_series(1, 17)", [f"w{number}"],
                )  # fmt: skip
                written[number] += 17

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    exporters = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "vendor.yml").write_text((tmp_path / "vendor.yml").read_text())
        (folder / "platform-exporter.yml").write_text(text)
        exporters.append(Served(folder / "platform-exporter.yml", free_port(), folder / "exporter.log"))
    try:
        for thread in writers:
            thread.start()
        for exporter in exporters:
            exporter.start()
        for turn in range(6):
            before = vendor.counted()
            exporters[turn % 2].kill()
            poll_until(lambda before=before: vendor.counted() > before)
            exporters[turn % 2].start()
        ended.set()
        for thread in writers:
            thread.join()
        poll_until(lambda: vendor.counted() >= sum(written))
    finally:
        ended.set()
        for exporter in exporters:
            exporter.kill()

    assert [vendor.counted(scraper=f"w{number}") for number in range(3)] == written


REFUSED = {
    "cursor` is missing": "cursor: t.created_at\n    |",
    "counted_when` is given": "where: t.test|counted_when: t.test",
    "counted` is given": "cursor: t.created_at|cursor: t.created_at\n    counted: deleted",
    "key` is given": "cursor: t.created_at|cursor: t.created_at\n    key: [id]",
    "cursor` is given: expected `read_only`": "read_only: {settle_seconds: 0}|",
    "orders.cursor: t.name is text: expected a timestamp": "cursor: t.created_at|cursor: t.name",
    "orders.cursor: t.id is int8: expected a timestamp": "cursor: t.created_at|cursor: t.id",
    "orders.cursor: t.created_at::date is date: expected": "cursor: t.created_at|cursor: t.created_at::date",
    "orders.cursor`: now() reads now(: expected SQL of a time": "cursor: t.created_at|cursor: now()",
    "t.created_at, CURRENT_TIMESTAMP) reads CURRENT_TIMESTAMP": "cursor: t.created_at|cursor: greatest(t.created_at, "
    "CURRENT_TIMESTAMP)",
    "reads no column of `t`": "cursor: t.created_at|cursor: \"'2026-01-01'::timestamptz\"",
    "column t.gone does not exist": "cursor: t.created_at|cursor: t.gone",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_seen_is_refused(vendor: Vendor, message: str) -> None:
    """A mapping that needs changes of rows, or has no time to read by, is refused by name."""
    path, (old, new) = vendor.path.with_name("vendor.yml"), REFUSED[message].split("|")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = vendor.run("preview vendor")

    assert result.exit_code != 0
    assert message in result.output


def test_a_cursor_without_an_index(vendor: Vendor) -> None:
    """Where each poll will read the whole table, `preview` says so; an index that begins with the time ends that."""
    by_index = vendor.run("preview vendor")
    vendor.configure(cursor="t.created_at + interval '0 s'")
    without = vendor.run("preview vendor")

    assert "no index finds" not in by_index.output
    assert "no index finds the newest rows by `cursor` (t.created_at + interval '0 s')" in without.output


def test_it_needs_an_event_store(vendor: Vendor) -> None:
    """Where the configuration's own database has no schema, or is the standby, the message says what is missing."""
    dsn = vendor.read.dsn_of("vendor")
    for database in (dsn, vendor.primary.dsn_of("vendor")):
        vendor.configure(database={"dsn": database})
        result = vendor.run("doctor")

        assert "its counters are in the event store, `database` of the configuration" in result.output


def test_commands_say_that_it_is_approximate(vendor: Vendor) -> None:
    """`adopt` changes nothing and says why; the others name what is not exact, or refuse."""
    vendor.write(2, ago="1 hour")
    objects = vendor.objects()
    vendor.poll()
    done = {name: vendor.run(name) for name in ("adopt vendor", "preview vendor", "health", "doctor", "reconcile")}
    backfill = vendor.run(f"backfill --source vendor --promtool /bin/true -o {vendor.path.parent}")
    export = vendor.run("export scraping_run --columns scraper,outcome")

    assert "may only be read" in done["adopt vendor"].output
    assert "(approximate)" in done["preview vendor"].output
    assert re.search(r"healthy +source vendor +counted \d+ s ago, approximately", done["health"].output)
    assert "1 table can be counted by time, approximately" in done["doctor"].output
    assert [done[name].exit_code for name in ("adopt vendor", "preview vendor", "health", "reconcile")] == [0, 0, 0, 0]
    assert "may only be read" in backfill.output
    assert backfill.exit_code == 2
    assert export.output.splitlines()[:3] == ["scraper,outcome", "n,success", "n,success"]
    assert vendor.objects() == objects


def test_a_source_is_one_or_the_other(vendor: Vendor) -> None:
    """A source that was counted by time cannot go on exactly; its counters are removed by `adopt --undo`."""
    vendor.write(1, ago="1 hour")
    vendor.poll()
    vendor.store.execute("UPDATE monitoring.cursor SET position = NULL")
    view = vendor.view()
    removed = vendor.run("adopt vendor --undo")

    assert "counted exactly before" in view.problems[0]
    assert removed.exit_code == 0
    assert vendor.counted() == 0
    assert vendor.poll() == 1


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_other_encodings(vendor: Vendor, start_postgres: Callable[..., Postgres], encoding: str) -> None:
    """Texts that UTF-8 cannot have reject their rows; letters that the store's encoding lacks are question marks."""
    server = start_postgres()
    with server.connect() as connection:
        for name in ("vendor", "utf"):
            chosen = encoding if name == "vendor" else "UTF8"
            connection.execute(f"CREATE DATABASE {name} ENCODING {chosen} LOCALE 'C' TEMPLATE template0".encode())
        connection.execute(f"CREATE DATABASE events ENCODING {encoding} LOCALE 'C' TEMPLATE template0".encode())
    with server.connect("vendor") as connection:
        connection.execute(TABLES)
        connection.execute("SET client_encoding = LATIN1")
        connection.execute(
            "INSERT INTO orders (created_at, name, ok, millis) VALUES (now() - interval '1 h', 'Grün', true, 1)"
        )
    with server.connect("utf") as connection:
        connection.execute(TABLES.partition("CREATE ROLE")[0])
        connection.execute("GRANT SELECT ON orders, jobs TO reader")
        connection.execute("INSERT INTO orders VALUES (1, now() - interval '1 h', 'Grün 5 €', true, 1)")
    with server.connect("events") as connection:
        schema.apply(connection)
    vendor.read, vendor.store = server, Store(server.dsn_of("events"))
    vendor.configure()
    first = vendor.view()
    vendor.configure(read="utf")
    vendor.store.execute("DELETE FROM monitoring.cursor")
    second = vendor.view()

    fits = encoding == "LATIN1"
    assert first.problems == second.problems == ()
    assert vendor.store.rejected() == ({} if fits else {"malformed": 1})
    scrapers = {total.labels["scraper"] for total in second.totals if total.metric == COUNT}
    assert scrapers == ({"Grün", "Grün 5 ?"} if fits else {"Grün 5 €"})
