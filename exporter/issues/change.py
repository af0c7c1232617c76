"""Resolve, reopen and ignore issues: all that are meant or none, each with its row of monitoring.audit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import psycopg
from psycopg.rows import dict_row

from exporter.errors import ChangeError, CountError, UnknownIssueError
from exporter.issues.selection import Selection
from platform_sdk.events.base import LONGEST_LABEL

Action = Literal["resolve", "reopen", "ignore"]
ACTIONS: tuple[Action, ...] = ("resolve", "reopen", "ignore")

LATEST = "latest"
"""Instead of a release: the one of the issue's app that was first seen last."""

MOST = 10_000
"""Issues changed at once; polls wait for whom we hold, so more are done in several goes."""

LONGEST_NOTE = 1000
MOST_EVENTS = 1_000_000_000
LONGEST_IGNORED = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Hold what is to be done. `release` (resolve) is where it is mended; `until` and `events` (ignore) are when it
    opens again, whichever comes first: at that time, and with the so-manieth event counted from now on."""

    action: Action
    release: str | None = None
    until: datetime | None = None
    events: int | None = None
    note: str | None = None

    def check(self, now: datetime) -> None:
        """Raise ChangeError where parts do not fit together or are out of bounds."""
        if self.release is not None and self.action != "resolve":
            raise ChangeError(f"`release` is of resolve, not of {self.action}; leave it out")
        if (self.until or self.events is not None) and self.action != "ignore":
            raise ChangeError(f"`until`, `for` and `events` are of ignore, not of {self.action}; leave them out")
        if self.until and not now < self.until <= now + LONGEST_IGNORED:
            raise ChangeError(f"`until` is {self.until.isoformat()}; wanted a time in the future, within ten years")
        if self.events is not None and not 1 <= self.events <= MOST_EVENTS:
            raise ChangeError(f"`events` is {self.events}; wanted 1 to {MOST_EVENTS}")
        for name, value, longest in (("release", self.release, LONGEST_LABEL), ("note", self.note, LONGEST_NOTE)):
            if value is not None and (not value or len(value) > longest or "\0" in value):
                raise ChangeError(f"`{name}` has {len(value)} characters; wanted 1 to {longest}, none of them NUL")


@dataclass(frozen=True, slots=True)
class Changed:
    """Say what became of one issue; `was` equals `status` where there was nothing to do."""

    id: str
    app: str
    fingerprint: str
    was: str
    status: str
    changed: bool


_SET = {
    "resolve": """status = 'resolved', resolved_at = %(at)s, resolved_by = %(actor)s, ignored_until = NULL,
        ignored_until_events = NULL, resolved_release = CASE %(release)s::text WHEN 'latest' THEN (
            SELECT r.release FROM monitoring.release r WHERE r.app = i.app ORDER BY r.first_seen DESC LIMIT 1)
            ELSE %(release)s::text END""",
    "reopen": """status = 'open', resolved_at = NULL, resolved_by = NULL, resolved_release = NULL, ignored_until = NULL,
        ignored_until_events = NULL""",
    "ignore": """status = 'ignored', resolved_at = NULL, resolved_by = NULL, resolved_release = NULL,
        ignored_until = %(until)s::timestamptz, ignored_until_events = i.events + %(events)s::bigint""",
}
_DUE = {"resolve": "i.status <> 'resolved'", "reopen": "i.status <> 'open'", "ignore": "true"}


def apply(
    connection: psycopg.Connection,
    selection: Selection,
    change: Change,
    actor: str,
    *,
    via: str,
    expected: int | None = None,
) -> list[Changed]:
    """Change the issues that are meant, in one transaction, and return what became of each, by app and fingerprint.

    With `expected`, nothing is changed where another number is meant. Raises UnknownIssueError (an id is nobody's),
    CountError (more or fewer than `expected`, or too many), psycopg.Error. `connection` is in autocommit mode.
    """
    where, parameters = selection.where()
    with connection.transaction():
        # In the order in which polls take them. A poll that waits for us sees the outcome, and counts again by it.
        rows = connection.execute(
            f"SELECT app, fingerprint, id, status FROM monitoring.error_issue i WHERE {where} "
            f"ORDER BY app, fingerprint LIMIT {MOST + 1} FOR UPDATE".encode(),
            parameters,
        ).fetchall()
        _check(selection, rows, expected)
        # Not now(): what a poll counted while we waited for it, people will think resolved too.
        (at,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
        values = {
            "apps": [row[0] for row in rows],
            "fingerprints": [row[1] for row in rows],
            "was": [row[3] for row in rows],
            "at": at,
            "actor": actor,
            "via": via,
            "release": change.release,
            "until": change.until,
            "events": change.events,
            "note": change.note,
        }
        done = connection.execute(_statement(change.action).encode(), values).fetchall()
    changed: dict[tuple[str, str], str] = {(row[0], row[1]): row[2] for row in done}
    return [_outcome(row, changed.get((row[0], row[1]))) for row in rows]


def _outcome(row: tuple[str, ...], status: str | None) -> Changed:
    app, fingerprint, id_, was = row
    return Changed(id_, app, fingerprint, was, status or was, status is not None)


def _check(selection: Selection, rows: list[tuple[str, ...]], expected: int | None) -> None:
    if len(rows) > MOST:
        raise CountError(f"more than {MOST} issues are meant; narrow the filter and do it in several goes")
    missing = set(selection.ids) - {row[2] for row in rows}
    if missing:
        raise UnknownIssueError(f"no issue has the id {', '.join(sorted(missing))}; nothing was changed")
    if expected is not None and expected != len(rows):
        raise CountError(f"{len(rows)} issues are meant, not {expected}; look again. Nothing was changed")


def _statement(action: Action) -> str:
    return f"""WITH changed AS (
    UPDATE monitoring.error_issue i SET {_SET[action]}, changed_by = %(actor)s, changed_at = %(at)s
    FROM unnest(%(apps)s::text[], %(fingerprints)s::text[], %(was)s::text[]) meant(app, fingerprint, was)
    WHERE i.app = meant.app AND i.fingerprint = meant.fingerprint AND {_DUE[action]} RETURNING i.*, meant.was
), audited AS (
    INSERT INTO monitoring.audit (at, actor, action, object, details)
    SELECT %(at)s, %(actor)s, 'error.{action}', 'error_issue/' || id, jsonb_strip_nulls(jsonb_build_object(
        'app', app, 'fingerprint', fingerprint, 'from', was, 'to', status, 'release', resolved_release,
        'until', ignored_until, 'events', %(events)s::bigint, 'note', %(note)s::text, 'via', %(via)s::text))
    FROM changed
)
SELECT app, fingerprint, status FROM changed"""


def count(connection: psycopg.Connection, selection: Selection) -> int:
    """Return how many issues are meant."""
    where, parameters = selection.where()
    query = f"SELECT count(*) AS n FROM monitoring.error_issue i WHERE {where}"
    row = connection.cursor(row_factory=dict_row).execute(query.encode(), parameters).fetchone()
    return int(row["n"]) if row else 0
