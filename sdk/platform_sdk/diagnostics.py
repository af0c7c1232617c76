"""Log the SDK's own problems: once per kind and minute, on the logger "platform_sdk"."""

import time

INTERVAL_SECONDS = 60.0

_last: dict[str, float] = {}


def note(kind: str, problem: object) -> None:
    """Log a problem unless one of this kind was logged within the last minute. Never raises."""
    try:
        now = time.monotonic()
        if now - _last.get(kind, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            return
        _last[kind] = now
        text = problem if isinstance(problem, str) else f"{type(problem).__name__}: {problem}"
        import logging

        logging.getLogger("platform_sdk").warning("%s: %s", kind, text)
    except Exception:  # noqa: BLE001, S110 - a broken log handler must not reach the application
        pass
