"""Maintenance of the event tables and of captured changes: partitions ahead, old ones dropped, leftovers removed."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import psycopg
from msgspec import structs

from exporter.aggregation import actors, label_sets, ledger, tally
from exporter.aggregation.snapshot import Window
from exporter.config.settings import Limits, Retention
from exporter.database import expiry, schema
from exporter.sources.mapping import SourcePlan, Stream
from platform_sdk.events import EVENTS
from platform_sdk.events.error import ERROR

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 600
"""How often maintenance runs; a partition is made a week before it is needed, so a missed run harms nothing."""

_ORPHANS = """DELETE FROM monitoring.error_fingerprint f WHERE NOT EXISTS (
    SELECT FROM monitoring.error_issue i WHERE i.app = f.app AND i.fingerprint = f.issue)"""

FINISHED_JOBS_DAYS = 7
BATCH_DAYS = 30


def maintain(
    connection: psycopg.Connection,
    plan: SourcePlan,
    retention: Retention,
    limits: Limits | None = None,
    host_clock: Callable[[], float] = time.time,
) -> Iterator[None]:
    """Do what is due, each step in a transaction of its own with a short lock timeout; polls may run at each `yield`.

    Before a day is removed its rows are read, which takes 2.7 s a million: no poll waits for more than one day.
    A step that does not get its lock is left for the next time: writers never wait for us longer than that timeout.
    What is old is decided by the database's clock; nothing is removed while this host's differs from it, for one of
    the two is wrong. Raises psycopg.Error where the server refuses anything else.
    """
    existing = _partitions(connection) if plan.native else {}
    today = _today(connection)
    if plan.native:
        _make_partitions(connection, existing, today)
    if problem := expiry.clock_problem(expiry.clock_ahead_seconds(connection, host_clock)):
        logger.error("source %s: %s", plan.name, problem)
        return
    actors.forget(connection, plan.name)
    _end_idle(connection, plan, limits or Limits())
    days = structs.asdict(retention)
    if not plan.native:
        captured = "SELECT bool_or(monitoring.trim_captured(number)) FROM monitoring.capture WHERE source = %(source)s"
        _try(connection, captured, {"source": plan.name})
    if any(stream.issues for stream in plan.streams):
        # An issue as old as the rows it groups goes with them; its regressions stay counted in the rollups.
        _try(connection, expiry.statement("error_issue", "last_seen"), {"days": days[ERROR.name]})
        _try(connection, _ORPHANS, {})
    if plan.native:
        yield from _remove_old(
            connection, plan, existing, {kind.name: today - timedelta(days[kind.name]) for kind in EVENTS}
        )


def _end_idle(connection: psycopg.Connection, plan: SourcePlan, limits: Limits) -> None:
    try:
        ended = label_sets.end_idle(connection, plan, limits)
    except psycopg.errors.LockNotAvailable:
        return  # another replica counts; next time
    if ended:
        logger.info("source %s: %d series without an event for %d days ended to make room", plan.name, ended,
                    limits.idle_series_days)  # fmt: skip


def _make_partitions(connection: psycopg.Connection, existing: dict[str, set[str]], today: date) -> None:
    for kind in EVENTS:
        for day in schema.partition_days(today):
            if f"{kind.name}_{day:%Y%m%d}" not in existing.get(kind.name, set()):
                _try(
                    connection, "SELECT monitoring.ensure_partition(%(kind)s, %(day)s)", {"kind": kind.name, "day": day}
                )


def _remove_old(
    connection: psycopg.Connection, plan: SourcePlan, existing: dict[str, set[str]], oldest: dict[str, date]
) -> Iterator[None]:
    """Remove what is older than the `oldest` day of each kind, a few days of it, and what processes left behind."""
    ledger.fold(connection, plan.name)
    streams = {stream.kind.name: stream for stream in plan.streams}
    for kind, first in oldest.items():
        born = (schema.partition_day(name, kind) for name in existing.get(kind, set()))
        for day in sorted(day for day in born if day is not None and day < first)[: expiry.DAYS_A_ROUND]:
            table, going = f"{kind}_{day:%Y%m%d}", Window(_OF_DAY, {"day": day})
            _remove(connection, streams[kind], table, going, _DROP, {"kind": kind, "day": day})
            yield
        strays = Window(_STRAYS.format(kind=kind), {"first": first})
        _remove(connection, streams[kind], f"{kind}_default", strays, _TRIM, {"kind": kind, "first": first})
    ended = "status NOT IN ('pending', 'running')"
    finished = expiry.statement("scraping_job", "coalesce(finished_at, created_at)", ended)
    _try(connection, finished, {"days": FINISHED_JOBS_DAYS})
    _try(connection, expiry.statement("batch", "at"), {"days": BATCH_DAYS})


_DROP = "SELECT monitoring.drop_partition(%(kind)s, %(day)s, %(as_of)s::pg_snapshot)"
_TRIM = "SELECT monitoring.trim_default(%(kind)s, %(first)s, %(as_of)s::pg_snapshot)"


# What these remove, of the whole table: the exporter's role may not read a partition by its own name.
_OF_DAY = "t.at >= %(day)s AND t.at < %(day)s + 1"
_STRAYS = f"""t.tableoid = 'monitoring.{{kind}}_default'::regclass AND t.at < %(first)s AND t.at <= (
    SELECT min(d.at) FROM monitoring.{{kind}} d WHERE d.tableoid = 'monitoring.{{kind}}_default'::regclass
    AND d.at < %(first)s) + make_interval(days => {expiry.DAYS_A_ROUND})"""


def _remove(
    connection: psycopg.Connection, stream: Stream, table: str, going: Window, query: str, parameters: dict[str, Any]
) -> None:
    """Remove rows that are all counted, and record what they had added: read before, as writers wait for removals."""
    try:
        row = connection.execute("SELECT monitoring.has_uncounted(%s, %s)", [table, stream.kind.name]).fetchone()
    except psycopg.errors.UndefinedTable:
        return  # another replica was faster
    if row == (True,):
        return
    removal = tally.before_removal(connection, stream, going)
    _try(connection, query, parameters | {"as_of": removal.snapshot}, lambda: tally.record(connection, stream, removal))


def _today(connection: psycopg.Connection) -> date:
    row = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    today: date = row[0]
    return today


def _partitions(connection: psycopg.Connection) -> dict[str, set[str]]:
    rows = connection.execute(
        """SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_class p ON p.oid = i.inhparent WHERE p.relnamespace = 'monitoring'::regnamespace"""
    ).fetchall()
    tables: dict[str, set[str]] = {}
    for parent, child in rows:
        tables.setdefault(parent, set()).add(child)
    return tables


def _try(
    connection: psycopg.Connection, query: str, parameters: dict[str, Any], then: Callable[[], None] = lambda: None
) -> None:
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '500ms'")
            row = connection.execute(query.encode(), parameters)
            done = row.fetchone() if row.description else None
            if done and done[0]:
                then()
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        logger.info("maintenance could not get a lock: %s %s; next try in %d s", query, parameters, INTERVAL_SECONDS)
    else:
        if done and done[0]:
            logger.info("maintenance: %s %s", query, parameters)
