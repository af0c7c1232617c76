"""Gauges of the current state: live jobs, open alerts, error issues, active users. Computed, never stored."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import psycopg

from exporter.aggregation import actors, changed_issues, ledger, releases
from exporter.aggregation.series import Reading
from exporter.database.connection import problem_of
from exporter.database.values import readable
from exporter.sources import explain
from exporter.sources.mapping import SourcePlan, StateTable
from platform_sdk.events import spellings
from platform_sdk.events.base import LONGEST_LABEL, OTHER, Column, cut
from platform_sdk.events.error import SEVERITIES, SEVERITY

JOB_STATUSES = ("pending", "running", "completed", "failed", "cancelled")
ISSUE_STATUSES = ("open", "resolved", "ignored")

STATUS = Column("status", "text", "the job's state", values=JOB_STATUSES, spellings=spellings.JOBS)
RESOLVED = Column(
    "resolved", "text", "the issue's state", values=ISSUE_STATUSES, otherwise="open", spellings=spellings.ISSUES
)
CLOSED = {column.name: column for column in (STATUS, RESOLVED, SEVERITY)}
"""The columns of states that have few values."""

SCRAPERS = 100
"""How many scrapers have series of their own, those with the most jobs; the others are one, `_other_`."""

APPS = 100
"""How many apps have gauges of error issues of their own, those with the most; the others are one, `_other_`."""

DUTY = 20
"""A query that took D seconds runs again after DUTY * D at the earliest: it takes at most a twentieth of a core."""


class StateReader:
    """The states of one source, each read as often as its own cost allows. Belongs to one thread."""

    def __init__(self, plan: SourcePlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states = [partial(read_state, state=state) for state in plan.states]
        self._queries: list[Callable[[psycopg.Connection], list[Reading]]] = [
            *self._states,
            lambda store: list(actors.read(store, plan.name)),
            lambda store: list(releases.read(store, plan)),
            lambda store: list(changed_issues.read(store, plan)),
            *([lambda store: list(_clocks(store))] if plan.native else []),
            *([lambda store: list(_processes(store))] if plan.native else []),
        ]
        self._due = [0.0] * len(self._queries)
        self._readings: list[list[Reading]] = [[] for _ in self._queries]

    def read(
        self, store: psycopg.Connection, tables: psycopg.Connection | None = None
    ) -> tuple[tuple[Reading, ...], list[str]]:
        """Return all readings, those that are due read again, and the problems of those that cannot be read.

        `tables` is connected to the tables of state where these may only be read. Raises psycopg.Error only where a
        connection is lost.
        """
        problems = []
        for index, query in enumerate(self._queries):
            connection = tables if tables and index < len(self._states) else store
            began = self._clock()
            if began >= self._due[index]:
                try:
                    self._readings[index] = query(connection)
                except psycopg.Error as error:
                    if connection.closed:
                        raise
                    self._readings[index] = []
                    problems.append(f"state cannot be read: {problem_of(error)}")
                ended = self._clock()
                self._due[index] = ended + DUTY * (ended - began)
        return tuple(reading for readings in self._readings for reading in readings), problems


def _clocks(connection: psycopg.Connection) -> Iterator[Reading]:
    for app, ahead in ledger.clocks(connection):
        yield Reading("platform_sdk_clock_ahead_seconds", (app,), round(ahead, 3))


def _processes(connection: psycopg.Connection) -> Iterator[Reading]:
    for app, running, lost, reported_at in ledger.processes(connection):
        yield Reading("platform_sdk_processes", (app, "running"), float(running))
        yield Reading("platform_sdk_processes", (app, "lost"), float(lost))
        yield Reading("platform_sdk_last_report_timestamp_seconds", (app,), reported_at)


def read_state(connection: psycopg.Connection, state: StateTable) -> list[Reading]:
    """Return the readings of one table of state."""
    return list(
        {"scraping_jobs": _jobs, "open_alerts": _alerts, "error_issues": _issues}[state.kind](connection, state)
    )


def rehearse(connection: psycopg.Connection, state: StateTable) -> str | None:
    """Return what reading a state would fail with, None if with nothing."""
    try:
        _rows(connection, f"SELECT * FROM {_source(connection, state)} LIMIT 0")
    except psycopg.errors.InsufficientPrivilege as error:
        return str(explain.missing_right(error, connection, state.relation))
    except psycopg.Error as error:
        if connection.closed:
            raise
        return f"state of {state.relation} cannot be read: {problem_of(error)}"
    return None


def _source(connection: psycopg.Connection, state: StateTable) -> str:
    """Return SQL of a state's rows, what is not understood as the column's `otherwise`."""
    texts = {name: text if name.endswith("_at") else readable(connection, text) for name, text in state.columns.items()}
    columns = "".join(f", ({text}){'::text' if name in CLOSED else ''} AS {name}" for name, text in texts.items())
    shown = ", ".join(
        f"coalesce({CLOSED[name].closed}, '{CLOSED[name].otherwise}') AS {name}" if name in CLOSED else name
        for name in state.columns
    )
    return f"""(SELECT app, {shown} FROM (
        SELECT ({state.app})::text AS app{columns} FROM {state.relation.sql} t WHERE {state.where}) given) state"""


def _rows(connection: psycopg.Connection, query: str) -> list[tuple[str, ...]]:
    # Parameters are given (none) so that doubled percent signs of mappings become single ones again.
    return connection.execute(query.encode(), []).fetchall()


def _jobs(connection: psycopg.Connection, state: StateTable) -> Iterator[Reading]:
    rows = _rows(
        connection,
        f"""SELECT app, CASE WHEN rank <= {SCRAPERS} THEN scraper ELSE '{OTHER}' END, status, sum(jobs),
            extract(epoch FROM min(created)), extract(epoch FROM min(heartbeat)),
            extract(epoch FROM min(progressed))
        FROM (
            SELECT *, dense_rank() OVER (ORDER BY of_scraper DESC, app, scraper) AS rank FROM (
                SELECT left(app, {LONGEST_LABEL}) AS app, coalesce({cut("scraper")}, '') AS scraper,
                    status, count(*) AS jobs, {_earliest("created")}, {_earliest("heartbeat")},
                    {_earliest("progressed")},
                    sum(count(*)) OVER (PARTITION BY left(app, {LONGEST_LABEL}),
                        coalesce({cut("scraper")}, '')) AS of_scraper
                FROM {_source(connection, state)} GROUP BY 1, 2, 3) grouped) ranked
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
    )
    counts = {(app, scraper, status): float(jobs) for app, scraper, status, jobs, *_ in rows}
    known = {(app, scraper, status) for app, scraper, _ in counts for status in JOB_STATUSES}
    for key in sorted(known | counts.keys()):
        yield Reading("platform_scraping_jobs", key, counts.get(key, 0.0))
    oldest = (("pending", "pending"), ("running", "heartbeat"), ("running", "progress"))
    for app, scraper, status, _, *times in rows:
        for (of, name), at in zip(oldest, times, strict=True):
            if status == of and at is not None:
                yield Reading(f"platform_scraping_oldest_{name}_timestamp_seconds", (app, scraper), float(at))


