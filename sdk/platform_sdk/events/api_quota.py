"""Quotas of external APIs other than of calls: windows of tokens, of a day ..., as a provider reported them."""

from platform_sdk.events.api_call import quota_gauges
from platform_sdk.events.base import MAXIMUM, Column, EventKind, reject_number

API_QUOTA = EventKind(
    name="api_quota",
    rows_are="what an external API said of one of its quotas; of calls, `api_call` says it",
    retention_days=7,
    columns=(
        Column("api", "text", "the provider's short name", required=True),
        Column("quota", "text", "what is limited: tokens, input_tokens, day ...", required=True),
        Column("quota_limit", "double precision", "how much a window allows"),
        Column("remaining", "double precision", "what is left of it"),
        Column("resets_at", "timestamptz", "when the window ends"),
    ),
    checks=(reject_number("remaining", minimum=-MAXIMUM), reject_number("quota_limit")),
    rollups=quota_gauges("quota", limit="quota_limit", remaining="remaining", reset="resets_at"),
)
