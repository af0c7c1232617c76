"""Read times and spans of time as people type them on a command line, in a query or in a request."""

import re
from datetime import UTC, datetime, timedelta

from exporter.errors import TimeTextError

_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_SPAN = re.compile("".join(f"(?:(?P<{unit}>[0-9]{{1,10}}){unit[0]})?" for unit in _UNITS))
LONGEST = timedelta(days=36_525)
"""A hundred years: more would leave the years that there are."""


def span(text: str) -> timedelta:
    """Return the span that `90m`, `24h`, `7d`, `2w` or `1d12h` means, longer than nothing. Raises TimeTextError."""
    match = _SPAN.fullmatch(text.strip())
    try:
        found = timedelta(**{unit: int(number or 0) for unit, number in match.groupdict().items()} if match else {})
    except OverflowError:
        found = timedelta.max
    if not timedelta() < found <= LONGEST:
        raise TimeTextError(
            f"{text!r} is no span of time; wanted such as 90m, 2h, 1d12h or 1w, longer than nothing, within 100 years"
        )
    return found


def moment(text: str, now: datetime) -> datetime:
    """Return the time that a text means: a span before `now`, a date, or a time (UTC unless it says).

    Raises TimeTextError.
    """
    if text and _SPAN.fullmatch(text.strip()):
        return now - span(text)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise TimeTextError(
            f"{text!r} is no time; wanted 90m, 24h or 7d (ago), 2026-01-31, or 2026-01-31T12:00:00+01:00 (UTC if bare)"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
