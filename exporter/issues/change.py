"""Change issues: all that are selected or none, each with a row in monitoring.audit."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import psycopg
from psycopg.rows import dict_row

from exporter.errors import ChangeError, CountError, UnknownIssueError
from exporter.issues import merging
from exporter.issues.selection import ISSUES, Selection, merged_into
from exporter.printing import plural
from platform_sdk.events.base import LONGEST_LABEL

Action = Literal["resolve", "reopen", "ignore", "assign", "unassign", "comment", "merge", "split"]
ACTIONS: tuple[Action, ...] = get_args(Action)

LATEST = "latest"
"""Stands for the newest release of the issue's app."""

MOST = 10_000
"""Issues changed at once: polls wait for the rows that are locked."""

LONGEST_NAME, LONGEST_NOTE = 200, 1000
MOST_EVENTS = 1_000_000_000
LONGEST_IGNORED = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change. `release` (resolve) contains the fix; `until` and `events` (ignore) are when the issue opens again,
    whichever comes first: at that time, or after so many events counted from now on. `person` (assign) gets the issue.
    `fingerprints` (split) are those that become issues of their own, all where it is None. `note` is the text of a
    comment, or the reason of any other change. Blanks around texts are dropped."""

    action: Action
    release: str | None = None
    until: datetime | None = None
    events: int | None = None
    person: str | None = None
    fingerprints: tuple[str, ...] | None = None
    note: str | None = None

    def check(self, now: datetime) -> None:
        """Raise ChangeError where fields are missing, contradict each other or are out of bounds."""
        for name, value, action in (
            ("release", self.release, "resolve"), ("until` or `for", self.until, "ignore"),
            ("events", self.events, "ignore"), ("person", self.person, "assign"),
            ("fingerprints", self.fingerprints, "split"),
        ):  # fmt: skip
            if value is not None and self.action != action:
                raise ChangeError(f"`{name}` belongs to {action}, not to {self.action}; leave it out")
        if self.action == "assign" and self.person is None:
            raise ChangeError("`person` is missing: expected the name of who gets the issue")
        if self.action == "comment" and self.note is None:
            raise ChangeError("`note` is missing: expected the text of the comment")
        if self.until and not now < self.until <= now + LONGEST_IGNORED:
            raise ChangeError(
                f"invalid time {self.until.isoformat()} for `until`: expected a time in the next ten years"
            )
        if self.events is not None and not 1 <= self.events <= MOST_EVENTS:
            raise ChangeError(f"invalid number {self.events} for `events`: expected 1 to {MOST_EVENTS}")
        _check_text("release", self.release, LONGEST_LABEL)
        _check_text("person", self.person, LONGEST_NAME)
        _check_text("note", self.note, LONGEST_NOTE, lines=True)


def _check_text(name: str, value: str | None, longest: int, *, lines: bool = False) -> None:
    if value is None:
        return
    if not value.strip() or len(value) > longest:
        raise ChangeError(
            f"invalid text of {plural(len(value), 'character')} for `{name}`: expected 1 to {longest}, not only blanks"
        )
    allowed = "\n\r\t" if lines else ""
    # Control characters, and halves of letters: what a terminal obeys and what PostgreSQL cannot store.
    found = next((c for c in value if unicodedata.category(c) in ("Cc", "Cs") and c not in allowed), None)
    if found is not None:
        raise ChangeError(
            f"invalid character {found!r} in `{name}`: expected text without control characters; leave it out"
        )


@dataclass(frozen=True, slots=True)
class Changed:
    """The outcome for one issue; `was` is its former status."""

    id: str
    app: str
    fingerprint: str
    was: str
    status: str
    assignee: str | None
    changed: bool


_STATUS = ", changed_by = %(actor)s, changed_at = %(at)s"
_SET = {
    "resolve": f"""status = 'resolved', resolved_at = %(at)s, resolved_by = %(actor)s, ignored_until = NULL,
        ignored_until_events = NULL, resolved_release = CASE %(release)s::text WHEN '{LATEST}' THEN (
            SELECT r.release FROM monitoring.release r WHERE r.app = i.app ORDER BY r.first_seen DESC LIMIT 1)
            ELSE %(release)s::text END{_STATUS}""",
    "reopen": f"""status = 'open', resolved_at = NULL, resolved_by = NULL, resolved_release = NULL,
        ignored_until = NULL, ignored_until_events = NULL{_STATUS}""",
    "ignore": f"""status = 'ignored', resolved_at = NULL, resolved_by = NULL, resolved_release = NULL,
        ignored_until = %(until)s::timestamptz, ignored_until_events = i.events + %(events)s::bigint{_STATUS}""",
    "assign": "assignee = %(person)s::text",
    "unassign": "assignee = NULL",
    "comment": "assignee = i.assignee",
}
_DUE = {
    "resolve": "i.status <> 'resolved'", "reopen": "i.status <> 'open'", "ignore": "true",
    "assign": "i.assignee IS DISTINCT FROM %(person)s::text", "unassign": "i.assignee IS NOT NULL", "comment": "true",
}  # fmt: skip
# What `from`, `to`, `release` and `until` are in the audit.
_STATUSES = "'from', was, 'to', status"
_DETAILS = {
    "resolve": f"{_STATUSES}, 'release', resolved_release",
    "reopen": _STATUSES,
    "ignore": f"{_STATUSES}, 'until', ignored_until, 'events', %(events)s::bigint",
    "assign": "'from', had, 'to', assignee",
    "unassign": "'from', had",
    "comment": "",
}


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

    `merge` puts them into the first of the ids, or into the oldest that match a filter. With `expected`, nothing is
    changed where another number is selected. Raises UnknownIssueError, CountError (not `expected`, or too many),
    ChangeError (nothing to merge or split), psycopg.Error. `connection` is in autocommit mode.
    """
    if change.action in ("merge", "split"):
        return _regroup(connection, selection, change, actor, via=via, expected=expected)
    cursor = connection.cursor(row_factory=dict_row)
    with connection.transaction():
        rows = _locked(cursor, selection, expected)
        values = {
            "apps": [row["app"] for row in rows],
            "fingerprints": [row["fingerprint"] for row in rows],
            "was": [row["status"] for row in rows],
            "had": [row["assignee"] for row in rows],
            # Not now(): what a poll counted while this waited for it is resolved too.
            "at": cursor.execute("SELECT clock_timestamp() AS at").fetchall()[0]["at"],
            "actor": actor,
            "via": via,
            "release": change.release,
            "until": change.until,
            "events": change.events,
            "person": change.person and change.person.strip(),
            "note": change.note and change.note.strip(),
        }
        done = cursor.execute(_statement(change.action).encode(), values).fetchall()
    changed = {(row["app"], row["fingerprint"]): row for row in done}
    return [_outcome(row, changed.get((row["app"], row["fingerprint"]))) for row in rows]


