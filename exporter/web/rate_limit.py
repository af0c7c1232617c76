"""The section `rate_limit` of a web configuration file: a token bucket."""

import re
import time
from collections.abc import Callable

from msgspec import Struct

from exporter.errors import WebConfigError

_DURATION = re.compile(r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([\d.]+)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class RateLimit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section: one request per `interval` (a duration of Go's, e.g. 100ms), and `burst` of them at once."""

    interval: str | int = 0
    burst: int = 0


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
    seconds = _parse_duration(limit.interval)
    if not seconds:
        return None
    if limit.burst < 1:
        raise WebConfigError(
            f"invalid number {limit.burst} for `rate_limit.burst`, which refuses every request: expected 1 or more"
        )
    return TokenBucket(seconds, limit.burst)


def _parse_duration(text: str | int) -> float:
    if text in (0, "0", ""):
        return 0.0
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise WebConfigError(
            f"invalid duration {text!r} for `rate_limit.interval`: expected e.g. 100ms, 1s or 1m30s, or 0"
        )
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
