"""Write a past of the played platform into the event store, once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random

import psycopg

from exporter.demo.players import PLAYERS, Player
from exporter.demo.recorder import Recorder
from exporter.demo.schedule import DAY, Schedule
from exporter.demo.stage import Stage
from exporter.demo.troubles import IN_APP, TROUBLES, Trouble
from platform_sdk.capture.exceptions import Captured, capture
from platform_sdk.capture.fingerprint import fingerprint
from platform_sdk.capture.stacktrace import Stacks
from platform_sdk.delivery.encoding import COLUMNS
from platform_sdk.events import EVENTS

STEP_SECONDS = 60.0
REQUEST_WEIGHT = 10
"""Rows of past requests stand for ten each: the counters are those of a week, the disk holds a tenth."""
SAMPLE_SECONDS = 300.0
ROWS_AT_ONCE = 5_000
ACTOR = "demo"
"""Who resolved and ignored issues, in monitoring.audit."""

_LOCK = 984_700_002  # the advisory lock that two of these at the same time take turns on


@dataclass(frozen=True, slots=True)
class Span:
    """Say which past, in Unix seconds."""

    begins: float
    ends: float

    def days(self) -> Iterator[date]:
        """Yield the days that it touches, in UTC."""
        day, last = (datetime.fromtimestamp(at, UTC).date() for at in (self.begins, self.ends))
        while day <= last:
            yield day
            day += timedelta(days=1)


def write(
    connection: psycopg.Connection, span: Span, seed: int, speed: float, tell: Callable[[float], None]
) -> dict[str, int]:
    """Write what happened in the span; return the events by app, those left out that have any already.

    `tell` learns what share is done. All of it is one transaction, so that the exporter counts it at once. Raises
    psycopg.Error, where this user may not create partitions or change issues.
    """
    written: dict[str, int] = {}
    _make_partitions(connection, span)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for number, player in enumerate(PLAYERS):
            if not is_known(connection, player.app):
                recorder = Recorder(player.app, stage_of(player, span, seed, speed))
                for share in play(player, recorder, span):
                    tell((number + share) / len(PLAYERS))
                    if recorder.waiting_rows >= ROWS_AT_ONCE:
                        _store(connection, recorder)
                _store(connection, recorder)
                _close_books(connection, recorder, span)
                written[player.app] = recorder.events
    return written


def is_known(connection: psycopg.Connection, app: str) -> bool:
    """Tell whether an app has written anything yet, by its books and by what is counted of it."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM monitoring.sdk_ledger WHERE app = %(app)s) "
        "OR EXISTS (SELECT FROM monitoring.rollup WHERE labels->>'app' = %(app)s)",
        {"app": app},
    ).fetchone()
    return bool(row and row[0])


def _make_partitions(connection: psycopg.Connection, span: Span) -> None:
    """Make those of past days, each in a transaction of its own: they lock writers and readers out for as long."""
    for kind in EVENTS:
        for day in span.days():
            connection.execute("SELECT monitoring.ensure_partition(%s, %s)", [kind.name, day])


def _close_books(connection: psycopg.Connection, recorder: Recorder, span: Span) -> None:
    """Write the ledger as the SDK would have, and what people made of issues."""
    connection.execute(
        "INSERT INTO monitoring.sdk_ledger (app, process, produced, stored, started_at, ended_at) "
        "VALUES (%s, 'demo/past', %s, %s, to_timestamp(%s), now())",
        [recorder.app, recorder.events, recorder.events, span.begins],
    )
    for trouble in TROUBLES:
        if trouble.app == recorder.app and trouble.status != "open":
            _judge(connection, trouble, span.ends)


def stage_of(make: type[Player], span: Span, seed: int, speed: float) -> Stage:
    """Return the stage of an app's past."""
    chance = Random(f"{seed}/{make.app}")  # noqa: S311 - invented data, no secret
    return Stage(Schedule(seed), chance, span.ends, speed, REQUEST_WEIGHT, SAMPLE_SECONDS)


def play(make: type[Player], recorder: Recorder, span: Span) -> Iterator[float]:
    """Play the span into the recorder; yield after each step what share is done."""
    player = make(recorder.stage)
    at = span.begins
    with recorder.recording():
        while at < span.ends:
            player.step(at, min(at + STEP_SECONDS, span.ends))
            at += STEP_SECONDS
            yield min((at - span.begins) / (span.ends - span.begins), 1.0)


def _store(connection: psycopg.Connection, recorder: Recorder) -> None:
    for kind, rows in recorder.rows.items():
        statement = f"COPY monitoring.{EVENTS[kind].name} ({', '.join(COLUMNS[kind])}) FROM STDIN"
        with connection.cursor().copy(statement.encode()) as copy:
            copy.write("\n".join(rows) + "\n")
    recorder.rows.clear()


def _judge(connection: psycopg.Connection, trouble: Trouble, now: float) -> None:
    """Do as if somebody had resolved or ignored the issue in good time; the exporter adds its occurrences.

    Where it occurred after that, the exporter finds a regression.
    """
    captured = captured_of(trouble)
    values = {
        "app": trouble.app, "fingerprint": fingerprint(captured, Stacks(IN_APP)), "status": trouble.status,
        "at": datetime.fromtimestamp(now - trouble.status_days * DAY, UTC), "severity": trouble.severity,
        "type": captured.chain[0].name, "endpoint": trouble.endpoint, "actor": ACTOR,
    }  # fmt: skip
    connection.execute(
        "INSERT INTO monitoring.error_issue (app, fingerprint, status, severity, error_type, endpoint, first_seen, "
        "last_seen, events, changed_by, changed_at, resolved_by, resolved_at) SELECT %(app)s, %(fingerprint)s, "
        "%(status)s::text, %(severity)s, %(type)s, %(endpoint)s, %(at)s, %(at)s, 0, %(actor)s::text, %(at)s, "
        "CASE %(status)s WHEN 'resolved' THEN %(actor)s END, CASE %(status)s WHEN 'resolved' THEN %(at)s END "
        "ON CONFLICT DO NOTHING",
        values,
    )
    connection.execute(
        "INSERT INTO monitoring.audit (at, actor, action, object, details) SELECT %(at)s, %(actor)s, "
        "CASE %(status)s WHEN 'resolved' THEN 'error.resolve' ELSE 'error.ignore' END, 'error_issue/' || id, "
        "jsonb_build_object('app', app, 'fingerprint', fingerprint, 'from', 'open', 'to', %(status)s::text) "
        "FROM monitoring.error_issue WHERE app = %(app)s AND fingerprint = %(fingerprint)s",
        values,
    )


def captured_of(trouble: Trouble) -> Captured:
    """Return what the SDK keeps of an occurrence."""
    try:
        trouble.fails(0)
    except Exception as error:  # noqa: BLE001 - whatever it raises is the point
        if captured := capture(error):
            return captured
    raise AssertionError(f"{trouble.fails} does not fail")