def _earliest(name: str) -> str:
    return f"min({name}_at) FILTER (WHERE isfinite({name}_at)) AS {name}"


def _alerts(connection: psycopg.Connection, state: StateTable) -> Iterator[Reading]:
    rows = _rows(
        connection,
        f"""SELECT app, severity, coalesce(alert_source, ''), count(*)
        FROM {_source(connection, state)} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 500""",
    )
    for app, severity, alert_source, count in rows:
        yield Reading("platform_open_alerts", (app, severity, alert_source), float(count))


def _issues(connection: psycopg.Connection, state: StateTable) -> Iterator[Reading]:
    """Count issues; one with any open occurrence is open, and has the severity of its worst occurrence."""
    severities = f"ARRAY[{', '.join(map(repr, SEVERITIES))}]"
    rows = _rows(
        connection,
        f"""SELECT CASE WHEN rank <= {APPS} THEN app ELSE '{OTHER}' END, severity, status, sum(issues) FROM (
            SELECT *, dense_rank() OVER (ORDER BY of_app DESC, app) AS rank FROM (
            SELECT app, severity, status, count(*) AS issues,
                sum(count(*)) OVER (PARTITION BY app) AS of_app FROM (
            SELECT left(app, {LONGEST_LABEL}) AS app, fingerprint,
                CASE WHEN bool_or(resolved = 'open') THEN 'open' ELSE max(resolved) END AS status,
                coalesce(({severities})[max(coalesce(
                    array_position({severities}, severity), {len(SEVERITIES) + 1}))], 'other')
                    AS severity
            FROM {_source(connection, state)} GROUP BY 1, 2) issue GROUP BY 1, 2, 3) grouped) ranked
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
    )
    counts = {(app, severity, status): float(issues) for app, severity, status, issues in rows}
    for app, severity in sorted({(app, severity) for app, severity, _ in counts}):
        for status in ISSUE_STATUSES:
            yield Reading("platform_error_issues", (app, severity, status), counts.get((app, severity, status), 0.0))
