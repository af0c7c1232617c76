"""Fuzz rows: whatever PostgreSQL lets into a table of events, or of an application, is counted or rejected.

An input is a few rows of one database; bytes that are not UTF-8 stand in it as Python's surrogates do.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from psycopg.pq import ExecStatus

from exporter.aggregation.poller import Worker
from exporter.aggregation.rollup import SELF_EVENTS, SELF_REJECTED
from exporter.config.settings import Database, Limits, Preset, Retention, Source
from exporter.database import schema
from exporter.database.connection import connect
from exporter.exposition import collector
from exporter.exposition.negotiation import Format
from exporter.sections import Secret
from exporter.sources import adopt, mapping
from platform_sdk import events
from tools.fuzz.target import Check, Target
from tools.stack.servers import Postgres

ENCODINGS = ("UTF8", "SQL_ASCII")
"""A database of each: with SQL_ASCII PostgreSQL takes any bytes for text."""

TEXTS = (
    "", " ", "x", "_other_", "other", "\x01", "\x7f", "a\tb\r\nc", 'a"b', "a\\", "'", "%s", "{", "{x}", "NaN", "null",
    "\u202e", "e\u0301", "\u01c5", "\u0130", "\ufeff", "\uffff", "\U0001f600",
    "\u00e9" * 100_000, "\U0001f600x" * 100_000, "a/" * 5_000, "https://user:password@host/x?token=y",
    "success", "FAILURE", "ok", "counter", "Gauge", "histogram", "summary", "ms", "gib", "critical", "running",
    "timeout",
)  # fmt: skip
NO_UTF8 = ("\udcff\udc80", "\udcc3", "x\udced\udca0\udc80")
INTEGERS = ("0", "1", "1", "2", "200", "404", "500", "99", "1000", "-1", " 7 ", "2147483647", "-2147483648")
LONG_INTEGERS = (*INTEGERS, "9223372036854775807", "-9223372036854775808")
NUMBERS = (*LONG_INTEGERS, "-0", "0.5", "0.001", "NaN", "Infinity", "-Infinity", "1e308", "-1e308", "1e15",
           "-1e15", "1e9", "5e-324", "-1e-320")  # fmt: skip
TIMES = (
    "now", "now", "now", "now", "yesterday", "tomorrow", "infinity", "-infinity", "epoch", "0001-01-01 00:00:00+00 BC",
    "4713-01-01 BC", "294276-12-31 23:59:59", "9999-12-31 23:59:59.999999", "1900-01-01 00:00:00-15:59", "2024-02-29",
    "1582-10-10", "0001-01-01",
)  # fmt: skip
TREES = (
    "{}", "[]", "null", "1", '"x"', '{"table": "x"}', '{"endpoint": {"a": [1]}, "table": null}', '{"": ""}',
    '{"table": 1e400, "table": -0.0}', '{"table": "\\u001b[31m"}', '{"table": true, "endpoint": []}',
    "[" * 5_000 + "]" * 5_000, json.dumps({"table": "\u00e9" * 50_000}),
    json.dumps({f"k{number}": number for number in range(2_000)}),
)  # fmt: skip
NO_TREES = ('{"table": "\\u0000"}', '{"table": "\\ud800"}', '{"a":' * 7_000, "[" * 7_000, '{"table": NaN}', "{", "")
OTHERS = {
    "boolean": ("t", "f", "yes", "x"),
    "inet": ("192.0.2.1", "::1", "0.0.0.0/0", "::ffff:192.0.2.1", "x"),
    "uuid": ("1493e968-e74c-4fe7-b8c3-2dcb8647f5d7", "00000000-0000-0000-0000-000000000000", "x"),
}
POOLS: dict[str, Sequence[str]] = {
    "text": TEXTS, "integer": INTEGERS, "bigint": LONG_INTEGERS, "double precision": NUMBERS, "timestamptz": TIMES,
    "timestamp": TIMES, "jsonb": TREES, "tree": TREES + NO_TREES, **OTHERS,
}  # fmt: skip
"""Values by the column's type; a text that holds JSON is a `tree`, one that holds a number or a time its type."""

