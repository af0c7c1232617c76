"""The section `rate_limit` of a web configuration file: a token bucket."""

import contextlib
import logging
import math
import re
import time
from collections.abc import Callable

from msgspec import Struct

from exporter.errors import WebConfigError

logger = logging.getLogger(__name__)

_DURATION = re.compile(r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


_NUMBER = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)(e[-+]?\d+)?", re.IGNORECASE)
_LONGEST_SECONDS = (2**63 - 1) / 1e9


class RateLimit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section: one request per `interval` (a duration of Go's, e.g. 100ms), and `burst` of them at once.

    A number is in nanoseconds, and the text of a number is not a duration: as in Go's YAML.
    """

    interval: str | int | None = 0
    burst: int | None = 0


class TokenBucket:
    """A bucket of `burst` tokens that gains one every `interval_seconds`."""

    def __init__(self, interval_seconds: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_seconds = interval_seconds
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()

    def take(self) -> bool:
        """Take one token; return False where there is none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) / self._interval_seconds)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def build_bucket(limit: RateLimit) -> TokenBucket | None:
    """Return the bucket, or None where there is no limit. Raises WebConfigError."""
    seconds, burst = _seconds(limit.interval), limit.burst or 0
    if seconds <= 0:
        return None
    if burst < 1:
        logger.warning("`rate_limit.burst` is %d, which refuses every request: expected 1 or more", burst)
    return TokenBucket(seconds, burst)


def parse_number(text: str) -> int | str:
    """Return the whole number that Go's YAML reads from a text without quotes, or the text itself."""
    digits = text.replace("_", "")
    number: int | None = None
    with contextlib.suppress(ValueError):
        number = int(digits, 8 if re.fullmatch(r"[-+]?0[0-7]+", digits) else 0)
    if number is None and _NUMBER.fullmatch(digits) and math.isfinite(float(digits)):
        number = int(float(digits))
    return text if number is None or not -(2**63) <= number < 2**63 else number


def _seconds(given: str | int | None) -> float:
    if given is None or isinstance(given, int):
        return (given or 0) / 1e9
    sign, text = (-1, given[1:]) if given.startswith("-") else (1, given.removeprefix("+"))
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if (text != "0" and not _DURATION.fullmatch(text)) or seconds > _LONGEST_SECONDS:
        raise WebConfigError(
            f"invalid duration {given!r} for `rate_limit.interval`: expected e.g. 100ms, 1s or 1m30s, or 0"
        )
    return sign * seconds
