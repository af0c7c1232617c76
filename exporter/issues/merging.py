"""Merge issues into one, and split one again.

An issue is the fingerprints that monitoring.error_fingerprint gives it, each with its own counts. To merge is to move
fingerprints to another issue, to split is to make each an issue of its own; later errors follow their fingerprint.
Nothing of the errors themselves is changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from exporter.database.values import UNRECORDED
from exporter.errors import ChangeError, UnknownIssueError
from exporter.printing import plural

Row = dict[str, Any]

# Polls write the table in each statement that counts errors: this waits for those under way. One that has an older
# snapshot meets a changed row, and is tried again.
LOCK = "LOCK TABLE monitoring.error_fingerprint IN SHARE ROW EXCLUSIVE MODE"

_COUNTED = "severity, error_type, message, endpoint, first_seen, last_seen, first_release, last_release"

_LATEST = ("severity", "error_type", "message", "endpoint")
"""What an issue has of its latest occurrence."""

_RECORD = f"""INSERT INTO monitoring.error_fingerprint (app, fingerprint, issue, events, {_COUNTED})
SELECT app, fingerprint, fingerprint, {UNRECORDED}, {_COUNTED}
FROM monitoring.error_issue i WHERE app = %(app)s AND fingerprint = ANY(%(issues)s) ON CONFLICT DO NOTHING"""

_MOVE = """UPDATE monitoring.error_fingerprint SET issue = %(issue)s WHERE app = %(app)s AND issue = ANY(%(issues)s)"""

_REMOVE = """DELETE FROM monitoring.error_issue
WHERE app = %(app)s AND fingerprint = ANY(%(issues)s) AND fingerprint <> %(issue)s"""

# `ignored_until_events` is a count of the issue's events: as many more as before.
_COUNT = f"""UPDATE monitoring.error_issue i SET (events, ignored_until_events, first_seen, last_seen, severity,
        error_type, message, endpoint, first_release, last_release) = (
    SELECT sum(events), i.ignored_until_events - i.events + sum(events), min(first_seen), max(last_seen),
        {", ".join(f"(array_agg({name} ORDER BY last_seen DESC, fingerprint))[1]" for name in _LATEST)},
        (array_agg(first_release ORDER BY first_seen) FILTER (WHERE first_release IS NOT NULL))[1],
        (array_agg(last_release ORDER BY last_seen DESC) FILTER (WHERE last_release IS NOT NULL))[1]
    FROM monitoring.error_fingerprint f
    WHERE f.app = i.app AND f.issue = i.fingerprint AND NOT (f.former AND events = 0))
WHERE app = %(app)s AND fingerprint = %(issue)s RETURNING *"""

_SPLIT = f"""WITH moved AS (
    UPDATE monitoring.error_fingerprint SET issue = fingerprint
    WHERE app = %(app)s AND issue = %(issue)s AND fingerprint <> issue AND events > 0
        AND (%(fingerprints)s::text[] IS NULL OR fingerprint = ANY(%(fingerprints)s::text[]))
    RETURNING *
)
INSERT INTO monitoring.error_issue (app, fingerprint, events, {_COUNTED}, status, changed_by, changed_at, resolved_by,
    resolved_at, resolved_release, ignored_until, ignored_until_events, assignee)
SELECT m.app, m.fingerprint, m.events, {", ".join(f"m.{name}" for name in _COUNTED.split(", "))}, i.status,
    i.changed_by, i.changed_at, i.resolved_by, i.resolved_at, i.resolved_release, i.ignored_until,
    i.ignored_until_events - i.events + m.events, i.assignee