ODDITIES = (*TEXTS, *NO_UTF8, *NUMBERS, *TIMES, *TREES, *NO_TREES, "0x1f", "2026-02-30", "1e999", "9" * 400)
"""For any column: mostly PostgreSQL refuses them, but not as a text, and a cast of text fails."""

Table = dict[str, str]
"""The type of what a column holds."""

NATIVE: dict[str, Table] = {
    f"monitoring.{kind.name}": {
        "at": "timestamptz", "app": "text", "release": "text", **{column.name: column.type for column in kind.columns},
    }
    for kind in events.EVENTS
}  # fmt: skip
REQUIRED = {f"monitoring.{kind.name}": {column.name for column in kind.columns if column.required}
            for kind in events.EVENTS}  # fmt: skip
STRATLOGIC: dict[str, Table] = {
    "public.scraping_metrics": {
        "created_at": "timestamp", "job_id": "uuid", "scraper_type": "text", "success": "integer",
        "error_message": "text", "duration_ms": "double precision", "items_processed": "integer",
        "items_failed": "integer",
    },
    "public.user_activity": {
        "created_at": "timestamp", "activity_type": "text", "user_id": "uuid", "session_id": "text",
    },
    "public.performance_metrics": {
        "timestamp": "timestamp", "metric_name": "text", "metric_type": "text", "value": "double precision",
        "unit": "text", "labels": "tree",
    },
}  # fmt: skip
STATES: dict[str, Table] = {
    "public.users": {"id": "uuid", "role": "text"},
    "public.scraping_jobs": {
        "job_type": "text", "status": "text", "progress": "integer", "total_items": "integer",
        "completed_items": "integer", "started_at": "timestamp", "created_at": "timestamp", "updated_at": "timestamp",
    },
    "public.alerts": {"severity": "text", "source": "text", "resolved": "integer"},
}  # fmt: skip
"""Tables that are read as they are at each poll, beside those whose rows count."""

WORDS: dict[str, Table] = {
    "public.words": {"at": "timestamptz", "api": "text", "status": "integer", "took": "double precision",
                     "query": "tree"},
}  # fmt: skip
"""A table whose columns are all text, whatever they hold: the casts of its mapping fail."""

MAPPING = """
app: words
streams:
  words:
    table: public.words
    kind: api_call
    columns:
      at: t.at::timestamptz
      api: t.api
      status: t.status::int
      outcome: "CASE WHEN t.status::int < 400 THEN 'success' ELSE 'failure' END"
      duration_seconds: 1 / t.took::double precision
      query: t.query::jsonb
"""

TABLES = {**NATIVE, **STRATLOGIC, **STATES, **WORDS}
SOURCES = {
    **dict.fromkeys(NATIVE, "native"), **dict.fromkeys((*STRATLOGIC, *STATES), "stratlogic"),
    **dict.fromkeys(WORDS, "words"),
}  # fmt: skip


class Rows(Target):
    """Rows of a real PostgreSQL, of every kind of event and of adopted tables."""

    name = "rows"
    cases, few = 3_000, 25
    limit_seconds = 5.0

    def make(self, random: Random) -> bytes:
        tables = random.sample(list(TABLES), random.choice((1, 1, 2)))
        encoding = random.choice(ENCODINGS)
        rows = [(table := random.choice(tables), _row(random, table, encoding)) for _ in range(random.randint(1, 8))]
        return json.dumps([encoding, rows]).encode()

    @contextlib.contextmanager
    def checking(self) -> Iterator[Check]:
        """Count each input as it comes; what the inputs before it left is there as well."""
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            Path(name).chmod(0o711)
            server = Postgres(Path(name) / "postgres", durable=False)
            stack.callback(server.destroy)
            server.start()
            stores = {encoding: stack.enter_context(_store(server, encoding, Path(name))) for encoding in ENCODINGS}
            yield lambda data: _check(data, stores)


