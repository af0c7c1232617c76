"""What a scraper's runs are expected to be, said in the code that runs them."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from platform_sdk.capture.context import plain_text

_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d{1,6}[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")
LONGEST_SECONDS = 1e9

Duration = str | float | timedelta
"""`1d`, `90m` or `1h30m`, a number of seconds, or a timedelta."""


class Expectations(NamedTuple):
    """Seconds, and items; 0: nothing is expected."""

    within_seconds: float = 0.0
    least_items: int = 0
    shortest_seconds: float = 0.0
    longest_seconds: float = 0.0


def expectations(
    failed: Callable[[Exception], None], every: Duration | None, grace: Duration, least_items: int | None,
    shortest: Duration | None, longest: Duration | None,
) -> Expectations:  # fmt: skip
    """Return what is expected; of what is invalid, nothing, and `failed` is told why."""

    def read(name: str, value: Duration | None) -> float:
        try:
            return 0.0 if value is None else seconds_of(name, value)
        except (TypeError, ValueError) as error:
            failed(error)
            return 0.0

    period, late = read("expected_every", every), read("grace", grace)
    items = least_items if isinstance(least_items, int) and least_items > 0 else 0
    if least_items is not None and not items:
        failed(ValueError(f"invalid {plain_text(least_items)!r} for least_items: expected a whole number above 0"))
    return Expectations(period + late if period else 0.0, items, read("shortest", shortest), read("longest", longest))


def seconds_of(name: str, value: Duration) -> float:
    """Return the seconds of a duration. Raises ValueError, TypeError."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        parts = _PART.findall(value) if _DURATION.fullmatch(value) else []
        seconds = float(sum(int(number) * _UNITS[unit] for number, unit in parts))
    else:
        seconds = float(value) if isinstance(value, int | float) else 0.0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(
            f"invalid {plain_text(value)!r} for {name}: expected a duration such as 90m, 1d or 1h30m, or seconds"
        )
    return seconds
