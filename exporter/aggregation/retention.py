"""Keep the event tables in shape: partitions a week ahead, old ones dropped, strays and leftovers removed."""

import logging
from datetime import UTC, datetime, timedelta

import psycopg

from exporter.aggregation import actors, ledger
from exporter.config.settings import Retention
from exporter.database import schema
from exporter.sources.mapping import Plan
from platform_sdk.events import EVENTS

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 600
"""How often maintenance runs; a partition is made a week before it is needed, so a missed run harms nothing."""

FINISHED_JOBS_DAYS = 7
BATCH_DAYS = 30


def maintain(connection: psycopg.Connection, plan: Plan, retention: Retention, now: datetime | None = None) -> None:
    """Do what is due, each step in a transaction of its own with a short lock timeout.

    A step that does not get its lock is left for the next time: writers never wait for us longer than that timeout.
    Raises psycopg.Error where the server refuses anything else.
    """
    actors.forget(connection, plan.name)
    if any(stream.issues for stream in plan.streams):
        # An issue as old as the rows it groups goes with them; its regressions stay counted in the rollups.
        _try(
            connection,
            "DELETE FROM monitoring.error_issue WHERE last_seen < now() - make_interval(days => %s)",
            retention.error,
        )
    if not plan.native:
        return
    ledger.fold(connection, plan.name)
    today = (now or datetime.now(UTC)).date()
    existing = _partitions(connection)
    for kind in EVENTS:
        names = existing.get(kind.name, set())
        for day in schema.wanted_days(today):
            if f"{kind.name}_{day:%Y%m%d}" not in names:
                _try(connection, "SELECT monitoring.ensure_partition(%s, %s)", kind.name, day)
        oldest = today - timedelta(days=getattr(retention, kind.name))
        for name in sorted(names):
            born = schema.partition_day(name, kind.name)
            if born is not None and born < oldest:
                _try(connection, "SELECT monitoring.drop_partition(%s, %s)", kind.name, born)
        _try(connection, "SELECT monitoring.trim_default(%s, %s)", kind.name, oldest)
    _try(
        connection,
        "DELETE FROM monitoring.scraping_job WHERE status NOT IN ('pending', 'running') "
        "AND coalesce(finished_at, created_at) < now() - make_interval(days => %s)",
        FINISHED_JOBS_DAYS,
    )
    _try(connection, "DELETE FROM monitoring.batch WHERE at < now() - make_interval(days => %s)", BATCH_DAYS)


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
        logger.info("maintenance waits for a lock: %s %s; tried again in %d s", query, parameters, INTERVAL_SECONDS)
    else:
        if done and done[0]:
            logger.info("maintenance: %s %s", query, parameters)