def _regroup(
    connection: psycopg.Connection, selection: Selection, change: Change, actor: str, *, via: str, expected: int | None
) -> list[Changed]:
    """Merge or split issues. Outcomes: the issue that stays first, then those that went into it or came out of it."""
    cursor = connection.cursor(row_factory=dict_row)
    acting = merging.Acting(actor, via, change.note and change.note.strip(), change.fingerprints)
    with connection.transaction():
        cursor.execute(merging.LOCK)
        rows = _locked(cursor, selection, expected)
        if change.action == "merge":
            first = (row for row in rows if row["id"] == selection.ids[0]) if selection.ids else iter(())
            target = next(first, None) or min(rows, key=lambda row: row["first_seen"], default={})
            done = merging.merge(connection, rows, target, acting)
        else:
            done = merging.split(connection, rows, acting)
    return [
        Changed(after["id"] if change.action == "split" else was["id"], after["app"], after["fingerprint"],
                was["status"], after["status"], after["assignee"], after is not was)
        for was, after in done
    ]  # fmt: skip


def _outcome(row: dict[str, Any], done: dict[str, Any] | None) -> Changed:
    after = done or row
    identity = row["id"], row["app"], row["fingerprint"]
    return Changed(*identity, row["status"], after["status"], after["assignee"], done is not None)


def _locked(cursor: psycopg.Cursor[dict[str, Any]], selection: Selection, expected: int | None) -> list[dict[str, Any]]:
    """Return the rows of the selected issues, locked, after `check`.

    In the order in which polls lock them. A poll that waits for these locks sees the outcome, and counts by it.
    """
    where, parameters = selection.where()
    rows = cursor.execute(
        f"SELECT i.* FROM monitoring.error_issue i WHERE {where} "
        f"ORDER BY app, fingerprint LIMIT {MOST + 1} FOR UPDATE".encode(),
        parameters,
    ).fetchall()
    check([cursor.connection], selection, [tuple(row["id"] for row in rows)], expected)
    return rows


def check(
    connections: Iterable[psycopg.Connection],
    selection: Selection,
    parts: Sequence[tuple[str, ...]],
    expected: int | None,
) -> None:
    """Raise UnknownIssueError or CountError if what was found must not be changed.

    `parts` are the ids found in each store; an id of several stores is one issue. `connections` say what was merged.
    """
    if any(len(part) > MOST for part in parts):
        raise CountError(f"more than {MOST} issues match; narrow the filter, and change them in several steps")
    found = {one for part in parts for one in part}
    missing = sorted(set(selection.ids) - found)
    for id_ in missing:
        if into := next((into for connection in connections if (into := merged_into(connection, id_))), None):
            raise UnknownIssueError(f"issue {id_} was merged into {into}; nothing was changed")
    if missing:
        raise UnknownIssueError(f"no issue has the id {', '.join(missing)}; nothing was changed")
    if expected is not None and expected != len(found):
        issues = plural(len(found), "issue")
        raise CountError(f"{issues} would change, expected {expected}: check the list again; nothing was changed")


def _statement(action: Action) -> str:
    details = f"{_DETAILS[action]}, " if _DETAILS[action] else ""
    return f"""WITH changed AS (
    UPDATE monitoring.error_issue i SET {_SET[action]}
    FROM unnest(%(apps)s::text[], %(fingerprints)s::text[], %(was)s::text[], %(had)s::text[])
        selected(app, fingerprint, was, had)
    WHERE i.app = selected.app AND i.fingerprint = selected.fingerprint AND {_DUE[action]}
    RETURNING i.*, selected.was, selected.had
), audited AS (
    INSERT INTO monitoring.audit (at, actor, action, object, details)
    SELECT %(at)s, %(actor)s, 'error.{action}', 'error_issue/' || id, jsonb_strip_nulls(jsonb_build_object(
        'app', app, 'fingerprint', fingerprint, {details}'note', %(note)s::text, 'via', %(via)s::text))
    FROM changed
)
SELECT app, fingerprint, status, assignee FROM changed"""


def count(connection: psycopg.Connection, selection: Selection, issues: str = ISSUES) -> int:
    """Return how many issues are selected."""
    where, parameters = selection.where()
    query = f"SELECT count(*) AS n FROM {issues} i WHERE {where}"
    row = connection.cursor(row_factory=dict_row).execute(query.encode(), parameters).fetchone()
    return int(row["n"]) if row else 0