FROM moved m JOIN monitoring.error_issue i ON i.app = m.app AND i.fingerprint = %(issue)s
ORDER BY m.app, m.fingerprint RETURNING *"""

_AUDIT = """INSERT INTO monitoring.audit (at, actor, action, object, details)
VALUES (clock_timestamp(), %(actor)s, %(action)s, 'error_issue/' || %(id)s, jsonb_strip_nulls(jsonb_build_object(
    'app', %(app)s::text, 'fingerprint', %(fingerprint)s::text, %(what)s::text, %(ids)s::text[],
    'note', %(note)s::text, 'via', %(via)s::text)))"""


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, why, and by which way; `fingerprints` are those to split off, None all."""

    actor: str
    via: str
    note: str | None = None
    fingerprints: tuple[str, ...] | None = None


Outcome = tuple[Row, Row]
"""An issue before and after."""


def merge(connection: psycopg.Connection, rows: list[Row], target: Row, acting: Acting) -> list[Outcome]:
    """Merge issues, all locked, into `target`, which keeps its status and its assignee. Raises ChangeError."""
    apps = sorted({row["app"] for row in rows})
    if len(rows) < 2:
        raise ChangeError(f"{plural(len(rows), 'issue')} to merge: expected at least two")
    if len(apps) > 1:
        raise ChangeError(f"issues of several apps cannot be merged: {', '.join(apps)}; expected those of one app")
    others = [row for row in rows if row is not target]
    values = {
        "app": target["app"],
        "issue": target["fingerprint"],
        "issues": [row["fingerprint"] for row in rows],
    }
    run = _runner(connection)
    for statement in (_RECORD, _MOVE, _REMOVE):
        run(statement, values)
    (after,) = run(_COUNT, values)
    _audit(run, "merge", target, "merged", others, acting)
    for row in others:
        _audit(run, "merge", row, "into", [target], acting)
    return [(target, after), *((row, after) for row in others)]


def split(connection: psycopg.Connection, rows: list[Row], acting: Acting) -> list[Outcome]:
    """Make each fingerprint of issues, all locked, an issue of its own, with the status and assignee that it had.

    Of several issues, those with one fingerprint are left as they are. Raises ChangeError where that are all, and
    UnknownIssueError where a fingerprint given is none that can be split off.
    """
    run = _runner(connection)
    done: list[Outcome] = []
    for row in rows:
        fingerprints = list(acting.fingerprints) if acting.fingerprints is not None else None
        values = {
            "app": row["app"],
            "issue": row["fingerprint"],
            "issues": [row["fingerprint"]],
            "fingerprints": fingerprints,
        }
        run(_RECORD, values)
        made = run(_SPLIT, values)
        if not made:
            done.append((row, row))
            continue
        (after,) = run(_COUNT, values)
        _audit(run, "split", row, "split", made, acting)
        for new in made:
            _audit(run, "split", new, "out_of", [row], acting)
        done += [(row, after), *((row, new) for new in made)]
    off = {after["fingerprint"] for row, after in done if after["id"] != row["id"]}
    if missing := set(acting.fingerprints or ()) - off:
        raise UnknownIssueError(
            f"no fingerprint {', '.join(map(repr, sorted(missing)))} was merged into {_named(rows)}: expected one that "
            "`errors show` lists with `and`; nothing was changed"
        )
    if not off:
        raise ChangeError(f"nothing was merged into {_named(rows)}, so that nothing can be split; nothing was changed")
    return done


def _named(rows: list[Row]) -> str:
    return f"issue {rows[0]['id']}" if len(rows) == 1 else f"any of {plural(len(rows), 'issue')}"


def _runner(connection: psycopg.Connection) -> Callable[[str, Row], list[Row]]:
    cursor = connection.cursor(row_factory=dict_row)

    def run(statement: str, values: Row) -> list[Row]:
        cursor.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    return run


def _audit(
    run: Callable[[str, Row], list[Row]], action: str, row: Row, what: str, others: list[Row], acting: Acting
) -> None:
    run(
        _AUDIT,
        {
            "actor": acting.actor, "via": acting.via, "note": acting.note, "action": f"error.{action}",
            "id": row["id"], "app": row["app"], "fingerprint": row["fingerprint"], "what": what,
            "ids": [other["id"] for other in others],
        },
    )  # fmt: skip
