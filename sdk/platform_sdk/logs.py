"""Record what an application logs: errors of `logging`, and of structlog and loguru through it.

    import platform_sdk.logs
    platform_sdk.logs.install()                                   # every logger, whatever handlers it has
    logging.getLogger("shop").addHandler(platform_sdk.logs.PlatformHandler())         # or only these
    {"class": "platform_sdk.logs.PlatformHandler", "level": "ERROR"}                  # the same in a dictConfig

A record of the level ERROR or above becomes an error: an exception with its stack where it has one, once, whoever else
records it; otherwise a message, grouped by the text that its arguments are filled into. Records of lower levels may be
kept as breadcrumbs, the last few of a request or a task, which its errors then show. The thread that logs appends an
event and takes no lock.
"""

import logging
from contextvars import ContextVar
from typing import Any

from platform_sdk import api, client
from platform_sdk.diagnostics import note
from platform_sdk.log_record import MARK, Breadcrumbs, arguments, belongs_to_us, is_about_a_request, is_about_a_task
from platform_sdk.outgoing.hooks import Patch

_busy: ContextVar[bool] = ContextVar("platform_sdk_logs_busy", default=False)
"""Whether a record is being taken here: the text of an argument may log something, and so on forever."""


def _severity(level: int) -> str:
    if level < logging.ERROR:
        return "medium" if level >= logging.WARNING else "low"
    return "high" if level < logging.CRITICAL else "critical"


class PlatformHandler(logging.Handler):
    """A handler for any logger. `level` is from where on records become errors; none waits for a lock.

    `breadcrumbs` is how many records before an error, of any level, it keeps and shows with the error.
    """

    def __init__(self, level: int | str = logging.ERROR, breadcrumbs: int = 0) -> None:
        self._crumbs = Breadcrumbs(int(breadcrumbs)) if breadcrumbs else None
        self.errors_from = logging.ERROR
        super().__init__()
        self.setLevel(level)

    def createLock(self) -> None:  # noqa: N802 - as in the base class
        """Make no lock: nothing here is shared."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Record what passes the filters, without a lock."""
        passed: Any = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def setLevel(self, level: int | str) -> None:  # noqa: N802 - as in the base class
        """Set from where on records become errors."""
        super().setLevel(level)
        self.errors_from = self.level
        if self._crumbs is not None:
            self.level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        """Record it."""
        if client.current is None or record.__dict__.get(MARK) or _busy.get():
            return
        token = _busy.set(True)
        try:
            record.__dict__[MARK] = True
            if belongs_to_us(record):
                return
            if record.levelno >= self.errors_from:
                if not is_about_a_request(record) and not is_about_a_task(record):
                    self._error(record)
            elif self._crumbs is not None:
                self._crumbs.add(record)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("logs", error)
        finally:
            _busy.reset(token)

    def _error(self, record: logging.LogRecord) -> None:
        given = arguments(record)
        if given is None:
            return
        if self._crumbs is not None:
            given["context"]["breadcrumbs"] = self._crumbs.last()
            self._crumbs.add(record)
        api.log_error(severity=_severity(record.levelno), **given)  # type: ignore[arg-type]  # of the closed list


_handler: PlatformHandler | None = None


def install(level: int | str = logging.ERROR, breadcrumbs: int = 0) -> None:
    """Record what every logger logs, also those that do not propagate, or that are configured later.

    A second call changes the options. Arguments are those of `PlatformHandler`.
    """
    global _handler
    try:
        _handler = PlatformHandler(level, breadcrumbs)
        _call_handlers.apply()
    except Exception as error:  # noqa: BLE001 - never into the application
        note("logs", error)


def ensure() -> None:
    """Record what every logger logs, unless the application installed this already."""
    if _handler is None:
        install()


def uninstall() -> None:
    """Leave the loggers as they were found."""
    global _handler
    _handler = None
    _call_handlers.remove()


def _recording(self: logging.Logger, record: logging.LogRecord) -> Any:
    handler = _handler
    if handler is not None and record.levelno >= handler.level:
        handler.emit(record)
    return _call_handlers.original(self, record)


_call_handlers = Patch(logging.Logger, "callHandlers", _recording)  # the one way that all records go
