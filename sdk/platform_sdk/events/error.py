"""Exceptions and logged errors."""

from platform_sdk.events import spellings
from platform_sdk.events.base import (
    APP,
    LONGEST_LABEL,
    SHORT_APP,
    USER_AGENT,
    Column,
    EventKind,
    Label,
    Rollup,
)

SEVERITIES = ("low", "medium", "high", "critical")

SEVERITY = Column(
    "severity",
    "text",
    "how bad it is",
    required=True,
    default="'medium'",
    values=SEVERITIES,
    spellings=spellings.SEVERITIES,
)

ISSUE = f"""CASE WHEN length(fingerprint) > {LONGEST_LABEL} THEN md5(fingerprint)
    ELSE coalesce(nullif(fingerprint, ''), md5(error_type || coalesce(' ' || endpoint, ''))) END"""
"""SQL for the fingerprint of the issue that an error belongs to; immutable, so that an index can hold it."""

ERROR = EventKind(
    name="error",
    rows_are="an exception or a logged error",
    retention_days=90,
    lane="urgent",
    columns=(
        SEVERITY,
        Column("error_type", "text", "the exception's class or the error's kind", required=True),
        Column("message", "text", "what it said, redacted by the writer", longest=4_000, free_text=True),
        Column("stack_trace", "text", "where it happened", restricted=True, longest=40_000, free_text=True),
        Column("fingerprint", "text", "what groups occurrences of one error; made of type and place where NULL"),
        Column("endpoint", "text", "the route or function that failed", longest=500, free_text=True),
        Column("user_id", "text", "who was affected", restricted=True),
        Column("ip", "inet", "the client's address, truncated by the writer", personal=True),
        USER_AGENT,
        Column("job_id", "text", "the scraping job that failed"),
        Column("context", "jsonb", "anything else", personal=True),
    ),
    checks=(),
    rollups=(
        Rollup(
            "platform_errors_total",
            "Errors recorded.",
            (
                APP,
                Label("severity", SEVERITY.closed, open=False),
                Label("error_type", "error_type"),
            ),
            value="1",
        ),
    ),
    shown={"app": SHORT_APP, "fingerprint": ISSUE},
    indexes={"error_issue_at": f"({SHORT_APP}, ({ISSUE}), at)"},
    issues=True,
)
