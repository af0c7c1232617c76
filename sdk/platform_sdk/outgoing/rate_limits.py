"""The provider's rate limits in a response's headers: of each window the limit, what is left, and until when.

Known are `X-RateLimit-*` and its spellings, OpenAI's (`x-ratelimit-remaining-tokens`, `6m0s`), Anthropic's
(`anthropic-ratelimit-input-tokens-remaining`), Shopify's (`32/40`, calls made of those allowed), the IETF draft's
`RateLimit`, `RateLimit-Policy` and `RateLimit-*` fields
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/), and `Retry-After` (RFC 9110, 10.2.3), in
milliseconds, too, as OpenAI and Azure send it.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, NamedTuple

from platform_sdk import emit
from platform_sdk.events.api_quota import API_QUOTA

MOST_WINDOWS = 8
LONGEST_TIME = 40
CALLS = ""
"""The name of the window of calls; others are called as the provider does: tokens, input_tokens, day ..."""

_FIELDS = ("limit", "remaining", "reset")
_NOT_NAMES = ("after", "request", "requests", "default")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ITEM = re.compile(r"""(?:^|[;,\s])(limit|remaining|reset|[qrt])\s*=\s*(\d+)""")
_OF = re.compile(r"\s*(\d{1,12})\s*/\s*(\d{1,12})\s*")
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_NAMED = re.compile(r"""^\s*"([^"]*)"\s*;""")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)
_EPOCH_FROM = 1e9  # a larger number of seconds is a date, a smaller one a delay


class Window(NamedTuple):
    """What is left of a window's limit, and when it ends (Unix seconds); None where the provider does not say."""

    remaining: float | None = None
    reset: float | None = None
    limit: float | None = None


_NOTHING = Window()


def read(headers: Mapping[str, str] | None, now: float | None = None) -> tuple[float | None, float | None]:
    """Return calls remaining and when the window ends (Unix seconds), None for what is missing or unreadable."""
    return windows(headers, now).get(CALLS, Window())[:2]


def windows(headers: Mapping[str, str] | None, now: float | None = None) -> dict[str, Window]:
    """Return the windows by name; those of calls are `CALLS`. Of what is unreadable nothing."""
    if not headers:
        return {}
    now = time() if now is None else now
    found: dict[str, dict[str, float]] = {}
    for name, field, text in _told(headers):
        value = _moment(text, now) if field == "reset" else _number(text)
        if value is not None and (name in found or len(found) < MOST_WINDOWS):
            found.setdefault(name, {}).setdefault(field, value)
    retry = next((now + ms / 1000 for name in _MILLISECONDS if (ms := _number(_get(headers, name))) is not None), None)
    if retry is None:
        retry = _moment(_get(headers, "retry-after"), now)
    if retry is not None:
        found.setdefault(CALLS, {}).setdefault("reset", retry)
    return {name: Window(**fields) for name, fields in found.items()}


def wait_seconds(retry_after: str, now: float | None = None) -> float | None:
    """Return how long a `Retry-After` asks to wait, None where it is unreadable."""
    now = time() if now is None else now
    until = _moment(retry_after, now)
    return None if until is None else until - now


def of_calls(found: Mapping[str, Window]) -> dict[str, Any]:
    """Return the arguments of `emit.api_call` about the window of calls."""
    calls = found.get(CALLS, _NOTHING)
    return {
        "rate_limit": calls.limit, "rate_limit_remaining": calls.remaining, "rate_limit_reset": calls.reset
    }  # fmt: skip


def record(api: str, found: Mapping[str, Window]) -> None:
    """Emit the other windows."""
    for name, window in found.items():
        if name != CALLS:
            emit.event(
                API_QUOTA, api=api, quota=name, quota_limit=window.limit, remaining=window.remaining,
                resets_at=window.reset,
            )  # fmt: skip


def _told(headers: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (window, field, text) of each header, and of each item of the draft's."""
    for header, value in headers.items():
        key, text = str(header).lower().replace("rate-limit", "ratelimit"), str(value)
        _, mark, rest = key.partition("ratelimit-")
        if key in ("ratelimit", "ratelimit-policy"):
            yield from _items(text)
        elif key.endswith("-call-limit") and (calls := _OF.fullmatch(text)):
            yield CALLS, "limit", calls[2]
            yield CALLS, "remaining", str(int(calls[2]) - int(calls[1]))
        elif mark:
            words = rest.split("-")
            fields = [word for word in words if word in _FIELDS]
            name = "_".join(word for word in words if word not in (*_FIELDS, *_NOT_NAMES))
            if len(fields) == 1 and (not name or _NAME.fullmatch(name)):
                yield name, fields[0], text


def _items(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield what the draft's one header says, in its newer form or the older one."""
    letters = {"q": "limit", "r": "remaining", "t": "reset"}
    for part in text.split(",") if '"' in text else [text]:
        named = _NAMED.match(part)
        name = named[1].lower().replace("-", "_") if named else CALLS
        name = CALLS if name in _NOT_NAMES or not _NAME.fullmatch(name) else name
        for field, value in _ITEM.findall(part):
            yield name, letters.get(field, field), value


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
    text = (text or "").strip()
    number = _number(text)
    if number is not None:
        while number > 1e11:  # milliseconds, or finer
            number /= 1000
        return number if number >= _EPOCH_FROM else now + number
    if len(text) <= LONGEST_TIME and text and (match := _DURATION.fullmatch(text)):
        days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
        return now + 86_400 * days + 3600 * hours + 60 * minutes + seconds + milliseconds / 1000
    try:
        return _date(text).timestamp() if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _date(text: str) -> datetime:
    """Return a date as HTTP or RFC 3339 writes it."""
    if not text[:4].isdecimal():
        return parsedate_to_datetime(text)
    date = datetime.fromisoformat(text)
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
