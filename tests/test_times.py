"""Times and spans of time, as people type them."""

from datetime import UTC, datetime, timedelta

import pytest

from exporter.errors import TimeTextError
from exporter.times import moment, span

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("2h", timedelta(hours=2)),
        ("1d12h", timedelta(hours=36)),
        (" 2w ", timedelta(days=14)),
    ],
)
def test_a_span_is_numbers_with_units(text: str, wanted: timedelta) -> None:
    """The largest unit first."""
    assert span(text) == wanted


@pytest.mark.parametrize("text", ["", "0m", "soon", "7", "-7d", "12h1d", "1.5h", "٣d", "101000w", "9999999999w"])
def test_what_is_no_span_is_told(text: str) -> None:
    """Nor is one that is nothing, or leaves the years that there are."""
    with pytest.raises(TimeTextError, match="is no span of time; wanted such as 90m"):
        span(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("7d", datetime(2026, 2, 22, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2026-01-31 12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_span_ago_or_a_time(text: str, wanted: datetime) -> None:
    """UTC unless it says."""
    assert moment(text, NOW) == wanted


@pytest.mark.parametrize(("text", "said"), [("yesterday", "no time"), ("", "no time"), ("9999999999w", "no span")])
def test_what_is_no_moment_is_told(text: str, said: str) -> None:
    """A number that no calendar holds too."""
    with pytest.raises(TimeTextError, match=f"{text}' is {said}"):
        moment(text, NOW)
