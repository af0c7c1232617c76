"""Measure what `adopt` costs an application, and a poll: python -m tools.benchmarks.adopt

In one run, in turns, a bare table and adopted ones beside it: single INSERT, UPDATE of a column nobody watches, UPDATE
of the status, COPY of 100,000 rows, UPDATE and DELETE of all of them; for a mapping that counts rows when they are
inserted, and for one that counts them once they are finished. Then a poll of 100,000 captured rows beside one of
100,000 native ones. Figures are processor time of the server's process, which says the same on a busy machine. It
starts a PostgreSQL of its own, with the settings of a production server but for fsync; a single statement is a
transaction.
"""

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from exporter.aggregation import poll
from exporter.config.settings import Limits, Preset, Source
from exporter.sources import adopt, mapping
from tools.benchmarks import counting
from tools.stack.servers import Postgres

ROWS, SINGLES, TURNS = 100_000, 4_000, 5
COLUMNS = "(scraper_type, success, duration_ms, items_processed, items_failed, status, note)"
TABLE = """CREATE TABLE {} (id bigserial PRIMARY KEY, scraper_type text, success int, duration_ms int,
    items_processed int, items_failed int, created_at timestamptz DEFAULT now(), status text, note text)"""
MAPPING = """app: shop
streams:
  runs:
    table: public.{name}
    kind: scraping_run
    {when}
    columns:
      at: t.created_at
      scraper: t.scraper_type
      outcome: CASE WHEN t.success = 1 THEN 'success' ELSE 'failure' END
      duration_seconds: t.duration_ms / 1000.0
      items_processed: t.items_processed
      items_failed: t.items_failed
"""
TABLES = {"bare": None, "inserted": "", "finished": "counted_when: t.status IN ('done', 'failed')"}

Connection = psycopg.Connection[tuple[Any, ...]]


def prepare(dsn: str, name: str, when: str | None, folder: Path) -> mapping.Stream | None:
    """Make a table, adopted unless `when` is None; return how it is counted."""
    with counting.connect(dsn) as connection:
        connection.execute(TABLE.format(f"public.{name}").encode())
        if when is None:
            return None
        file = folder / f"{name}.yml"
        file.write_text(MAPPING.format(name=name, when=when))
        source = Source(preset=Preset(file))
        adopt.carry_out(connection, adopt.steps(connection, source, mapping.load(source.preset)), lambda _: None)
        poll.register(connection, source.label)
        (stream,) = mapping.plan(source).streams
        poll.poll(connection, stream, Limits())
        return stream


def copy(connection: Connection, table: str) -> None:
    """Write all rows in one COPY."""
    with connection.cursor().copy(f"COPY public.{table} {COLUMNS} FROM STDIN".encode()) as rows:
        rows.write("amazon\t1\t250\t3\t0\trunning\tx\n" * ROWS)


def singly(statement: str) -> Callable[[Connection, str], None]:
    """Return what runs a statement again and again, each a transaction."""

    def run(connection: Connection, table: str) -> None:
        query = statement.format(table=f"public.{table}").encode()
        for _ in range(SINGLES):
            connection.execute(query, prepare=True)

    return run


def at_once(statement: str) -> Callable[[Connection, str], None]:
    """Return what runs a statement over all rows, and takes it back."""

    def run(connection: Connection, table: str) -> None:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.format(table=f"public.{table}").encode())

    return run


def core_seconds(connection: Connection, work: Callable[[Connection, Any], None], what: Any) -> float:
    """Return the processor time that the server's process takes for some work."""
    before = counting.core_seconds(connection.info.backend_pid)
    work(connection, what)
    return counting.core_seconds(connection.info.backend_pid) - before


def poll_all(connection: Connection, stream: mapping.Stream) -> None:
    """Count all rows."""
    seen = poll.poll(connection, stream, Limits()).seen
    assert seen == ROWS, seen


WORK = {
    "COPY of 100,000 rows": copy,
    "single INSERT": singly(f"INSERT INTO {{table}} {COLUMNS} VALUES ('amazon', 1, 250, 3, 0, 'running', 'x')"),
    "single UPDATE, nothing watched": singly("UPDATE {table} SET note = 'y' WHERE id = 7"),
    "single UPDATE of the status": singly(
        "UPDATE {table} SET status = CASE status WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = 7"
    ),
    "UPDATE of 100,000 rows, nothing watched": at_once("UPDATE {table} SET note = 'y' WHERE id <= 100000"),
    "UPDATE of 100,000 statuses": at_once("UPDATE {table} SET status = 'done' WHERE id <= 100000"),
    "DELETE of 100,000 rows": at_once("DELETE FROM {table} WHERE id <= 100000"),
}


def costs(dsn: str) -> Iterator[str]:
    """Yield a line for each kind of statement: what the bare table takes, and the others' ratio to it, of medians."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for what, work in WORK.items():
            taken: dict[str, list[float]] = {table: [] for table in TABLES}
            for _ in range(TURNS):
                for table, seconds in taken.items():
                    seconds.append(core_seconds(connection, work, table))
            bare, inserted, finished = (statistics.median(seconds) for seconds in taken.values())
            each = bare / (SINGLES if what.startswith("single") else ROWS) * 1e6
            yield (
                f"{what:<42} bare {each:8.2f} us a row; counted when inserted {inserted / bare:5.2f} times, "
                f"when finished {finished / bare:5.2f} times"
            )


def polls(dsn: str, stream: mapping.Stream) -> str:
    """Return a line about polls of as many rows, captured and native, in turns."""
    native = next(one for one in mapping.plan(Source(preset=Preset("native"))).streams if one.name == "scraping_run")
    taken: dict[str, list[float]] = {stream.name: [], native.name: []}
    with counting.connect(dsn) as connection:
        poll.register(connection, "native")
        for one in (stream, native):
            poll.poll(connection, one, Limits())
        for _ in range(TURNS):
            copy(connection, "inserted")
            connection.execute(
                "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds, items_processed, "
                f"items_failed) SELECT now(), 'a', 'amazon', 'success', 0.25, 3, 0 FROM generate_series(1, {ROWS})"
            )
            for one in (stream, native):
                taken[one.name].append(core_seconds(connection, poll_all, one))
    captured, own = (statistics.median(seconds) for seconds in taken.values())
    return f"poll of 100,000 rows: native {own * 1000:.0f} ms, captured {captured / own:.2f} times"


@contextmanager
def database() -> Iterator[str]:
    """Yield the dsn of an event store of our own."""
    with counting.server() as postgres:
        print(f"PostgreSQL {postgres.version}", flush=True)
        yield store(postgres)


def store(postgres: Postgres) -> str:
    return counting.store(postgres, "adopt")


def main() -> int:
    """Run all and print a line each."""
    with TemporaryDirectory() as name, database() as dsn:
        streams = {table: prepare(dsn, table, when, Path(name)) for table, when in TABLES.items()}
        for line in costs(dsn):
            print(line, flush=True)
        inserted = streams["inserted"]
        assert inserted is not None
        print(polls(dsn, inserted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
