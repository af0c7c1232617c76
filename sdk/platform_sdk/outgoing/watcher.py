"""Let a call that is monitored by hand and seen by a hook as well be recorded once, with what both know."""

from contextvars import ContextVar, Token
from typing import Protocol


class Watcher(Protocol):
    """Be told of the exchanges made within, instead of their being recorded."""

    def told(
        self, status: int | None, reason: str | None, size: int | None, limits: tuple[float | None, float | None]
    ) -> None:
        """Take what is known of an exchange that ended; the last one counts."""


_watcher: ContextVar[Watcher | None] = ContextVar("platform_sdk_watcher", default=None)

get = _watcher.get


def begin(watcher: Watcher) -> Token[Watcher | None]:
    """Let `watcher` be told of exchanges begun from now on in this context."""
    return _watcher.set(watcher)


def end(token: Token[Watcher | None]) -> None:
    """Let whoever was told before be told again. Never raises."""
    try:
        _watcher.reset(token)
    except ValueError:  # begun in another context, which ended with its watcher
        _watcher.set(None)
