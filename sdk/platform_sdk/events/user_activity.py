"""What users did."""

from platform_sdk.events.base import ACTORS, APP, USER_AGENT, Column, EventKind, Label, Rollup, reject_number

_LABELS = (APP, Label("activity", "activity"), Label("role", "role"))

USER_ACTIVITY = EventKind(
    name="user_activity",
    rows_are="something a user did",
    retention_days=90,
    columns=(
        Column("activity", "text", "what: login, logout, search ...", required=True),
        Column("user_id", "text", "who", restricted=True),
        Column("role", "text", "the user's role"),
        Column("session_id", "text", "the session", restricted=True),
        Column("module", "text", "the part of the application"),
        Column("feature", "text", "the feature used"),
        Column("success", "boolean", "whether it worked", default="true"),
        Column("duration_seconds", "double precision", "how long it took"),
        Column("ip", "inet", "the client's address, truncated by the writer", personal=True),
        USER_AGENT,
        Column("details", "jsonb", "anything else", personal=True),
    ),
    checks=(reject_number("duration_seconds", maximum=1e9),),
    rollups=(
        Rollup("platform_user_activity_total", "Things users did.", _LABELS, value="1"),
        Rollup(
            "platform_user_activity_failures_total",
            "Things users tried that failed.",
            _LABELS,
            value="CASE WHEN success IS FALSE THEN 1 ELSE 0 END",
        ),
    ),
    actors=ACTORS,
)
