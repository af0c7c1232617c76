"""Read issues: a list, or one with its latest stack trace, occurrences, users, releases and history."""

from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from exporter.database.values import readable
from exporter.issues.selection import ISSUES, Selection
from platform_sdk.events.base import SHORT_APP
from platform_sdk.events.error import ISSUE

Row = dict[str, Any]

LIST_COLUMNS = """i.id, i.app, i.status, i.severity, i.error_type, i.message, i.endpoint, i.events, i.regressions,
    i.first_seen, i.last_seen, i.assignee"""
OCCURRENCES = 10
_TEXTS = ("stack_trace", "release", "severity", "message", "endpoint", "user_id", "user_agent", "job_id")


def listed(connection: psycopg.Connection, selection: Selection, limit: int, issues: str = ISSUES) -> list[Row]:
    """Return issues, the last seen first; of `issues`, SQL that stands in FROM."""
    where, parameters = selection.where()
    return _rows(
        connection,
        f"SELECT {LIST_COLUMNS} FROM {issues} i WHERE {where} ORDER BY last_seen DESC, id LIMIT %(limit)s",
        {**parameters, "limit": limit},
    )


def shown(
    connection: psycopg.Connection, id_: str, since: datetime, issues: str = ISSUES, errors: str | None = None
) -> list[Row]:
    """Return the issues with this id (one, but for a collision), each with details from its rows since `since`.

    `issues` and `errors`, the rows, are SQL that stands in FROM. Keys beside the issue's own: fingerprints (those
    that belong to it beside its own), stack_trace (the latest, or None), occurrences (the latest, newest first), users,
    releases (events each), history (oldest first). Without `errors`, those from the rows are missing.
    """
    found = _rows(connection, f"SELECT i.* FROM {issues} i WHERE id = %(id)s", {"id": id_})
    for issue in found:
        issue["fingerprints"] = [row["fingerprint"] for row in _rows(
            connection,
            "SELECT fingerprint FROM monitoring.error_fingerprint WHERE app = %(app)s AND issue = %(fingerprint)s "
            "AND fingerprint <> issue AND NOT (former AND events = 0) ORDER BY fingerprint",
            issue,
        )]  # fmt: skip
        issue["history"] = _rows(
            connection,
            "SELECT at, actor, action, details FROM monitoring.audit "
            "WHERE object = 'error_issue/' || %(id)s AND details->>'app' = %(app)s ORDER BY at",
            issue,
        )
        issue |= _of_rows(connection, issue, since, errors) if errors else {}
    return found


def _of_rows(connection: psycopg.Connection, issue: Row, since: datetime, errors: str) -> Row:
    key = {"app": issue["app"], "fingerprints": [issue["fingerprint"], *issue["fingerprints"]], "since": since}
    rows = f"{errors} WHERE {SHORT_APP} = %(app)s AND ({ISSUE}) = ANY(%(fingerprints)s) AND at >= %(since)s"
    texts = {name: f"{readable(connection, name)} AS {name}" for name in _TEXTS}
    latest = f"SELECT {texts['stack_trace']} FROM {rows} AND stack_trace IS NOT NULL ORDER BY at DESC LIMIT 1"
    others = ", ".join(text for name, text in texts.items() if name != "stack_trace")
    columns = f"at, {others}, ip::text, ({readable(connection, 'context')})::jsonb AS context"
    traces = _rows(connection, latest, key)
    (users,) = _rows(connection, f"SELECT count(DISTINCT user_id) AS users FROM {rows}", key)
    return {
        "stack_trace": traces[0]["stack_trace"] if traces else None,
        "occurrences": _rows(connection, f"SELECT {columns} FROM {rows} ORDER BY at DESC LIMIT {OCCURRENCES}", key),
        "users": users["users"],
        "releases": _rows(
            connection,
            f"SELECT {texts['release']}, count(*) AS events, max(at) AS last_seen FROM {rows} "
            "GROUP BY 1 ORDER BY 3 DESC LIMIT 50",
            key,
        ),
    }


def _rows(connection: psycopg.Connection, query: str, parameters: Row) -> list[Row]:
    return connection.cursor(row_factory=dict_row).execute(query.encode(), parameters).fetchall()
