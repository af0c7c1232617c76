"""Which issues a command is about: by their ids, or by a filter."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from exporter.errors import UnknownIssueError

ID = re.compile(r"[0-9a-f]{16}")
PREFIX = re.compile(r"[0-9a-f]{4,16}")
ISSUES = "monitoring.error_issue"
STATUSES = ("open", "resolved", "ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter of issues: of several values of one kind any must match, of several kinds all.

    `search` is a part of the type, message, endpoint or fingerprint, regardless of case; `since` is the earliest time
    of its last occurrence. An empty selection means every issue.
    """

    ids: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    since: datetime | None = None
    search: str | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return SQL over monitoring.error_issue as `i`, and its parameters."""
        lists = {
            "id": self.ids, "app": self.apps, "severity": self.severities, "status": self.statuses,
            "endpoint": self.endpoints, "error_type": self.types,
        }  # fmt: skip
        conditions = [f"i.{column} = ANY(%(of_{column})s)" for column, values in lists.items() if values]
        if self.since is not None:
            conditions.append("i.last_seen >= %(of_since)s")
        if self.search:
            text = "lower(concat_ws(' ', i.error_type, i.message, i.endpoint, i.fingerprint))"
            conditions.append(f"position(lower(%(of_search)s) IN {text}) > 0")
        parameters = {f"of_{column}": list(values) for column, values in lists.items()}
        return " AND ".join(conditions) or "true", parameters | {"of_since": self.since, "of_search": self.search}


def full_ids(connection: psycopg.Connection, given: tuple[str, ...], issues: str = ISSUES) -> tuple[str, ...]:
    """Return the full ids of shortened ones. Raises UnknownIssueError where none or several match."""
    found: list[str] = []
    for text in given:
        if not PREFIX.fullmatch(text.lower()):
            raise UnknownIssueError(
                f"invalid id {text!r}: expected 4 to 16 hexadecimal digits, see `platform-exporter errors list`"
            )
        rows = connection.execute(
            f"SELECT DISTINCT id FROM {issues} i WHERE id LIKE %s ORDER BY id LIMIT 5".encode(), [f"{text.lower()}%"]
        ).fetchall()
        if not rows:
            raise UnknownIssueError(f"no issue has the id {text}; see `platform-exporter errors list`")
        if len(rows) > 1:
            ids = ", ".join(row[0] for row in rows)
            raise UnknownIssueError(f"several issues have an id that begins with {text}: {ids}")
        found.append(rows[0][0])
    return tuple(dict.fromkeys(found))
