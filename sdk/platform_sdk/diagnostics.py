"""Tell a person about the SDK's own trouble: once per kind and minute, on the logger "platform_sdk"."""

import logging
import time

INTERVAL_SECONDS = 60.0

_logger = logging.getLogger("platform_sdk")
_last: dict[str, float] = {}


def note(kind: str, problem: object) -> None:
    """Log a problem unless one of this kind was logged within the last minute. Never raises."""
    try:
        now = time.monotonic()
        if now - _last.get(kind, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            return
        _last[kind] = now
        said = problem if isinstance(problem, str) else f"{type(problem).__name__}: {problem}"
        _logger.warning("%s: %s", kind, said)
    except Exception:  # noqa: BLE001, S110 - a broken log handler must not reach the application
        pass