@dataclass
class _Store:
    writer: psycopg.Connection
    connection: psycopg.Connection
    workers: dict[str, Worker]

    def noticed(self) -> int:
        """Return how many rows were counted or rejected."""
        query = "SELECT coalesce(sum(value), 0) FROM monitoring.rollup WHERE metric IN (%s, %s)"
        (found,) = self.connection.execute(query, [SELF_EVENTS, SELF_REJECTED]).fetchone() or (0,)
        return int(found)

    def insert(self, table: str, row: dict[str, str]) -> bool:
        """Return whether PostgreSQL lets a row in."""
        columns = ", ".join(f'"{column}"' for column in row)
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        result = self.writer.pgconn.exec_params(
            f"INSERT INTO {table} ({columns}) VALUES ({places})".encode(),
            [value.encode("utf-8", "surrogateescape") for value in row.values()],
        )
        return result.status == ExecStatus.COMMAND_OK


@contextlib.contextmanager
def _store(server: Postgres, encoding: str, folder: Path) -> Iterator[_Store]:
    name = encoding.lower()
    with server.connect() as connection:
        query = f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(query.encode())
    path = folder / "words.yml"
    path.write_text(MAPPING)
    sources = [Source(preset=Preset(preset)) for preset in ("native", "stratlogic", path)]
    settings = Database(dsn=Secret(server.dsn_of(name)))
    with server.connect(name) as writer, connect(settings, "fuzz", native=True) as connection:
        if encoding == "SQL_ASCII":
            writer.execute("SET client_encoding = 'SQL_ASCII'")
        schema.apply(connection)
        for table, columns in {**STRATLOGIC, **STATES, **WORDS}.items():
            typed = ", ".join(
                f'"{column}" {"text" if kind == "tree" or table in WORDS else kind}' for column, kind in columns.items()
            )
            key = ", PRIMARY KEY (id)" if "id" in columns else ""
            connection.execute(f"CREATE TABLE {table} ({typed}{key})".encode())
        for source in sources[1:]:
            adopt.carry_out(connection, adopt.steps(connection, source, mapping.load(source.preset)), lambda _: None)
        limits = Limits(series_per_metric=30)
        plans = [mapping.plan(source) for source in sources]
        workers = {plan.name: Worker(plan, settings, limits, Retention()) for plan in plans}
        try:
            for worker in workers.values():
                worker.poll()
            yield _Store(writer, connection, workers)
        finally:
            for worker in workers.values():
                worker._disconnect()


def _check(data: bytes, stores: dict[str, _Store]) -> None:
    encoding, rows = json.loads(data)
    store = stores[encoding]
    before = store.noticed()
    inserted = sum(store.insert(table, row) for table, row in rows if table not in STATES)
    for table, row in rows:
        if table in STATES:
            store.insert(table, row)
    for worker in (store.workers[name] for name in sorted({SOURCES[table] for table, _ in rows})):
        worker.poll()
        assert worker.view.problems == (), f"{encoding}: {'; '.join(worker.view.problems)}"
    noticed = store.noticed() - before
    assert noticed == inserted, (
        f"{encoding}: of rows that are in, counted or rejected: expected {inserted}, got {noticed}"
    )
    form = Format("application/openmetrics-text")
    body = form.join([form.encode(collector.counted([worker.view for worker in store.workers.values()], created=True))])
    for _ in text_string_to_metric_families(body.decode()):  # type: ignore[no-untyped-call] # it has no types
        pass


def _row(random: Random, table: str, encoding: str) -> dict[str, str]:
    row = {}
    for column, kind in TABLES[table].items():
        needed = column in {"at", "app"} | REQUIRED.get(table, set())
        if random.random() < (0.98 if needed else 0.6):
            odd = random.random()
            bytes_ = encoding == "SQL_ASCII" and kind == "text" and odd < 0.1
            words = table in WORDS and odd < 0.2
            pool = NO_UTF8 if bytes_ else ODDITIES if words or odd > 0.99 else POOLS[kind]
            row[column] = random.choice(pool)
    return row or {"at": "now"}
