"""The simulated platform's past: write it into the event store, once, and remove everything of the demo again.

The apps of the past emit through the SDK as the live ones do; a Recorder in place of the SDK's buffer takes the rows
that the SDK would write, and changes their times and weights only.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random

import psycopg

from exporter.database.connection import AdvisoryLock
from exporter.demo.apps import SIMULATED_APPS, App
from exporter.demo.faults import FAULTS, IN_APP, Fault
from exporter.demo.platform import APPS
from exporter.demo.schedule import DAY, Schedule, Simulation
from platform_sdk import client
from platform_sdk.capture.exceptions import Captured, capture
from platform_sdk.capture.fingerprint import fingerprint
from platform_sdk.capture.stacktrace import Stacks
from platform_sdk.delivery.encoding import Encoder
from platform_sdk.delivery.intake import Event, Intake, Lane
from platform_sdk.delivery.kinds import COLUMNS
from platform_sdk.events import EVENTS
from platform_sdk.options import Options

STEP_SECONDS = 60.0
REQUEST_WEIGHT = 10
"""Rows of past requests stand for ten each: the counters are those of a week, the disk holds a tenth."""
SAMPLE_SECONDS = 300.0
ROWS_PER_COPY = 5_000
ACTOR = "demo"
"""Who resolved and ignored issues, in monitoring.audit."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period of the past, in Unix seconds."""

    begins: float
    ends: float

    def days(self) -> Iterator[date]:
        """Yield the days that it touches, in UTC."""
        day, last = (datetime.fromtimestamp(at, UTC).date() for at in (self.begins, self.ends))
        while day <= last:
            yield day
            day += timedelta(days=1)


def write(
    connection: psycopg.Connection, period: Period, seed: int, speed: float, progress: Callable[[float], None]
) -> dict[str, int]:
    """Write what happened in the period; return the number of events by app, without apps that had events before.

    `progress` is called with the share that is done. All of it is one transaction, so that the exporter counts it at
    once. Raises psycopg.Error where this user may not create partitions or change issues.
    """
    written: dict[str, int] = {}
    for kind in EVENTS:
        for day in period.days():  # a transaction each: they lock out writers and readers
            connection.execute("SELECT monitoring.ensure_partition(%s, %s)", [kind.name, day])
    with connection.transaction():
        AdvisoryLock.DEMO_PAST.wait(connection)
        for number, app in enumerate(SIMULATED_APPS):
            if not _has_events(connection, app.name):
                recorder = new_recorder(app, period, seed, speed)
                for share in simulate(app, recorder, period):
                    progress((number + share) / len(SIMULATED_APPS))
                    if recorder.waiting_rows >= ROWS_PER_COPY:
                        _store(connection, recorder)
                _store(connection, recorder)
                _finish(connection, recorder, period)
                written[app.name] = recorder.events
    return written


def remove(connection: psycopg.Connection) -> int:
    """Remove rows, issues, ledger and counters of the demo's apps; return how many events there were.

    Waits for polls under way and keeps others out, so that nothing is counted that is being removed. Raises
    psycopg.Error where this user may not.
    """
    apps = {"apps": list(APPS)}
    kinds_of_events = [kind.name for kind in EVENTS]
    issues = "SELECT 'error_issue/' || id FROM monitoring.error_issue WHERE app = ANY(%(apps)s)"
    events = 0
    with connection.transaction():
        connection.execute("SELECT FROM monitoring.cursor FOR UPDATE")
        connection.execute(f"DELETE FROM monitoring.audit WHERE object IN ({issues})", apps)
        for table in (
            *kinds_of_events,
            "scraping_job",
            "sdk_ledger",
            "release",
            "actor",
            "error_issue",
            "error_fingerprint",
        ):
            done = connection.execute(f"DELETE FROM monitoring.{table} WHERE app = ANY(%(apps)s)".encode(), apps)
            events += done.rowcount if table in kinds_of_events else 0
        for table in ("rollup", "alert_notification"):
            connection.execute(f"DELETE FROM monitoring.{table} WHERE labels->>'app' = ANY(%(apps)s)".encode(), apps)
    return events


