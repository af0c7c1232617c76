"""Say how drills went: a few lines each, a table at the end, or JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from tools.drills.verdict import CHANNELS, Outcome

COLUMNS = ("drill", "fires", "told", "pages", "fired", "muted", "over", "over told", "verdict")
CHANNEL_ORDER = CHANNELS["critical"]


def lines(outcome: Outcome) -> list[str]:
    """Return what a person wants to know of one drill."""
    found = [
        f"{'well' if outcome.well else 'FAILED'}: fires after {_s(outcome.detected_seconds)}, told "
        + _by_channel(outcome.told_seconds)
        + f"; {outcome.pages} page{'' if outcome.pages == 1 else 's'}",
        "came:     "
        + ", ".join(
            f"{channel} {outcome.messages[channel]} ({'/'.join(outcome.severities.get(channel, [])) or 'resolved'})"
            for channel in CHANNEL_ORDER
            if channel in outcome.messages
        )
        + "; all of the documented shape" * (not any(": $" in one for one in outcome.problems)),
        f"fired:    {', '.join(outcome.fired) or 'nothing'}",
        f"muted:    {', '.join(outcome.muted) or 'nothing'}",
        f"over:     {_s(outcome.resolved_seconds)} after the end; told {_by_channel(outcome.over_told_seconds)}",
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
        _s(max(outcome.told_seconds.values(), default=None)),
        str(outcome.pages),
        str(len(outcome.fired)),
        str(len(outcome.muted)),
        _s(outcome.resolved_seconds),
        _s(max(outcome.over_told_seconds.values(), default=None)),
        "well" if outcome.well else "FAILED",
    )


def _by_channel(seconds: dict[str, float]) -> str:
    known = [f"{channel} {_s(seconds[channel])}" for channel in CHANNEL_ORDER if channel in seconds]
    return ", ".join(known) or "nobody"


def _s(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"
