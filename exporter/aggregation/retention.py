"""Maintenance of the event tables: partitions a week ahead, old ones dropped, strays and leftovers removed."""

import logging
from datetime import UTC, date, datetime, timedelta

import psycopg
from msgspec import structs

from exporter.aggregation import actors, ledger
from exporter.config.settings import Retention
from exporter.database import schema
from exporter.sources.mapping import SourcePlan
from platform_sdk.events import EVENTS
from platform_sdk.events.error import ERROR

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 600
"""How often maintenance runs; a partition is made a week before it is needed, so a missed run harms nothing."""

FINISHED_JOBS_DAYS = 7
BATCH_DAYS = 30


def maintain(
    connection: psycopg.Connection, plan: SourcePlan, retention: Retention, now: datetime | None = None
) -> None:
    """Do what is due, each step in a transaction of its own with a short lock timeout.

    A step that does not get its lock is left for the next time: writers never wait for us longer than that timeout.
    Raises psycopg.Error where the server refuses anything else.
    """
    actors.forget(connection, plan.name)
    days = structs.asdict(retention)
    if any(stream.issues for stream in plan.streams):
        # An issue as old as the rows it groups goes with them; its regressions stay counted in the rollups.
        _try(
            connection,
            "DELETE FROM monitoring.error_issue WHERE last_seen < now() - make_interval(days => %s)",
            days[ERROR.name],
        )
    if not plan.native:
        return
    ledger.fold(connection, plan.name)
    today = (now or datetime.now(UTC)).date()
    existing = _partitions(connection)
    for kind in EVENTS:
        oldest = today - timedelta(days=days[kind.name])
        _keep_partitions(connection, kind.name, existing.get(kind.name, set()), today, oldest)
    _try(
        connection,
        "DELETE FROM monitoring.scraping_job WHERE status NOT IN ('pending', 'running') "
        "AND coalesce(finished_at, created_at) < now() - make_interval(days => %s)",
        FINISHED_JOBS_DAYS,
    )
    _try(connection, "DELETE FROM monitoring.batch WHERE at < now() - make_interval(days => %s)", BATCH_DAYS)


def _keep_partitions(connection: psycopg.Connection, kind: str, names: set[str], today: date, oldest: date) -> None:
    """Make the partitions that should exist of a kind, and drop those older than `oldest`."""
    for day in schema.partition_days(today):
        if f"{kind}_{day:%Y%m%d}" not in names:
            _try(connection, "SELECT monitoring.ensure_partition(%s, %s)", kind, day)
    for name in sorted(names):
        born = schema.partition_day(name, kind)
        if born is not None and born < oldest:
            _try(connection, "SELECT monitoring.drop_partition(%s, %s)", kind, born)
    _try(connection, "SELECT monitoring.trim_default(%s, %s)", kind, oldest)


def _partitions(connection: psycopg.Connection) -> dict[str, set[str]]:
    rows = connection.execute(
        """SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_class p ON p.oid = i.inhparent WHERE p.relnamespace = 'monitoring'::regnamespace"""
    ).fetchall()
    tables: dict[str, set[str]] = {}
    for parent, child in rows:
        tables.setdefault(parent, set()).add(child)
    return tables


def _try(connection: psycopg.Connection, query: str, *parameters: object) -> None:
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '500ms'")
            row = connection.execute(query.encode(), parameters)
            done = row.fetchone() if row.description else None
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        logger.info("maintenance could not get a lock: %s %s; next try in %d s", query, parameters, INTERVAL_SECONDS)
    else:
        if done and done[0]:
            logger.info("maintenance: %s %s", query, parameters)
