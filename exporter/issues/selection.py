"""Say which issues are meant: by their ids, or by a filter."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from exporter.errors import UnknownIssueError

ID = re.compile(r"[0-9a-f]{16}")
PREFIX = re.compile(r"[0-9a-f]{4,16}")
STATUSES = ("open", "resolved", "ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Hold what an issue must be to be meant: of several values of one kind any, of several kinds all.

    `search` is a part of its type, message, endpoint or fingerprint, in any case of letters; `since` is when it
    occurred last at the earliest. Nothing given means every issue.
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
        conditions = [text for text, _ in self._conditions()]
        parameters = {f"of_{name}": value for _, (name, value) in self._conditions()}
        return " AND ".join(conditions) or "true", parameters

    def _conditions(self) -> Iterator[tuple[str, tuple[str, Any]]]:
        columns = {"ids": "id", "apps": "app", "severities": "severity", "statuses": "status"}
        for name, column in {**columns, "endpoints": "endpoint", "types": "error_type"}.items():
            if values := getattr(self, name):
                yield f"i.{column} = ANY(%(of_{name})s)", (name, list(values))
        if self.since is not None:
            yield "i.last_seen >= %(of_since)s", ("since", self.since)
        if self.search:
            text = "lower(concat_ws(' ', i.error_type, i.message, i.endpoint, i.fingerprint))"
            yield f"position(lower(%(of_search)s) IN {text}) > 0", ("search", self.search)


def full_ids(connection: psycopg.Connection, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids that people's shortened ones mean. Raises UnknownIssueError for none or several."""
    found: list[str] = []
    for text in given:
        if not PREFIX.fullmatch(text.lower()):
            raise UnknownIssueError(
                f"{text!r} is no id of an issue; wanted 4 to 16 hexadecimal digits, see `errors list`"
            )
        rows = connection.execute(
            "SELECT DISTINCT id FROM monitoring.error_issue WHERE id LIKE %s ORDER BY id LIMIT 5", [f"{text.lower()}%"]
        ).fetchall()
        if not rows:
            raise UnknownIssueError(f"no issue has the id {text}; see `errors list`")
        if len(rows) > 1:
            raise UnknownIssueError(f"several issues' ids begin with {text}: {', '.join(row[0] for row in rows)}")
        found.append(rows[0][0])
    return tuple(dict.fromkeys(found))
