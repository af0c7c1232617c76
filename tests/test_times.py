"""Times and durations, as people type them."""

from datetime import UTC, datetime, timedelta

import pytest

from exporter.errors import TimeTextError
from exporter.times import parse_duration, parse_time

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("2h", timedelta(hours=2)),
        ("1d12h", timedelta(hours=36)),
        (" 2w ", timedelta(days=14)),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, expected: timedelta) -> None:
    """The largest unit first."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "0m", "soon", "7", "-7d", "12h1d", "1.5h", "٣d", "101000w", "9999999999w"])
def test_an_invalid_duration_is_an_error(text: str) -> None:
    """So is one of 0, or of more than a hundred years."""
    with pytest.raises(TimeTextError, match=r"invalid duration '.*': expected e\.g\. 90m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", datetime(2026, 2, 22, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2026-01-31 12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_duration_ago_or_a_date(text: str, expected: datetime) -> None:
    """UTC without an offset."""
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize(("text", "what"), [("yesterday", "time"), ("", "time"), ("9999999999w", "duration")])
def test_an_invalid_time_is_an_error(text: str, what: str) -> None:
    """So is a number that no calendar holds."""
    with pytest.raises(TimeTextError, match=f"invalid {what} '{text}'"):
        parse_time(text, NOW)
