"""Reports of drills: a few lines each, a table at the end, or JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from tools.drills.evaluation import CHANNELS, Outcome, counted

COLUMNS = ("drill", "fires", "notified", "pages", "fired", "muted", "over", "end notified", "verdict")
CHANNEL_ORDER = CHANNELS["critical"]


def lines(outcome: Outcome) -> list[str]:
    """Return what a person needs to know of one drill."""
    channels = [
        f"{channel} {outcome.message_counts[channel]} ({'/'.join(outcome.severities.get(channel, [])) or 'resolved'})"
        for channel in CHANNEL_ORDER
        if channel in outcome.message_counts
    ]
    well_formed = "" if any(": $" in one for one in outcome.problems) else "; all as documented"
    fires, pages = _s(outcome.detected_seconds), counted(outcome.pages, "page")
    end = f"{_s(outcome.resolved_seconds)} after the end; notified: {_by_channel(outcome.end_notified_seconds)}"
    found = [
        f"{_verdict(outcome)}: fires after {fires}, notified: {_by_channel(outcome.notified_seconds)}; {pages}",
        f"messages: {', '.join(channels)}{well_formed}",
        f"fired:    {', '.join(outcome.fired) or 'nothing'}",
        f"muted:    {', '.join(outcome.muted) or 'nothing'}",
        f"over:     {end}",
    ]
    return [*found, *(f"PROBLEM:  {problem}" for problem in outcome.problems)]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a table of all, as Markdown, so that it can be put into a document."""
    rows = [COLUMNS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([texts[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *texts[1:]])


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Return all that is known of the drills."""
    return json.dumps([asdict(outcome) | {"well": outcome.well} for outcome in outcomes], indent=2)


def _row(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.name,
        _s(outcome.detected_seconds),
        _s(max(outcome.notified_seconds.values(), default=None)),
        str(outcome.pages),
        str(len(outcome.fired)),
        str(len(outcome.muted)),
        _s(outcome.resolved_seconds),
        _s(max(outcome.end_notified_seconds.values(), default=None)),
        _verdict(outcome),
    )


def _verdict(outcome: Outcome) -> str:
    return "ok" if outcome.well else "FAILED"


def _by_channel(seconds: dict[str, float]) -> str:
    known = [f"{channel} {_s(seconds[channel])}" for channel in CHANNEL_ORDER if channel in seconds]
    return ", ".join(known) or "none"


def _s(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"
