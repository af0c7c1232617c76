"""How columns look by their name, the same in every table: heading, width in pixels, unit."""

import re
from typing import Any

from grafana.design import colors

# Units of times: how long ago, in full, and the time of day alone where it is today.
AGO, AT, CLOCK = "dateTimeFromNow", "dateTimeAsIso", "dateTimeAsIsoNoDateIfToday"

LONG_PIXELS = 210
"""What the words of a wrapped text need on a phone, where the table is as wide as its columns ask for."""

PER_MINUTE = "suffix:/min"
"""Grafana's own unit writes "1.2K c/m"."""

# The heading is made of the name (last_seen is "Last seen"), but for these.
HEADINGS = {
    "alert_source": "Source", "alertname": "Alert", "api": "API", "assignee": "Assigned to", "at": "When",
    "changed_at": "Changed",
    "changed_by": "By", "course": "Trend", "created_at": "Created",
    "duration_seconds": "Duration", "ended_at": "Ended", "ends_at": "Ended", "error_type": "Type",
    "events_ever": "Total", "firing_seconds": "Fired for", "firings": "Fired", "ignored_for": "Ignored for events",
    "items_failed": "Failed items", "items_processed": "Items", "job_id": "Job", "last_asked": "Last requested",
    "mean_seconds": "Mean duration", "ninety": "90 % within", "p95": "p95", "pace": "Items per minute",
    "processes": "Running", "rank": "Severity", "python_version": "Python", "repeats": "Reminders",
    "resolved_at": "Resolved",
    "resolved_release": "Resolved in", "response_bytes": "Size", "session_id": "Session", "slo": "SLO",
    "starts_at": "Fired",
    "still": "Last progress", "silent": "Last heartbeat", "updated_at": "Last write",
    "user_id": "User", "why": "Reasons of drops", "which": "Issues", "bytes": "Mean size",
}  # fmt: skip
_AGO = """
    first_seen last_seen changed_at ended_at started_at updated_at ignored_until release_first_seen first_occurrence
    last_occurrence first_met last_met last_fired last_served last_called last_used last_asked last_run last_written
"""
# Unit, width, and the columns that have them.
_UNITS = (
    (AGO, 140, _AGO),
    (AT, 160, "at starts_at ends_at created_at resolved_at"),
    ("dtdurations", 140, "lasted longest median ninety mean_to_resolve firing_seconds"),
    ("s", 90, "duration_seconds average minimum maximum p95 remaining"),
    ("s", 125, "mean_seconds silent still"),
    ("bytes", 100, "bytes response_bytes"),
    (PER_MINUTE, 140, "pace"),
    (None, 125, "api"),
    (None, 75, "events users events_ever firings number issues"),
    (
        None,
        90,
        "role requests addresses subjects processes items items_processed unsettled produced stored spooled dropped",
    ),
    (None, 75, "method status kind unit runs"),
    (None, 115, "app component repeats regressions outcome reason"),
    (
        None,
        120,
        "changed_by releases scraper release first_release last_release resolved_release still_firing items_failed",
    ),
)
_LOOKS = {
    name: {"custom.width": width} | ({"unit": unit} if unit else {})
    for unit, width, names in _UNITS
    for name in names.split()
}
# These are long, and it is their end that differs.
_WRAPPED: dict[str, Any] = {"custom.cellOptions": {"type": "auto", "wrapText": True}}
_LOOKS |= {"site": _WRAPPED | {"custom.minWidth": 118}, "job_id": _WRAPPED}
_LOOKS |= dict.fromkeys(("route", "endpoint"), _WRAPPED | {"custom.minWidth": LONG_PIXELS})
_LOOKS["rank"] = {
    "custom.width": 85,
    "mappings": colors.RANKS,
    "custom.cellOptions": {"type": "color-background", "mode": "basic"},
}
# One word, which is never wrapped.
_LOOKS["alertname"] = {"custom.minWidth": 250}
_LOOKS["severity"] = {
    "custom.width": 85,
    "mappings": colors.words(colors.SEVERITIES),
    "custom.cellOptions": {"type": "color-text"},
}


def usual(name: str) -> dict[str, Any]:
    """Return the properties of a column; nothing of one named as it is to be read, which has a capital or a space."""
    if not re.fullmatch("[a-z0-9_]+", name):
        return {}
    heading = HEADINGS.get(name, name.replace("_", " ").capitalize())
    return {"displayName": heading, **_LOOKS.get(name, {})}
