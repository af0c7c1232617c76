"""Which issues a command is about: by their ids, or by a filter."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from exporter.errors import AmbiguousIssueError, UnknownIssueError

ID = re.compile(r"[0-9a-f]{16}")
PREFIX = re.compile(r"[0-9a-f]{4,16}")
ISSUES = "monitoring.error_issue"
STATUSES = ("open", "resolved", "ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter of issues: of several values of one kind any must match, of several kinds all.

    `search` is a part of the type, message, endpoint or fingerprint, regardless of case; `since` is the earliest time
    of its last occurrence. The empty text among `assignees` is nobody. An empty selection means every issue.
    """

    ids: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    since: datetime | None = None
    search: str | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return SQL over monitoring.error_issue as `i`, and its parameters."""
        lists = {
            "id": self.ids, "app": self.apps, "severity": self.severities, "status": self.statuses,
            "endpoint": self.endpoints, "error_type": self.types, "assignee": self.assignees,
        }  # fmt: skip
        columns = {name: f"i.{name}" for name in lists} | {"assignee": "coalesce(i.assignee, '')"}
        conditions = [f"{columns[name]} = ANY(%(of_{name})s)" for name, values in lists.items() if values]
        if self.since is not None:
            conditions.append("i.last_seen >= %(of_since)s")
        if self.search:
            text = "lower(concat_ws(' ', i.error_type, i.message, i.endpoint, i.fingerprint))"
            conditions.append(f"position(lower(%(of_search)s) IN {text}) > 0")
        parameters = {f"of_{column}": list(values) for column, values in lists.items()}
        return " AND ".join(conditions) or "true", parameters | {"of_since": self.since, "of_search": self.search}


def full_ids(
    connection: psycopg.Connection, given: tuple[str, ...], issues: str = ISSUES, *, follow: bool = False
) -> tuple[str, ...]:
    """Return the full ids of shortened ones, in the same order; with `follow`, of what was merged the issue it is in.

    Raises UnknownIssueError where none or several match.
    """
    found: list[str] = []
    for text in given:
        if not PREFIX.fullmatch(text.lower()):
            raise UnknownIssueError(
                f"invalid id {text!r}: expected 4 to 16 hexadecimal digits, see `platform-exporter errors list`"
            )
        rows = connection.execute(
            f"SELECT DISTINCT id FROM {issues} i WHERE id LIKE %s ORDER BY id LIMIT 5".encode(), [f"{text.lower()}%"]
        ).fetchall()
        if not rows and (into := merged_into(connection, text.lower())):
            if not follow:
                raise UnknownIssueError(f"issue {text} was merged into {into}; nothing was changed")
            rows = [(into,)]
        if not rows:
            raise UnknownIssueError(f"no issue has the id {text}; see `platform-exporter errors list`")
        if len(rows) > 1:
            ids = ", ".join(row[0] for row in rows)
            raise AmbiguousIssueError(f"several issues have an id that begins with {text}: {ids}")
        found.append(rows[0][0])
    return tuple(found)


def merged_into(connection: psycopg.Connection, prefix: str) -> str | None:
    """Return the id of the issue that another, by the beginning of its id, was merged into; None where none was."""
    rows = connection.execute(
        """SELECT DISTINCT i.id FROM monitoring.audit a
        JOIN monitoring.error_fingerprint f ON f.app = a.details->>'app' AND f.fingerprint = a.details->>'fingerprint'
        JOIN monitoring.error_issue i ON i.app = f.app AND i.fingerprint = f.issue
        WHERE a.action = 'error.merge' AND a.details ? 'into' AND a.object LIKE %s LIMIT 2""",
        [f"error_issue/{prefix}%"],
    ).fetchall()
    return str(rows[0][0]) if len(rows) == 1 else None
