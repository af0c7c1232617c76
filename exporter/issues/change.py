"""Resolve, reopen and ignore issues: all that are selected or none, each with a row in monitoring.audit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import psycopg
from psycopg.rows import dict_row

from exporter.errors import ChangeError, CountError, UnknownIssueError
from exporter.issues.selection import ISSUES, Selection
from exporter.printing import plural
from platform_sdk.events.base import LONGEST_LABEL

Action = Literal["resolve", "reopen", "ignore"]
ACTIONS: tuple[Action, ...] = ("resolve", "reopen", "ignore")

LATEST = "latest"
"""Stands for the newest release of the issue's app."""

MOST = 10_000
"""Issues changed at once: polls wait for the rows that are locked."""

LONGEST_NOTE = 1000
MOST_EVENTS = 1_000_000_000
LONGEST_IGNORED = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change. `release` (resolve) contains the fix; `until` and `events` (ignore) are when the issue opens again,
    whichever comes first: at that time, or after so many events counted from now on."""

    action: Action
    release: str | None = None
    until: datetime | None = None
    events: int | None = None
    note: str | None = None

    def check(self, now: datetime) -> None:
        """Raise ChangeError where fields contradict each other or are out of bounds."""
        if self.release is not None and self.action != "resolve":
            raise ChangeError(f"`release` belongs to resolve, not to {self.action}; leave it out")
        if (self.until or self.events is not None) and self.action != "ignore":
            raise ChangeError(f"`until`, `for` and `events` belong to ignore, not to {self.action}; leave them out")
        if self.until and not now < self.until <= now + LONGEST_IGNORED:
            raise ChangeError(
                f"invalid time {self.until.isoformat()} for `until`: expected a time in the next ten years"
            )
        if self.events is not None and not 1 <= self.events <= MOST_EVENTS:
            raise ChangeError(f"invalid number {self.events} for `events`: expected 1 to {MOST_EVENTS}")
        for name, value, longest in (("release", self.release, LONGEST_LABEL), ("note", self.note, LONGEST_NOTE)):
            if value is not None and (not value or len(value) > longest or "\0" in value):
                raise ChangeError(
                    f"invalid text of {len(value)} characters for `{name}`: expected 1 to {longest}, none of them NUL"
                )


@dataclass(frozen=True, slots=True)
class Changed:
    """The outcome for one issue; `was` equals `status` where nothing changed."""

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
    """Change the selected issues in one transaction; return the outcomes, by app and fingerprint.

    With `expected`, nothing is changed where another number is selected. Raises UnknownIssueError, CountError (not
    `expected`, or too many), psycopg.Error. `connection` is in autocommit mode.
    """
    where, parameters = selection.where()
    with connection.transaction():
        # In the order in which polls lock them. A poll that waits for these locks sees the outcome, and counts by it.
        rows = connection.execute(
            f"SELECT app, fingerprint, id, status FROM monitoring.error_issue i WHERE {where} "
            f"ORDER BY app, fingerprint LIMIT {MOST + 1} FOR UPDATE".encode(),
            parameters,
        ).fetchall()
        _check(selection, rows, expected)
        # Not now(): what a poll counted while this waited for it is resolved too.
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
        raise CountError(f"more than {MOST} issues match; narrow the filter, and change them in several steps")
    missing = set(selection.ids) - {row[2] for row in rows}
    if missing:
        raise UnknownIssueError(f"no issue has the id {', '.join(sorted(missing))}; nothing was changed")
    if expected is not None and expected != len(rows):
        found = plural(len(rows), "issue")
        raise CountError(f"{found} would change, expected {expected}: check the list again; nothing was changed")


def _statement(action: Action) -> str:
    return f"""WITH changed AS (
    UPDATE monitoring.error_issue i SET {_SET[action]}, changed_by = %(actor)s, changed_at = %(at)s
    FROM unnest(%(apps)s::text[], %(fingerprints)s::text[], %(was)s::text[]) selected(app, fingerprint, was)
    WHERE i.app = selected.app AND i.fingerprint = selected.fingerprint AND {_DUE[action]} RETURNING i.*, selected.was
), audited AS (
    INSERT INTO monitoring.audit (at, actor, action, object, details)
    SELECT %(at)s, %(actor)s, 'error.{action}', 'error_issue/' || id, jsonb_strip_nulls(jsonb_build_object(
        'app', app, 'fingerprint', fingerprint, 'from', was, 'to', status, 'release', resolved_release,
        'until', ignored_until, 'events', %(events)s::bigint, 'note', %(note)s::text, 'via', %(via)s::text))
    FROM changed
)
SELECT app, fingerprint, status FROM changed"""


def count(connection: psycopg.Connection, selection: Selection, issues: str = ISSUES) -> int:
    """Return how many issues are selected."""
    where, parameters = selection.where()
    query = f"SELECT count(*) AS n FROM {issues} i WHERE {where}"
    row = connection.cursor(row_factory=dict_row).execute(query.encode(), parameters).fetchone()
    return int(row["n"]) if row else 0
