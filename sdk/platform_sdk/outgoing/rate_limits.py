"""The provider's rate limit in a response's headers: how many calls are left, and until when.

Known are `X-RateLimit-*` and its spellings, the IETF draft's `RateLimit` and `RateLimit-*` fields
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/), and `Retry-After` (RFC 9110, 10.2.3).
"""

import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from time import time

_PREFIXES = ("x-ratelimit-", "ratelimit-", "x-rate-limit-", "x-ratelimit-requests-")
_REMAINING_ITEM = re.compile(r"(?:^|[;,\s])(?:remaining|r)\s*=\s*(\d+)")
_RESET_ITEM = re.compile(r"(?:^|[;,\s])(?:reset|t)\s*=\s*(\d+)")
_EPOCH_FROM = 1e9  # a larger number of seconds is a date, a smaller one a delay


def read(headers: Mapping[str, str] | None, now: float | None = None) -> tuple[float | None, float | None]:
    """Return calls remaining and when the window ends (Unix seconds), None for what is missing or unreadable."""
    if not headers:
        return None, None
    now = time() if now is None else now
    remaining = _first(_number(_get(headers, prefix + "remaining")) for prefix in _PREFIXES)
    reset = _first(_moment(_get(headers, prefix + "reset"), now) for prefix in _PREFIXES)
    combined = _get(headers, "ratelimit")
    if combined:
        remaining = _item(_REMAINING_ITEM, combined) if remaining is None else remaining
        seconds = _item(_RESET_ITEM, combined)
        reset = now + seconds if reset is None and seconds is not None else reset
    return remaining, reset if reset is not None else _moment(_get(headers, "retry-after"), now)


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _get(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header whatever its case: the mappings of HTTP libraries ignore case, a plain dict does not."""
    value = headers.get(name)
    if value is None and type(headers) is dict:
        value = next((text for key, text in headers.items() if str(key).lower() == name), None)
    return value if isinstance(value, str) else None if value is None else str(value)


def _number(text: str | None) -> float | None:
    try:
        number = float(text.split(",")[0].split(";")[0]) if text else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < 1e15 else None


def _moment(text: str | None, now: float) -> float | None:
    number = _number(text)
    if number is not None:
        while number > 1e11:  # milliseconds, or finer
            number /= 1000
        return number if number >= _EPOCH_FROM else now + number
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _item(pattern: re.Pattern[str], text: str) -> float | None:
    match = pattern.search(text)
    return float(match[1]) if match else None
