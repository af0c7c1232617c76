"""Exceptions and logged errors."""

from typing import get_args

from platform_sdk.events import spellings
from platform_sdk.events.base import (
    APP,
    LONGEST_LABEL,
    SHORT_APP,
    TRACE,
    USER_AGENT,
    Column,
    EventKind,
    Label,
    Rollup,
)
from platform_sdk.typing import Severity

SEVERITIES: tuple[str, ...] = get_args(Severity)

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

FORMER = f"""nullif(CASE WHEN length(former_fingerprint) > {LONGEST_LABEL} THEN md5(former_fingerprint)
    ELSE former_fingerprint END, '')"""
"""SQL for the fingerprint of the issue that it belonged to by an earlier version of the writer's rules, or NULL."""

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
        *TRACE,
        # The last: the writer appends it.
        Column("former_fingerprint", "text", "the fingerprint that an earlier version of the writer made of it"),
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
