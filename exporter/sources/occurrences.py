"""Errors and their issues wherever they are: in the event store, or in tables of applications that keep their own.

All functions return SQL that stands in FROM, for statements with parameters: percent signs are doubled. Of a source
that may only be read there are issues alone: its errors are in another database.
"""

from collections.abc import Iterator, Sequence

from exporter.sources.mapping import SourcePlan, Stream
from platform_sdk.events.base import SHORT_APP
from platform_sdk.events.error import ERROR, ISSUE

_STORED = "monitoring.error_issue"

ISSUE_COLUMNS = {
    "id": "text", "app": "text", "fingerprint": "text", "status": "text", "severity": "text", "error_type": "text",
    "message": "text", "endpoint": "text", "first_seen": "timestamptz", "last_seen": "timestamptz",
    "events": "bigint", "regressions": "bigint", "first_release": "text", "last_release": "text",
    "resolved_by": "text", "resolved_at": "timestamptz", "resolved_release": "text", "changed_by": "text",
    "changed_at": "timestamptz", "ignored_until": "timestamptz", "ignored_until_events": "bigint",
    "assignee": "text",
}  # fmt: skip
"""The columns of an issue, and their types."""


def errors(plans: Sequence[SourcePlan]) -> str | None:
    """Return the errors of sources in one database, with the columns of the kind; None where they have none."""
    names = ", ".join(column.name for column in ERROR.all_columns)
    streams = [stream for plan in plans for stream in plan.streams if stream.kind is ERROR and not plan.read_only]
    parts = [s.select if s.adopted else f"SELECT {names} FROM {s.relation.sql}" for s in streams]
    return f"({' UNION ALL '.join(parts)}) error" if parts else None


def issues(plans: Sequence[SourcePlan]) -> str:
    """Return the issues of sources in one database, as ISSUE_COLUMNS: those stored, and those that apps keep."""
    names = ", ".join(ISSUE_COLUMNS)
    parts = [f"SELECT {names} FROM {_STORED}", *(_kept(stream, status) for stream, status in _left_to_apps(plans))]
    return f"({' UNION ALL '.join(parts)})" if len(parts) > 1 else _STORED


def _left_to_apps(plans: Sequence[SourcePlan]) -> Iterator[tuple[Stream, str]]:
    """Yield each table whose issues are the application's own, with SQL of a row's status."""
    for plan in plans:
        states = {state.relation: state.columns["resolved"] for state in plan.states if state.kind == "error_issues"}
        for stream in plan.streams:
            if stream.kind is ERROR and not stream.issues and not plan.read_only:
                yield stream, states.get(stream.relation, "'open'")


def _kept(stream: Stream, status: str) -> str:
    """Return SQL of the issues that the rows of a table make; open while any occurrence is."""
    rows = stream.select.replace("SELECT", f"SELECT ({status})::text AS status,", 1)
    latest = "(array_agg({0} ORDER BY at DESC))[1]"
    made = {
        "status": "CASE WHEN bool_or(status = 'open') THEN 'open' ELSE max(status) END",
        **{name: latest.format(name) for name in ("severity", "error_type", "message", "endpoint")},
        "first_seen": "min(at)", "last_seen": "max(at)", "events": "count(*)", "regressions": "0",
        "first_release": "(array_agg(release ORDER BY at))[1]", "last_release": latest.format("release"),
    }  # fmt: skip
    columns = ", ".join(f"({made.get(name, 'NULL')})::{type_}" for name, type_ in list(ISSUE_COLUMNS.items())[3:])
    return f"""SELECT left(md5(app || E'\\n' || fingerprint), 16) AS id, grouped.* FROM (
    SELECT {SHORT_APP} AS app, {ISSUE} AS fingerprint, {columns}
    FROM ({rows}) occurrence WHERE at IS NOT NULL AND error_type IS NOT NULL GROUP BY 1, 2) grouped"""