class Recorder(Intake):
    """Rows in COPY's text format by kind. Live jobs are left out: no job of the past is alive."""

    def __init__(self, app: str, simulation: Simulation) -> None:
        super().__init__(_options(app, None), lambda: None)
        self.rows: defaultdict[int, list[str]] = defaultdict(list)
        self.events = 0
        self.app, self.simulation = app, simulation
        self._encoders: dict[str, Encoder] = {}

    @property
    def waiting_rows(self) -> int:
        return sum(map(len, self.rows.values()))

    def put(self, lane: Lane, event: Event, size: int) -> None:
        simulation = self.simulation
        release = simulation.schedule.release(simulation.at)
        encoder = self._encoders.get(release)
        if encoder is None:
            encoder = self._encoders[release] = Encoder(_options(self.app, release))
        kind, _, *values = event
        weight = simulation.request_weight if EVENTS[kind].sampled else 1
        self.rows[kind].append(encoder.row((kind, simulation.at, *values), weight))
        self.events += weight

    def put_job(self, job_id: str, state: Event) -> None:
        pass


def new_recorder(app: type[App], period: Period, seed: int, speed: float) -> Recorder:
    """Return an empty recorder for the past of an app."""
    chance = Random(f"{seed}/{app.name}")  # noqa: S311 - invented data, no secret
    return Recorder(app.name, Simulation(Schedule(seed), chance, period.ends, speed, REQUEST_WEIGHT, SAMPLE_SECONDS))


def simulate(make: type[App], recorder: Recorder, period: Period) -> Iterator[float]:
    """Simulate the period into the recorder; yield after each step what share is done."""
    app = make(recorder.simulation)
    at = period.begins
    before, client.current = client.current, recorder
    try:
        while at < period.ends:
            app.step(at, min(at + STEP_SECONDS, period.ends))
            at += STEP_SECONDS
            yield min((at - period.begins) / (period.ends - period.begins), 1.0)
    finally:
        client.current = before


def _options(app: str, release: str | None) -> Options:
    return Options(dsn="unused", app=app, release=release, in_app=IN_APP)


def _has_events(connection: psycopg.Connection, app: str) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM monitoring.sdk_ledger WHERE app = %(app)s) "
        "OR EXISTS (SELECT FROM monitoring.rollup WHERE labels->>'app' = %(app)s)",
        {"app": app},
    ).fetchone()
    return bool(row and row[0])


def _store(connection: psycopg.Connection, recorder: Recorder) -> None:
    for kind, rows in recorder.rows.items():
        statement = f"COPY monitoring.{EVENTS[kind].name} ({', '.join(COLUMNS[kind])}) FROM STDIN"
        with connection.cursor().copy(statement.encode()) as copy:
            copy.write("\n".join(rows) + "\n")
    recorder.rows.clear()


def _finish(connection: psycopg.Connection, recorder: Recorder, period: Period) -> None:
    """Write the ledger as the SDK would have, and the changes of issues that users made."""
    connection.execute(
        "INSERT INTO monitoring.sdk_ledger (app, process, produced, stored, started_at, ended_at) "
        "VALUES (%s, 'demo/past', %s, %s, to_timestamp(%s), now())",
        [recorder.app, recorder.events, recorder.events, period.begins],
    )
    for fault in FAULTS:
        if fault.app == recorder.app and fault.status != "open":
            _change_issue(connection, fault, period.ends)


def _change_issue(connection: psycopg.Connection, fault: Fault, now: float) -> None:
    """Store the issue as resolved or ignored. The exporter adds its occurrences, later ones as a regression."""
    captured = _captured(fault)
    values = {
        "app": fault.app, "fingerprint": fingerprint(captured, Stacks(IN_APP)), "status": fault.status,
        "at": datetime.fromtimestamp(now - fault.status_days * DAY, UTC), "severity": fault.severity,
        "type": captured.chain[0].name, "endpoint": fault.endpoint, "actor": ACTOR,
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


def _captured(fault: Fault) -> Captured:
    """Return what the SDK keeps of an occurrence."""
    try:
        fault.code(0)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is captured
        if captured := capture(error):
            return captured
    raise AssertionError(f"{fault.code} does not fail")
