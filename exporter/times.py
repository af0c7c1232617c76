"""Parse times and durations as people type them on a command line, in a query or in a request."""

import re
from datetime import UTC, datetime, timedelta

from exporter.errors import TimeTextError

_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_DURATION = re.compile("".join(f"(?:(?P<{unit}>[0-9]{{1,10}}){unit[0]})?" for unit in _UNITS))
LONGEST = timedelta(days=36_525)
"""A hundred years: a longer one leaves the range of datetime."""


def parse_duration(text: str) -> timedelta:
    """Return the duration that `90m`, `24h`, `7d`, `2w` or `1d12h` stands for. Raises TimeTextError."""
    match = _DURATION.fullmatch(text.strip())
    try:
        found = timedelta(**{unit: int(number or 0) for unit, number in match.groupdict().items()} if match else {})
    except OverflowError:
        found = timedelta.max
    if not timedelta() < found <= LONGEST:
        raise TimeTextError(
            f"invalid duration {text!r}: expected e.g. 90m, 2h, 1d12h or 1w, greater than 0, at most 100 years"
        )
    return found


def parse_time(text: str, now: datetime) -> datetime:
    """Return the time that a text stands for: a duration before `now`, a date, or a time (UTC unless it says).

    Raises TimeTextError.
    """
    if text and _DURATION.fullmatch(text.strip()):
        return now - parse_duration(text)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise TimeTextError(
            f"invalid time {text!r}: expected e.g. 90m, 24h or 7d (ago), 2026-01-31, or 2026-01-31T12:00:00+01:00 "
            "(UTC without an offset)"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
